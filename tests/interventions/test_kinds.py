"""Lesions of every kind of unit equal the same model with its weights edited by hand."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

import zoo
from broca.capture.activations import capture
from broca.capture.reduce import Moments
from broca.cli.selections import selection_of
from broca.errors import SelectionError, SiteUnavailable
from broca.instruments.lesion.spec import CausalTest
from broca.interventions.lesion import Lesion
from broca.models import hooks
from broca.models.lm import LM
from broca.models.miniatures import tiny
from broca.sites import Site
from broca.units import UnitMask

pytestmark = pytest.mark.filterwarnings("ignore:.*[Rr]o[Pp][Ee].*")
TEXTS = ["Ann put the key in the box.", "No.", "One, two, three."]


def wrapped(kind, family="causal"):
    return LM.wrap(tiny(kind, family), zoo.tokenizer(), name=kind)


def logits(lm):
    (batch,) = lm.batches(lm.tokenize(TEXTS))
    return lm.forward(batch)[batch.mask.bool()]


def edited_by_hand(lm, edit):
    """Logits of a copy whose weights `edit` has changed."""
    copy = LM.wrap(deepcopy(lm.model), lm.tokenizer, anatomy=lm.anatomy)
    with torch.no_grad():
        edit(copy.model)
    return logits(copy)


def under(lm, mask):
    intact = logits(lm)
    with lm.under(Lesion(mask)):
        lesioned = logits(lm)
        lm.assert_fired()
    assert torch.equal(logits(lm), intact)
    assert not torch.allclose(lesioned, intact, atol=1e-3)
    return lesioned


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2"])
def test_a_group_of_heads_is_its_value_head(name):
    lm = zoo.lm(name)
    mask = UnitMask.of({"1.z": [1]}, n=lm.anatomy.n_kv_heads, grain="group")
    lesioned = under(lm, mask)

    def no_values(model):
        attention = model.model.layers[1].self_attn
        attention.v_proj.weight[attention.head_dim :] = 0

    def no_columns(model):
        attention = model.model.layers[1].self_attn
        attention.o_proj.weight[:, 2 * attention.head_dim :] = 0

    for edit in (no_values, no_columns):
        torch.testing.assert_close(lesioned, edited_by_hand(lm, edit), rtol=0, atol=1e-5)
    heads = UnitMask.of({"1.z": [2, 3]}, n=lm.anatomy.n_heads, grain="head")
    with lm.under(Lesion(heads)):
        assert torch.equal(lesioned, logits(lm))


def test_a_group_needs_heads_that_share():
    lm = zoo.lm("llama")
    four = Lesion(UnitMask.of({"1.z": [1]}, n=4, grain="group"))
    with pytest.raises(SiteUnavailable, match="the selection is for 64 units"), lm.under(four):
        pass
    with pytest.raises(SelectionError, match="Heads are slices of z"):
        UnitMask.of({"1.mlp_act": [1]}, n=2, grain="group")
    again = UnitMask.from_json(UnitMask.of({"1.z": [1]}, n=2, grain="group").to_json())
    assert (again.grain, again.count) == ("group", 1)


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3", "olmoe", "granitemoe"])
def test_an_expert_is_its_down_projection(name):
    lm = zoo.lm(name)
    site = lm.anatomy.sites("experts")[-1]
    assert lm.anatomy.width(site) == 4
    lesioned = under(lm, UnitMask.of({site: [0, 2]}, n=4))
    path = lm.anatomy.tap(site).module

    def no_output(model):
        experts = model.get_submodule(path)
        experts.down_proj[[0, 2]] = 0
        if hasattr(experts, "down_proj_bias"):
            experts.down_proj_bias[[0, 2]] = 0

    torch.testing.assert_close(lesioned, edited_by_hand(lm, no_output), rtol=0, atol=1e-5)


def test_the_site_of_experts_shows_the_routers_weights():
    lm, seen = zoo.lm("mixtral"), []
    (batch,) = lm.batches(lm.tokenize(TEXTS))
    with hooks.read_sites(lm.model, lm.anatomy, {Site(0, "experts"): seen.append}):
        lm.forward(batch)
    (weights,) = seen
    assert weights.shape == (*batch.ids.shape, 4)
    assert ((weights > 0).sum(-1) == 2).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch.ids.shape))


def test_an_expert_at_some_tokens_only():
    lm = zoo.lm("mixtral")
    (batch,) = lm.batches(lm.tokenize(TEXTS[:1]))
    mask = UnitMask.of({"2.experts": [0, 1, 2, 3]}, n=4)
    intact = lm.forward(batch)
    with lm.under(Lesion(mask, positions="last")):
        lesioned = lm.forward(batch)
    assert torch.equal(lesioned[:, :-1], intact[:, :-1])
    assert not torch.allclose(lesioned[:, -1], intact[:, -1])


def test_no_experts_where_they_are_not_given_weights():
    assert not zoo.lm("llama4_text").anatomy.has(Site(1, "experts"))
    with pytest.raises(SiteUnavailable, match="no single tensor at 'experts'"):
        zoo.lm("llama").anatomy.sites("experts")


@pytest.mark.parametrize(
    ("kind", "projection"),
    [("mamba", "mixer.out_proj"), ("qwen3_next", "linear_attn.out_proj"), ("falcon_h1", "mamba.out_proj")],
)
def test_a_channel_of_a_mixer_is_its_column(kind, projection):
    lm = wrapped(kind)
    site = Site(1, "ssm")
    units = [0, 3, 5]
    lesioned = under(lm, UnitMask.of({site: units}, n=lm.anatomy.width(site)))

    def no_columns(model):
        model.get_submodule(f"{lm.anatomy.path}.1.{projection}").weight[:, units] = 0

    torch.testing.assert_close(lesioned, edited_by_hand(lm, no_columns), rtol=0, atol=1e-5)


def seen_by(model):
    """Logits with a picture of 4 x 4 patches in front of a text."""
    image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, *[model.config.image_token_id] * 16, 7, 9, 12]])
    with torch.no_grad():
        return model(input_ids=ids, pixel_values=image, use_cache=False).logits


@pytest.mark.parametrize(("site", "weight"), [("0.vision", "linear_1"), ("0.connector", "linear_2")])
def test_units_before_the_language_stack_are_weights_of_the_connector(site, weight):
    lm = wrapped("llava", "image")
    lm.model.config.image_token_id = lm.model.config.image_token_index
    place, units = Site.parse(site), [1, 4, 9]
    intact = seen_by(lm.model)
    with lm.under(Lesion(UnitMask.of({place: units}, n=lm.anatomy.width(place)))):
        lesioned = seen_by(lm.model)
        lm.assert_fired()
    assert torch.equal(seen_by(lm.model), intact)
    assert not torch.allclose(lesioned, intact, atol=1e-3)
    layer = getattr(lm.model.model.multi_modal_projector, weight)
    with torch.no_grad():
        if weight == "linear_1":
            layer.weight[:, units] = 0
        else:
            layer.weight[units], layer.bias[units] = 0, 0
    torch.testing.assert_close(lesioned, seen_by(lm.model), rtol=0, atol=1e-5)


def test_pictures_have_no_token_positions():
    lm = wrapped("llava", "image")
    mask = UnitMask.of({"0.vision": [1]}, n=lm.anatomy.width(Site(0, "vision")))
    with pytest.raises(SelectionError, match="patches of pictures"), lm.under(Lesion(mask, positions="last")):
        pass
    with pytest.raises(SiteUnavailable, match="2 vision blocks"):
        lm.anatomy.width(Site(7, "vision"))
    with pytest.raises(SiteUnavailable, match="no such part"):
        zoo.lm("llama").anatomy.width(Site(0, "connector"))


def test_patches_are_not_pooled_as_tokens():
    lm = wrapped("llava", "image")
    with pytest.raises(SiteUnavailable, match="no tokens to pool"):
        capture(lm, lm.tokenize(TEXTS), [Site(0, "vision")], Moments)


def test_the_routing_of_experts_is_captured_like_any_site():
    lm = zoo.lm("mixtral")
    site = Site(1, "experts")
    (batch,), seen = lm.batches(lm.tokenize(TEXTS)), []
    with hooks.read_sites(lm.model, lm.anatomy, {site: seen.append}):
        lm.forward(batch)
    last = seen[0][torch.arange(len(TEXTS)), batch.last]
    found = capture(lm, lm.tokenize(TEXTS), [site], Moments)[site]
    torch.testing.assert_close(torch.as_tensor(found.mean).float(), last.mean(0), rtol=0, atol=1e-6)


def test_masks_as_they_are_written(tmp_path):
    lm = zoo.lm("mixtral")
    experts = selection_of(lm, "units", "0.experts:0,2 2.experts:1")
    assert experts == UnitMask.of({"0.experts": [0, 2], "2.experts": [1]}, n=4)
    assert selection_of(lm, "units", "1.group:1") == UnitMask.of({"1.z": [1]}, n=2, grain="group")
    assert selection_of(lm, "units", "1.head:1,3") == UnitMask.heads("1.1,1.3", n_heads=4)
    assert selection_of(lm, "units", "2.resid_post:31").total == 32
    assert selection_of(lm, "units", str(experts.save(tmp_path / "mask.safetensors"))) == experts
    for text, told in (
        ("1.group:2", "Its units are 0 to 1"),
        ("0.experts:", "names no units"),
        ("1.group:0 1.head:0", "chooses group and head"),
        ("1.nowhere:0", "not a site"),
        ("9.z:0", "layers 0 to 2"),
    ):
        with pytest.raises((SelectionError, SiteUnavailable), match=told):
            selection_of(lm, "units", text)


@pytest.mark.parametrize(("name", "text"), [("mixtral", "1.experts:0"), ("llama", "1.group:1")])
def test_the_causal_test_takes_every_kind_and_draws_random_ones_like_it(name, text, tmp_path):
    rows = [f"where is {word}?,box|bag,{i % 2}" for i, word in enumerate(("key", "cup", "hat", "pen", "map", "fan"))]
    (tmp_path / "items.csv").write_text("\n".join(["prompt,choices,answer", *rows]))
    lm = zoo.lm(name)
    mask = selection_of(lm, "units", text)
    asked = str(tmp_path / "items.csv")
    found = CausalTest(selection=mask, items=asked, draws=2, gate="mark", fills=("zero", "mean")).run(lm)
    random = found.items.filter(found.items["condition"] == "random")
    assert random["seed"].n_unique() == 2
    assert found.verdict["causal"].state in ("undecided", "failed")
