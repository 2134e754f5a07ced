"""Loading from a directory or the hub: safetensors only, nothing half loaded, each failure told in words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from broca.errors import ModelError
from broca.models.access import access
from broca.models.checkpoint import gate_notice, locate, reach
from broca.models.memory import Need, memory_forecast, need
from broca.models.placement import SPREAD, check_device
from broca.models.quantisation import stored_weights
from broca.registry import ORGANISMS, unknown
from broca.storage.secrets import hide_secrets

_DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")

Head = Literal["CausalLM", "SequenceClassification"]


def load(
    name: str,
    *,
    revision: str | None,
    dtype: str,
    device: str | Mapping[str, Any],
    trust_remote_code: bool,
    head: Head = "CausalLM",
    offload: str | Path | None = None,
    notes: list[str] | None = None,
) -> tuple[Any, Any]:
    """A transformers model and its tokenizer; see `broca.models.lm.LM.load` for the arguments and errors.

    Where memory will not do, `notes` are told so before a weight is read.
    """
    from transformers import AutoConfig

    if dtype not in _DTYPES:
        raise unknown("dtype", dtype, _DTYPES)
    check_device(device)
    path = locate(name)
    reach(path, revision)
    options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
    config = _run_loader(name, lambda: AutoConfig.from_pretrained(path, **options))
    _refuse_others(name, config, head)
    tokenizer = load_tokenizer(path, name, revision=revision, trust_remote_code=trust_remote_code)
    text, tight = memory_forecast(name, need(path) or _planned_need(config, head), dtype, device)
    if tight and notes is not None:
        notes.append(text)
    spread = not isinstance(device, str) or device in SPREAD
    placement = {"device_map": device} if spread else {}
    if spread and offload is not None:
        placement |= {"offload_folder": str(offload)}
    model, report = _run_loader(
        name,
        lambda: model_class(config, head).from_pretrained(
            path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **placement,
        ),
    )
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        stored = ", ".join(getattr(config, "architectures", None) or ["a class that is not named"])
        raise ModelError(
            f"{name}: {len(missing)} weights are not in the files ({', '.join(missing[:3])}, ...), so they would be "
            f"random. The checkpoint (of {stored}) is incomplete or belongs to another class than {type(model).__name__}; get it again."
        )
    # Quantised weights are put in their place by the library that reads them.
    if not spread and getattr(model, "hf_quantizer", None) is None:
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else str(device)
        model = model.to(where)
    return model.eval(), tokenizer


def _refuse_others(name: str, config: Any, head: Head) -> None:
    """Refuse what transformers knows and what writes no text, token by token.

    Raises:
        ModelError: if the class is no causal language model, and none of images and text.
    """
    import transformers as t

    known = any(
        type(config) in each for each in (t.MODEL_FOR_CAUSAL_LM_MAPPING, t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
    )
    if head == "CausalLM" and not known and not getattr(config, "auto_map", None):
        raise ModelError(
            f"{name} is of the type {config.model_type} ({', '.join(getattr(config, 'architectures', None) or ['no class is named'])}), which is "
            "no causal language model, nor one of images and text: give one of these. A decoder that you have at hand can be studied by "
            "LM.wrap(model, tokenizer)."
        )


def model_class(config: Any, head: Head = "CausalLM") -> Any:
    """Transformers' own loader for a config: of an image-text-to-text model the whole of it, not its language part."""
    import transformers as t

    if head != "CausalLM":
        return getattr(t, f"AutoModelFor{head}")
    if type(config) not in t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return t.AutoModelForCausalLM
    whole = getattr(t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)], "__name__", "")
    stored = next(iter(getattr(config, "architectures", None) or ()), whole)
    # The files of some hold the language part alone, under the same type of config.
    language = type(config) in t.MODEL_FOR_CAUSAL_LM_MAPPING and stored != whole
    return t.AutoModelForCausalLM if language else t.AutoModelForImageTextToText


