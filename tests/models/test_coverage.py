"""A sample of transformers' classes, built tiny from their configs: proved, and refused in words where they must be."""

from __future__ import annotations

import pytest
import torch

from broca.errors import AnatomyError, ModelError, SiteUnavailable, UnknownName
from broca.models import hooks
from broca.models.miniatures import tiny, tiny_config
from broca.models.wiring.dissection import dissect
from broca.models.wiring.parallel_streams import Streams, mixing_steps
from broca.sites import Site

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*[Rr]o[Pp][Ee].*"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

CAUSAL = [
    "afmoe",
    "arcee",
    "aria_text",
    "bailing_hybrid",
    "bamba",
    "bart",
    "bert",
    "biogpt",
    "bitnet",
    "cohere2",
    "ctrl",
    "deepseek_v32",
    "deepseek_v4",
    "doge",
    "electra",
    "ernie4_5_moe",
    "exaone_moe",
    "falcon_h1",
    "falcon_mamba",
    "flex_olmo",
    "gemma3_text",
    "gemma3n_text",
    "gemma4_text",
    "glm4_moe",
    "granitemoehybrid",
    "hunyuan_v1_moe",
    "inkling_text",
    "jamba",
    "jetmoe",
    "kimi_linear",
    "lfm2",
    "longcat_flash",
    "mamba",
    "mamba2",
    "mbart",
    "mellum",
    "minicpm3",
    "minimax",
    "modernbert-decoder",
    "nanochat",
    "nemotron_h",
    "olmo_hybrid",
    "openai-gpt",
    "phimoe",
    "qwen2_moe",
    "qwen3_next",
    "qwen4_exp_text",
    "recurrent_gemma",
    "roberta",
    "rwkv",
    "trocr",
    "whisper",
    "xglm",
    "xlstm",
    "zamba",
    "zamba2",
    "zaya",
]
IMAGE = [
    "aya_vision",
    "florence2",
    "gemma3",
    "glm4v",
    "idefics",
    "idefics3",
    "instructblip",
    "internvl",
    "kosmos-2",
    "llava",
    "mistral3",
    "mllama",
    "paligemma",
    "qwen2_5_vl",
    "qwen3_vl",
    "smolvlm",
    "udop",
    "vision-encoder-decoder",
]
ROLES = {
    "bert": ("attention.output.dense", "output.dense", None),
    "bart": ("self_attn", "fc2", None),
    "falcon_h1": ("self_attn", "feed_forward", "mamba"),
    "gemma4_text": ("post_attention_layernorm", "post_feedforward_layernorm", None),
    "inkling_text": ("attn_sconv", "mlp_sconv", None),
    "longcat_flash": (None, None, None),
    "mamba": (None, None, "mixer"),
    "openai-gpt": ("attn", "mlp", None),
    "rwkv": (None, "feed_forward", "attention"),
    "udop": ("layer.0.SelfAttention", "layer.2.DenseReluDense", None),
    "florence2": ("self_attn", "fc2", None),
}
IDENTITIES = {
    "bert": "post = output.LayerNorm(attention.output.LayerNorm(pre + attention.output.dense) + output.dense)",
    "mamba": "post = pre + mixer",
    "minimax": "post = post_attention_layernorm(input_layernorm(pre) + self_attn) + mlp",
    "falcon_h1": "post = pre + mamba + self_attn + feed_forward",
    "deepseek_v4": "post = 4 streams mixed for each token, with self_attn + mlp",
    "rwkv": "post = pre_ln(pre) + attention + feed_forward",
}


def fresh_pass(model, anatomy):
    """What each block was given and gave, and what its writers wrote, on another text than the probe."""
    seen = [{} for _ in anatomy.blocks]
    handles = []

    def keep(record, name):
        def hook(_m, args, kwargs, output):
            out = output if isinstance(output, torch.Tensor) else output[0]
            record[name] = out.detach().clone()
            if not name:
                record["pre"] = hooks_in(args, kwargs).detach().clone()

        return hook

    for layer, (block, record) in enumerate(zip(anatomy.blocks, seen, strict=True)):
        module = model.get_submodule(f"{anatomy.path}.{layer}")
        names = ("", *(name for step in block.steps for name, _ in step.writers))
        handles += [module.get_submodule(n).register_forward_hook(keep(record, n), with_kwargs=True) for n in names]
    with torch.no_grad():
        model(input_ids=torch.tensor([[40, 7, 19, 40, 5, 31, 60, 8]]), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def hooks_in(args, kwargs):
    return args[0] if args else next(x for x in kwargs.values() if isinstance(x, torch.Tensor) and x.ndim == 3)


def replayed(module, block, seen):
    """What a block gives, from its proved steps and what its writers wrote this time."""
    here = seen["pre"]
    for step in block.steps:
        here = step.carry * here + sum(scale * seen[name].reshape(here.shape) for name, scale in step.writers)
        if step.norm:
            here = module.get_submodule(step.norm)(here)
    return here


@pytest.mark.parametrize(("kind", "family"), [*((k, "causal") for k in CAUSAL), *((k, "image") for k in IMAGE)])
def test_the_wiring_is_proved(kind, family):
    model = tiny(kind, family)
    anatomy = dissect(model)
    assert anatomy.error < 1e-5
    first = anatomy.blocks[0]
    if kind in ROLES:
        assert (first.attn_out, first.mlp_out, first.ssm_out) == ROLES[kind]
    if kind in IDENTITIES:
        assert first.identity == IDENTITIES[kind]
    if family == "image" or any(block.constant or block.streams > 1 for block in anatomy.blocks):
        return
    for layer, (block, seen) in enumerate(zip(anatomy.blocks, fresh_pass(model, anatomy), strict=True)):
        module = model.get_submodule(f"{anatomy.path}.{layer}")
        error = (replayed(module, block, seen) - seen[""]).norm() / (seen[""] - seen["pre"]).norm()
        assert error < 1e-5, (layer, block.identity)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cpmant", r"no single residual stream .* 1 of shape \(1, 48, 64\) for one text of 16 tokens"),
        ("xlnet", r"no single residual stream"),
        ("hrm_text", r"runs its blocks 6 times in one pass"),
        ("reformer", r"no single residual stream .* 2 of shape"),
        ("blt", r"no single residual stream .* 16 tokens"),
        ("xmod", r"In XmodLayer, no set of modules among .* by hand"),
    ],
)
def test_what_cannot_be_proved_is_refused_in_words(kind, reason):
    with pytest.raises(AnatomyError, match=reason):
        dissect(tiny(kind))


