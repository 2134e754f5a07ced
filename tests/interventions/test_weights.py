"""Weight masks: what weights become, that all come back, and that the sparse way is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.errors import GuardError, SelectionError, SiteUnavailable
from broca.interventions.weights import Edit, WeightDeltas, WeightMask
from broca.models.weight_matrices import matrices
from broca.units.weights import Address, WeightSet

LAYOUTS = ["llama", "gpt2", "gpt_neox", "phi3", "opt", "mixtral", "gpt_oss"]
KINDS = ["zero", "mean", "scale", "flip", "resample", "noise"]
IDS = torch.tensor([[5, 9, 30, 7], [11, 4, 4, 60], [8, 8, 8, 2]])


def mask_of(lm, edit=Edit(), seed=0, k=9, kinds=None) -> WeightMask:  # noqa: B008
    rng = np.random.default_rng(seed)
    every = matrices(lm.model, lm.anatomy)
    at = {
        m.name: rng.choice(m.address.size, k, replace=False) for m in every if kinds is None or m.address.kind in kinds
    }
    return WeightMask(WeightSet(at, {m.name: m.address for m in every}, {"model": lm.fingerprint}), edit)


def state(lm):
    return {name: p.detach().clone() for name, p in lm.model.named_parameters()}


def same(a, b) -> bool:
    return all(torch.equal(a[name].view(torch.uint8), b[name].view(torch.uint8)) for name in a)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_chosen_weights_change_and_no_other_and_all_come_back(name, kind) -> None:
    lm = zoo.lm(name)
    mask = mask_of(lm, Edit(kind, alpha=0.5))
    before = state(lm)
    with lm.under(mask):
        for matrix in matrices(lm.model, lm.anatomy):
            old = matrix.of(before[matrix.parameter]).reshape(-1)
            new = matrix.of(lm.model.get_parameter(matrix.parameter).detach()).reshape(-1)
            chosen = np.zeros(matrix.address.size, bool)
            chosen[mask.weights.at[matrix.name]] = True
            assert torch.equal(new[~chosen], old[~chosen])
            wanted = {"zero": 0 * old, "flip": -old, "scale": old / 2, "mean": old[~chosen].mean().expand(len(old))}
            if kind in wanted:
                torch.testing.assert_close(new[chosen], wanted[kind][chosen], rtol=1e-4, atol=1e-6)
            else:
                assert not torch.equal(new[chosen], old[chosen])
            if kind == "resample":
                rows = np.arange(matrix.address.size) // matrix.address.columns
                for i in np.flatnonzero(chosen):
                    assert new[i] in old[(rows == rows[i]) & ~chosen]
    assert same(before, state(lm))


def test_noise_has_the_mean_and_deviation_of_the_others() -> None:
    lm = zoo.lm("llama")
    mask = mask_of(lm, Edit("noise"), k=500, kinds=("up",))
    with lm.under(mask):
        name = "model.layers.0.mlp.up_proj"
        values = lm.model.get_parameter(f"{name}.weight").detach().reshape(-1)[mask.weights.at[name].copy()]
        assert abs(float(values.std()) - 0.2) < 0.02
        assert abs(float(values.mean())) < 0.03


def test_as_published_the_mean_counts_chosen_weights_as_zero_and_scaling_is_about_it() -> None:
    lm = zoo.lm("llama")
    name = "model.layers.0.mlp.up_proj"
    old = lm.model.get_parameter(f"{name}.weight").detach().clone().reshape(-1)
    for alpha in (0.0, 0.3):
        mask = mask_of(lm, Edit("scale", alpha=alpha, about="mean", mean_of="zeroed"), k=400)
        index = mask.weights.at[name].copy()
        mean = (old.sum() - old[index].sum()) / old.numel()
        with lm.under(mask):
            new = lm.model.get_parameter(f"{name}.weight").detach().reshape(-1)
            torch.testing.assert_close(new[index], alpha * (old[index] - mean) + mean, rtol=1e-4, atol=1e-6)


def test_masks_nest_and_come_back_after_an_exception() -> None:
    lm = zoo.lm("gpt_neox")
    before = state(lm)
    outer, inner = mask_of(lm, Edit("flip")), mask_of(lm, Edit("noise"), seed=1, k=200)

    def nested() -> None:
        with lm.under(outer):
            within = state(lm)
            with lm.under(inner):
                assert not same(within, state(lm))
            assert same(within, state(lm))
            with lm.under(inner):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nested()
    assert same(before, state(lm))
    assert lm.condition == ()


def test_bfloat16_comes_back_bit_for_bit_and_results_have_their_own_address() -> None:
    lm = zoo.lm("llama")
    lm.model.bfloat16()
    before, known = state(lm), lm.fingerprint
    masks = [mask_of(lm, Edit(kind, alpha=2.0)) for kind in KINDS]
    assert len({mask.fingerprint for mask in masks}) == len(KINDS)
    for mask in masks:
        with lm.under(mask):
            assert lm.fingerprint == known
            assert lm.condition == (mask.fingerprint,)
        assert same(before, state(lm))


def logits(lm, ids=IDS):
    with torch.no_grad():
        return lm.model(input_ids=ids, use_cache=False).logits


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "phi3", "opt"])
def test_sparse_deltas_give_each_row_its_own_mask(name) -> None:
    lm = zoo.lm(name)
    lm.model.double()
    masks = [mask_of(lm, Edit("zero")), mask_of(lm, Edit("flip"), seed=2)]
    plain = logits(lm)
    edited = []
    for mask in masks:
        with lm.under(mask):
            edited.append(logits(lm))
    with lm.under(WeightDeltas(masks, (1, -1, 0))):
        mixed = logits(lm)
        twice = logits(lm, IDS.repeat_interleave(2, 0))
    wanted = torch.stack([edited[1][0], plain[1], edited[0][2]])
    torch.testing.assert_close(mixed, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(twice, wanted.repeat_interleave(2, 0), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(mixed, plain)
    assert torch.equal(plain, logits(lm))


def test_sparse_deltas_in_a_model_of_doubles_are_exact() -> None:
    lm = zoo.lm("gpt2")
    lm.model.double()
    mask = mask_of(lm, Edit("resample"))
    with lm.under(mask):
        wanted = logits(lm)
    with lm.under(WeightDeltas([mask], (0, 0, 0))):
        torch.testing.assert_close(logits(lm), wanted, rtol=1e-11, atol=1e-11)


def test_a_file_keeps_the_edit_and_the_model(tmp_path) -> None:
    lm = zoo.lm("llama")
    mask = mask_of(lm, Edit("scale", alpha=0.25))
    path = mask.save(tmp_path / "mask.safetensors")
    back = WeightMask.load(path, model=lm.fingerprint)
    assert back.fingerprint == mask.fingerprint
    other = zoo.lm("llama", seed=5)
    with pytest.raises(SelectionError, match="another model"):
        WeightMask.load(path, model=other.fingerprint)
    with pytest.raises(SelectionError, match="fingerprint"), other.under(back):
        pass


def test_what_cannot_be_masked_is_refused() -> None:
    lm, moe = zoo.lm("llama"), zoo.lm("mixtral")
    name = "model.layers.0.mlp.up_proj"
    with pytest.raises(SelectionError, match="zero weights"):
        WeightMask(WeightSet({}, {name: Address(0, "up", 48, 32)}))
    wrong = WeightMask(WeightSet({name: np.array([1])}, {name: Address(0, "up", 32, 48)}))
    with pytest.raises(SelectionError, match="this model has"), lm.under(wrong):
        pass
    with pytest.raises(SiteUnavailable, match="expert"), moe.under(WeightDeltas([mask_of(moe)], (0, 0, 0))):
        pass
    every = WeightMask(WeightSet({name: np.arange(48 * 32)}, {name: Address(0, "up", 48, 32)}), Edit("mean"))
    before = state(lm)
    with pytest.raises(GuardError, match="no others"), lm.under(every):
        pass
    assert same(before, state(lm))
    tied = zoo.lm("llama")
    tied.model.model.layers[1].mlp.up_proj.weight = tied.model.model.layers[0].mlp.up_proj.weight
    one = WeightMask(WeightSet({name: np.array([1])}, {name: Address(0, "up", 48, 32)}))
    with pytest.raises(SiteUnavailable, match="tied"), tied.under(one):
        pass