def footprint(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> dict[str, Any]:
    """Parameters, and bytes at each dtype, from the config alone: nothing is downloaded but the config.

    Raises:
        ModelError: if there is no such model.
    """
    from transformers import AutoConfig

    path = locate(name, weights=False)
    reach(path, revision)

    def build() -> Any:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        config = AutoConfig.from_pretrained(path, **options)
        with torch.device("meta"):
            return model_class(config).from_config(config, trust_remote_code=trust_remote_code)

    model = _run_loader(name, build)
    n = sum(p.numel() for p in model.parameters())
    return {
        "class": type(model).__name__,
        "parameters": n,
        "bytes": {"float32": 4 * n, "bfloat16": 2 * n, "float16": 2 * n},
    }


def announcement(name: str, dtype: str, device: str | Mapping[str, Any]) -> tuple[str, bool]:
    """What a model on disk needs and what is free, in words, and whether that is too little; nothing where it is not known.

    Raises:
        ModelError: if there is no such model, or no such device.
    """
    check_device(device)
    return memory_forecast(name, need(locate(name)), dtype, device)


def _planned_need(config: Any, head: Head) -> Need | None:
    """The size of a model whose weights are not here yet, from its config; None where its class is not transformers' own."""
    if getattr(config, "auto_map", None):
        return None
    try:
        with torch.device("meta"):
            model = model_class(config, head).from_config(config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, NotImplementedError):
        return None
    n = sum(p.numel() for p in model.parameters())
    return Need(n, n * (getattr(config, "dtype", None) or torch.float32).itemsize)


def quiet() -> None:
    """For programs with a progress of their own: no bar for reading weights from disk. Download bars stay."""
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    enable_progress_bars()


def load_tokenizer(path: str, name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer that belongs to a model.

    Raises:
        ModelError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return _run_loader(
            name,
            lambda: AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=trust_remote_code, **access()
            ),
            "tokenizer",
        )
    except ModelError as error:
        raise ModelError(
            f"{error} If the model has no tokenizer of its own, load both yourself: LM.wrap(model, tokenizer)."
        ) from error


def load_processor(
    name: str, model: Any, *, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, list[str]]:
    """The processor of a model that takes pictures, and what a reader should know: without one it is shown words alone."""
    from transformers import AutoProcessor

    if not takes_pictures(model):
        return None, []
    try:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        found = AutoProcessor.from_pretrained(locate(name), **options)
    except (ImportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found, why = None, next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    else:
        why = "its files hold none"
    if not hasattr(found, "image_processor"):
        return None, [f"No processor could be loaded, so this model is shown words alone, no pictures: {why}"]
    return found, []


def takes_pictures(model: Any) -> bool:
    """Whether a model is of a class that transformers counts as image and text to text."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return type(model) in set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.values())


def weight_hash(model: Any) -> str:
    """The first 16 hex digits of the SHA-256 of every weight, by name, wherever it lies."""
    digest = hashlib.sha256()
    for key, value in sorted(stored_weights(model).items()):
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        for part in _plain(_fetch_weight(model, key) if value.is_meta else value):
            if part.is_meta:
                digest.update(str(model.config).encode())
            else:
                digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _fetch_weight(model: Any, key: str) -> torch.Tensor:
    """A weight that accelerate keeps elsewhere, in main memory."""
    from accelerate.utils import align_module_device

    path, _, name = key.rpartition(".")
    module = model.get_submodule(path)
    with align_module_device(module, torch.device("cpu")):
        return getattr(module, name).detach().clone()


def _plain(value: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that a weight is made of: itself, or, of a packed one, its parts."""
    parts = getattr(value, "__tensor_flatten__", None)
    if parts is None or type(value) in (torch.Tensor, torch.nn.Parameter):
        yield value
        return
    for name in sorted(parts()[0]):
        yield from _plain(getattr(value, name))


_KNOWN_TROUBLE = {
    "gated repo": gate_notice,
    "ignore_mismatched_sizes": lambda name: (
        f"{name}: the weights in its files have other shapes than its config.json says. Get both again, from one place."
    ),
    "instantiate the backend tokenizer": lambda name: f"{name} has no files of a tokenizer that can be read.",
    "contains custom code": lambda name: (
        f"{name} comes with code of its own, which is not run unless you trust it: trust_remote_code=True, or --trust-remote-code."
    ),
}
"""What transformers says at length, by a word of it, and what to say instead."""


def _run_loader(name: str, action: Any, what: str = "") -> Any:
    """Run a transformers loader of a model, or of `what` belongs to it; turn what it may raise into one clear error."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, StrictDataclassError
    from safetensors import SafetensorError

    try:
        return action()
    except SafetensorError as error:
        raise ModelError(f"{name}: a safetensors file is corrupt ({error}). Get it again.") from error
    except GatedRepoError as error:
        raise ModelError(gate_notice(name)) from error
    except HfHubHTTPError as error:
        raise ModelError(
            f"{name}: the hub refused ({hide_secrets(str(error)).splitlines()[0]}). Check the id, and HF_TOKEN for gated models."
        ) from error
    except ImportError as error:
        raise ModelError(f"{name}: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, StrictDataclassError) as error:
        text = hide_secrets(str(error))
        said = next((say for word, say in _KNOWN_TROUBLE.items() if word in text), None)
        if said is not None:
            raise ModelError(said(name)) from error
        first = next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), type(error).__name__)
        first = f"{type(error).__name__} {first}" if isinstance(error, KeyError) else first
        near = f" Shipped organisms: {', '.join(ORGANISMS)}." if "/" not in name else ""
        advice = "" if what else f" Give a directory with config.json and *.safetensors, or a hub id.{near}"
        raise ModelError(
            f"{f'The {what} of {name}' if what else name} could not be loaded: {first}.{advice}"
        ) from error
