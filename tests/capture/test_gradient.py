"""Attribution against loops: autograd one text and one site at a time, patching by hand, gradients of the weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from broca.capture import Gather
from broca.capture.gradient import attribution, output_gradients, squared_gradients
from broca.capture.metrics import Logit, LogitDifference, metric_values
from broca.errors import GuardError, SiteUnavailable, StatisticsError, StimulusError
from broca.interventions import Lesion
from broca.models.lm import LM
from broca.sites import Site
from broca.units import UnitMask

TEXTS = [f"{'a longer ' * (i % 3)}text number {i}." for i in range(7)]
METRIC = LogitDifference(40, 70)
KINDS = ("resid_pre", "resid_post", "attn_out", "mlp_out", "z", "mlp_act")


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2", "mixtral", "falcon", "gptj", "opt"])
def any_lm(request):
    return zoo.lm(request.param)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def by_autograd(lm, text, site, first=0):
    """One text, one site: replace the tensor by a leaf of the same value, differentiate."""
    tap = lm.anatomy.tap(site)
    leaf = []

    def swap(x):
        leaf.append(x.detach().clone().requires_grad_())
        return leaf[0].clone()

    module = lm.model.get_submodule(tap.module)
    if tap.side == "input":

        def before(_m, args, kwargs):
            if args:
                return (swap(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": swap(kwargs["hidden_states"])}

        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = module.register_forward_hook(
            lambda _m, _a, out: swap(out) if torch.is_tensor(out) else (swap(out[0]), *out[1:])
        )
    try:
        logits = lm.model(input_ids=torch.tensor([lm.tokenize([text])[0].ids]), use_cache=False).logits[0, -1]
    finally:
        handle.remove()
    (logits[40] - logits[70]).float().backward()
    lm.model.zero_grad()
    return -(leaf[0].detach() * leaf[0].grad)[0, first:].sum(0).double().numpy()


def test_attribution_is_the_loop_over_texts_and_sites(any_lm):
    lm = any_lm
    sites = [lm.anatomy.sites(k)[i] for k in KINDS for i in (0, -1) if lm.anatomy.has(Site(0, k))]
    sites = list(dict.fromkeys(sites))
    found = attribution(lm, lm.tokenize(TEXTS[:3]), sites, METRIC, Gather)
    for site in sites:
        wanted = np.stack([by_autograd(lm, text, site) for text in TEXTS[:3]])
        np.testing.assert_allclose(found[site].result(), wanted, atol=2e-4 * max(1, np.abs(wanted).max()))


def test_the_last_token_can_be_patched_alone(lm):
    site = Site(0, "mlp_act")
    found = attribution(lm, lm.tokenize(TEXTS), [site], METRIC, Gather, positions="last")[site].result()
    np.testing.assert_allclose(found, [by_autograd(lm, text, site, first=-1) for text in TEXTS], atol=1e-4)


def test_rows_of_many_shards_and_batches_stay_in_order(lm, monkeypatch):
    monkeypatch.setattr("broca.capture.loop.SHARD", 3)
    site, tokens = Site(1, "mlp_act"), lm.tokenize(TEXTS)
    right, foil = [30 + i for i in range(7)], [50 + i for i in range(7)]
    whole = attribution(lm, tokens, [site], LogitDifference(right, foil), Gather)[site].result()
    alone = [
        attribution(lm, [t], [site], LogitDifference(r, f), Gather)[site].result()[0]
        for t, r, f in zip(tokens, right, foil, strict=True)
    ]
    np.testing.assert_allclose(whole, alone, atol=1e-5)


def linear(lm):
    """A model whose logits are linear in the last block's output: no final norm."""
    model = zoo.build("llama")
    model.model.norm = torch.nn.Identity()
    return LM.wrap(model, lm.tokenizer)


