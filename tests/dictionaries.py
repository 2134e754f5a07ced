"""Small dictionaries of every kind, the formulas once more in plain NumPy, and files as other programs write them."""

from __future__ import annotations

import json

import numpy as np

from broca.sites import Site
from broca.units import Dictionary

ARCHITECTURES = ("relu", "topk", "abstopk", "jumprelu", "gated")
NORMS = ("none", "layer_norm", "constant_norm")


def dictionary(architecture="relu", d=8, n=20, *, site="1.resid_post", out=None, seed=0, **more):
    draw = np.random.default_rng(seed)
    extra = {}
    if architecture == "jumprelu":
        extra = {"threshold": np.abs(draw.normal(size=n)) * 0.5}
    if architecture == "gated":
        extra = {"gain": draw.normal(size=n) * 0.3, "magnitude": draw.normal(size=n) * 0.3}
    if architecture.endswith("topk"):
        extra = {"k": 5}
    width = d if out is None else out
    return Dictionary(
        architecture,
        encoder=draw.normal(size=(d, n)) / d**0.5,
        decoder=draw.normal(size=(n, width)) / n**0.5,
        bias=draw.normal(size=n) * 0.2,
        decoder_bias=draw.normal(size=width) * 0.2,
        source=Site.parse(site),
        **extra | more,
    )


def normed(own, x):
    """What the encoder is given of one token."""
    x = np.asarray(x, np.float64)
    if own.without_mean:
        x = x - x.mean()
    if own.norm == "layer_norm":
        x = (x - x.mean()) / (x.std(ddof=1) + 1e-5)
    if own.norm == "constant_norm":
        x = x * len(x) ** 0.5 / np.linalg.norm(x)
    return x - own.decoder_bias if own.centred else x


def features(own, x):
    """The features of one token by the formulas of the papers, feature by feature."""
    x = normed(own, x)
    p = [float(x @ own.encoder[:, i] + own.bias[i]) for i in range(own.n_features)]
    most = sorted(range(len(p)), key=lambda i: -(abs(p[i]) if own.architecture == "abstopk" else p[i]))[: own.k]

    def one(i, value):
        match own.architecture:
            case "topk":
                return max(value, 0.0) if i in most else 0.0
            case "abstopk":
                return value if i in most else 0.0
            case "jumprelu":
                return value if value > max(own.threshold[i], 0) else 0.0
            case "gated":
                drive = float(x @ own.encoder[:, i]) * np.exp(float(own.gain[i])) + own.magnitude[i]
                return max(drive, 0.0) if value > 0 else 0.0
        return max(value, 0.0)

    return np.array([one(i, value) for i, value in enumerate(p)])


def decoded(own, x):
    """What the dictionary makes of one token."""
    x = np.asarray(x, np.float64)
    y = features(own, x) @ own.decoder + own.decoder_bias
    if own.skip is not None:
        y = y + x @ own.skip
    centre, rest = (x.mean(), x - x.mean()) if own.without_mean else (0.0, x)
    if own.norm == "layer_norm":
        return y * rest.std(ddof=1) + rest.mean() + centre
    if own.norm == "constant_norm":
        return y * np.linalg.norm(rest) / len(x) ** 0.5 + centre
    return y + centre


# -- files of others ---------------------------------------------------------------------------------------------------


def saelens(folder, arrays, **config):
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    d, n = arrays["W_enc"].shape
    usual = {"architecture": "standard", "d_in": d, "d_sae": n, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
             "normalize_activations": "none", "reshape_activations": "none",
             "metadata": {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post"}}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(usual | config))
    save_file(
        {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()},
        folder / "sae_weights.safetensors",
    )
    return folder


def saelens_arrays(own):
    named = {"W_enc": own.encoder, "W_dec": own.decoder, "b_dec": own.decoder_bias}
    if own.architecture == "gated":
        return named | {"b_gate": own.bias, "r_mag": own.gain, "b_mag": own.magnitude}
    named["b_enc"] = own.bias
    if own.threshold is not None:
        named["threshold"] = own.threshold
    if own.skip is not None:
        named["W_skip"] = own.skip.T
    return named


def sparsify(folder, own, **config):
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    usual = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": 0, "k": own.k,
             "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": own.encoder.shape[0]}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(usual | config))
    arrays = {
        "encoder.weight": own.encoder.T,
        "encoder.bias": own.bias,
        "W_dec": own.decoder,
        "b_dec": own.decoder_bias,
    }
    if own.skip is not None:
        arrays["W_skip"] = own.skip.T
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "sae.safetensors")
    return folder


def gemma_scope(path, own, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "W_enc": own.encoder,
        "W_dec": own.decoder,
        "b_enc": own.bias,
        "b_dec": own.decoder_bias,
        "threshold": own.threshold,
    }
    np.savez(path, **arrays | more)
    return path