def test_of_several_streams_the_parts_have_sites_and_the_stream_has_none():
    model = tiny("gemma3n_text")
    anatomy = dissect(model)
    assert anatomy.blocks[0].streams == 4
    assert anatomy.blocks[0].others == ("laurel", "post_per_layer_input_norm")
    assert anatomy.d_model == 64
    with pytest.raises(
        SiteUnavailable, match=r"carries 4 residual streams side by side.* It has attn_out, mlp_out, z, mlp_act"
    ):
        anatomy.tap(Site(0, "resid_post"))
    assert not anatomy.has(Site(0, "resid_pre"))
    ids = torch.arange(5, 12)[None]
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        with hooks.edit_sites(model, anatomy, {Site(1, "z"): torch.zeros_like}):
            lesioned = model(input_ids=ids, use_cache=False).logits
        model.model.layers[1].self_attn.o_proj.weight.zero_()
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, lesioned)
    assert not torch.equal(before, lesioned)


def test_streams_do_not_fit_without_one_of_their_writers():
    draw = torch.Generator().manual_seed(0)
    pre, attn, mlp, other = (torch.randn(16, *shape, 64, generator=draw) for shape in ((4,), (), (), ()))
    mix, gains = torch.randn(16, 4, 4, generator=draw), torch.randn(2, 16, 4, 1, generator=draw)
    post = mix @ pre + gains[0] * attn[:, None] + gains[1] * mlp[:, None]
    found = mixing_steps(Streams(pre, post, {}, {"other": other, "attn": attn, "mlp": mlp}), 1e-5)
    assert [name for step in found for name, _ in step.writers] == ["attn", "mlp"]
    assert mixing_steps(Streams(pre, post, {}, {"other": other, "mlp": mlp}), 1e-3) is None


def test_blocks_that_text_alone_skips_are_marked_and_left_out():
    anatomy = dissect(tiny("mllama", "image"))
    assert [block.on_text for block in anatomy.blocks] == [True, False, True, False]
    assert [site.layer for site in anatomy.sites("resid_post")] == [0, 2]
    assert [site.layer for site in anatomy.sites("resid_post", images=True)] == [0, 1, 2, 3]
    assert anatomy.blocks[1].attn_out == "cross_attn"


def test_the_decoder_is_taken_not_the_largest_list():
    assert dissect(tiny("granite_docling", "image")).path == "model.text_model.layers"
    assert dissect(tiny("idefics", "image")).path == "model.layers"


def test_position_ids_that_the_model_counts_otherwise_are_left_to_it():
    assert dissect(tiny("llama")).positions
    assert not dissect(tiny("roberta")).positions


def test_heads_of_layers_that_differ_from_the_config_are_no_slices():
    anatomy = dissect(tiny("llama"))
    assert anatomy.head_width(Site(0, "z")) == 16
    anatomy = dissect(tiny("mamba"))
    with pytest.raises(SiteUnavailable, match="It has resid_pre, resid_post, ssm_out, ssm"):
        anatomy.head_width(Site(0, "z"))


def test_a_site_of_a_mixer_is_read_and_edited():
    model = tiny("mamba")
    anatomy, ids = dissect(model), torch.arange(5, 12)[None]
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        with hooks.edit_sites(model, anatomy, {Site(1, "ssm"): torch.zeros_like}):
            lesioned = model(input_ids=ids, use_cache=False).logits
        model.backbone.layers[1].mixer.out_proj.weight.zero_()
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, lesioned)
    assert not torch.equal(before, lesioned)


def test_tiny_models_are_tiny_and_mix_every_kind_of_layer():
    config = tiny_config("qwen3_next")
    assert (config.hidden_size, config.num_hidden_layers) == (64, 4)
    assert set(config.layer_types) == {"linear_attention", "full_attention"}
    one, same, other = (tiny("llama", seed=seed) for seed in (0, 0, 1))
    weights = [m.state_dict()["model.layers.0.mlp.up_proj.weight"] for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_cannot_be_built_is_told():
    with pytest.raises(UnknownName, match="llama"):
        tiny("lama")
    with pytest.raises(ModelError, match=r"A tiny 'musicgen' model cannot be built"):
        tiny("musicgen")