@pytest.mark.parametrize("towards", ["zero", "values", "texts"])
def test_on_a_linear_path_attribution_is_the_effect_of_patching(lm, towards):
    lm = linear(lm)
    site = Site(2, "mlp_act")
    tokens, others = lm.tokenize(TEXTS), lm.tokenize([text[::-1] for text in TEXTS])
    values = np.linspace(-1, 1, lm.anatomy.width(site))
    given = {"zero": None, "values": {site: values}, "texts": others}[towards]
    found = attribution(lm, tokens, [site], METRIC, Gather, towards=given, positions="last")[site].result()
    weight = lm.model.model.layers[2].mlp.down_proj.weight
    direction = (lm.model.lm_head.weight[40] - lm.model.lm_head.weight[70]) @ weight
    for i, (text, other) in enumerate(zip(tokens, others, strict=True)):
        before, instead = (last_activation(lm, t) for t in (text, other))
        there = {"zero": 0 * before, "values": torch.tensor(values), "texts": instead}[towards]
        np.testing.assert_allclose(found[i], ((there - before) * direction).detach().numpy(), atol=1e-5)


def last_activation(lm, tokens):
    seen = []
    handle = lm.model.model.layers[2].mlp.down_proj.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    lm.model(input_ids=torch.tensor([tokens.ids]))
    handle.remove()
    return seen[0][0, -1].detach().double()


def test_on_a_linear_path_attribution_is_the_effect_of_a_lesion(lm):
    lm = linear(lm)
    site, tokens = Site(2, "mlp_act"), lm.tokenize(TEXTS)
    found = attribution(lm, tokens, [site], METRIC, Gather)[site].result()
    before = metric_values(lm, tokens, METRIC)
    for unit in (0, 7, 31):
        with lm.under(Lesion(UnitMask.of({site: [unit]}, n=48))):
            np.testing.assert_allclose(metric_values(lm, tokens, METRIC) - before, found[:, unit], atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gemma2"])
def test_squared_gradients_are_those_of_the_weights(name):
    lm = zoo.lm(name)
    kind = "mlp_act" if lm.anatomy.has(Site(1, "mlp_act")) else "z"
    site, tokens = Site(1, kind), lm.tokenize(TEXTS)
    found = squared_gradients(lm, tokens, [site], METRIC, Gather)[site].result()
    module = lm.model.get_submodule(lm.anatomy.tap(site).module)
    for i, text in enumerate(tokens):
        lm.model.zero_grad()
        logits = lm.model(input_ids=torch.tensor([text.ids]), use_cache=False).logits[0, -1]
        (logits[40] - logits[70]).backward()
        squared = module.weight.grad.double().square()
        wanted = squared.sum(1 if type(module).__name__ == "Conv1D" else 0)
        np.testing.assert_allclose(found[i], wanted, rtol=1e-3, atol=1e-6)
    lm.model.zero_grad()


def test_output_gradients_point_where_the_metric_rises(lm):
    site, tokens = Site(1, "mlp_act"), lm.tokenize(TEXTS)
    found = output_gradients(lm, tokens, [site], METRIC, Gather)[site].result()
    assert found.shape == (7, 32)
    module = lm.model.model.layers[1].mlp.down_proj
    step = torch.tensor(found[0]).float() * 1e-2
    rises = []
    for size in (0, 1):

        def add(_m, _a, out, size=size):
            out = out.clone()
            out[:, -1] += size * step
            return out

        handle = module.register_forward_hook(add)
        rises.append(metric_values(lm, tokens[:1], METRIC)[0])
        handle.remove()
    assert rises[1] - rises[0] == pytest.approx(float(np.square(found[0]).sum()) * 1e-2, rel=0.05)


def test_under_a_lesion_its_units_have_no_part(lm):
    first, later = Site(0, "mlp_act"), Site(1, "mlp_act")
    tokens = lm.tokenize(TEXTS)
    plain = attribution(lm, tokens, [first, later], METRIC)
    with lm.under(Lesion(UnitMask.of({first: [3, 5]}, n=48))):
        lesioned = attribution(lm, tokens, [first, later], METRIC)
    assert (lesioned[first].mean[[3, 5]] == 0).all()
    assert (plain[first].mean[[3, 5]] != 0).all()
    assert not np.allclose(plain[later].mean, lesioned[later].mean)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.bfloat16, 0.2), (torch.float64, 1e-4)])
def test_other_dtypes_give_the_same_up_to_rounding(lm, dtype, atol):
    tokens, sites = lm.tokenize(TEXTS), lm.anatomy.sites("mlp_act")
    wanted = attribution(lm, tokens, sites, METRIC)
    other = LM.wrap(zoo.build("llama").to(dtype), lm.tokenizer)
    found = attribution(other, tokens, sites, METRIC)
    for site in sites:
        scale = np.abs(wanted[site].mean).max()
        np.testing.assert_allclose(found[site].mean, wanted[site].mean, atol=atol * scale)


def test_nothing_is_left_behind(lm):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())

    lm.model.model.embed_tokens.weight.requires_grad_(False)
    asking = [p.requires_grad for p in lm.model.parameters()]
    before = hooks()
    attribution(lm, lm.tokenize(TEXTS), lm.anatomy.sites("z"), METRIC)
    with pytest.raises(ZeroDivisionError):
        attribution(lm, lm.tokenize(TEXTS), lm.anatomy.sites("z"), lambda logits, _batch: logits[:, 0] / (1 // 0))
    assert hooks() == before
    assert [p.requires_grad for p in lm.model.parameters()] == asking
    assert all(p.grad is None for p in lm.model.parameters())
    lm.model.model.embed_tokens.weight.requires_grad_(True)


def test_weights_keep_no_graph(lm):
    """What is saved for the backward pass must not grow with the number of weights: none of them is differentiated."""
    saved = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.requires_grad) or t, lambda t: t)
    with hooks:
        attribution(lm, lm.tokenize(TEXTS[:2]), [Site(2, "mlp_act")], METRIC)
    # Only what follows the last block's MLP is in the graph.
    assert 0 < len(saved) < 20


def test_a_metric_can_be_one_logit(lm):
    site, tokens = Site(2, "resid_post"), lm.tokenize(TEXTS)
    right, foil = (attribution(lm, tokens, [site], Logit(i))[site].mean for i in (40, 70))
    both = attribution(lm, tokens, [site], METRIC)[site].mean
    np.testing.assert_allclose(right - foil, both, atol=1e-4)


def test_mistakes_are_told(lm):
    tokens = lm.tokenize(TEXTS)
    site = Site(1, "mlp_act")
    with pytest.raises(StimulusError, match="7 texts come with 3"):
        attribution(lm, tokens, [site], METRIC, towards=tokens[:3])
    with pytest.raises(StimulusError, match="equal length"):
        attribution(lm, tokens, [site], METRIC, towards=tokens[::-1])
    with pytest.raises(SiteUnavailable, match=r"no values at 1\.mlp_act"):
        attribution(lm, tokens, [site], METRIC, towards={})
    with pytest.raises(SiteUnavailable, match="mlp_act or z"):
        squared_gradients(lm, tokens, [Site(1, "resid_post")], METRIC)
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        attribution(lm, tokens, [Site(7, "mlp_act")], METRIC)
    with pytest.raises(StatisticsError, match=r"1\.mlp_act are NaN .* 'text number 0"):
        attribution(lm, tokens, [site], lambda logits, _batch: (logits[:, 0] - logits[:, 0]).sqrt())


def test_a_site_that_is_run_twice_is_refused(lm):
    class Twice(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **kwargs):
            return self.inner(*args, **kwargs) + self.inner(*args, **kwargs)

    model = zoo.build("llama")
    twice = LM.wrap(model, lm.tokenizer)
    model.model.layers[1].mlp = Twice(model.model.layers[1].mlp)
    first, second, third = twice.anatomy.blocks
    blocks = (first, replace(second, mlp_act="mlp.inner.down_proj"), third)
    anatomy = replace(twice.anatomy, blocks=blocks)
    with pytest.raises(GuardError, match=r"1\.mlp_act 2 times"):
        attribution(LM(model, lm.tokenizer, anatomy), lm.tokenize(TEXTS), [Site(1, "mlp_act")], METRIC)
