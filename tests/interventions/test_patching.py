"""Patching: against a loop over single texts, plain PyTorch hooks, and what must hold of any patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.zoo import lm as tiny
from torch import Tensor

from broca.capture.places import at_places
from broca.errors import GuardError, SelectionError, SiteUnavailable, StimulusError
from broca.interventions.patch import Patch
from broca.interventions.patching import Case, Cell, patch_grid, position_pairs
from broca.interventions.plant import text_key
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.units import UnitMask

PAIRS = [
    ("add up one and two", "ad up one and two", {"word": ((1, 2, 3), (1, 2)), "end": ((18,), (17,))}),
    (
        "give the gap of both",
        "give the gapp of both",
        {"word": ((10, 11, 12), (10, 11, 12, 13)), "end": ((20,), (21,))},
    ),
    ("sum it", "smu it", {"word": ((1, 2, 3), (1, 2, 3)), "end": ((6,), (6,)), "rest": ((4, 5), (4, 5))}),
]


def cases(lm) -> list[Case]:
    donors = lm.tokenize([clean for clean, _, _ in PAIRS])
    runs = lm.tokenize([perturbed for _, perturbed, _ in PAIRS])
    return [
        Case(r, d, places, 10 + i, 40 + i)
        for i, (d, r, (_, _, places)) in enumerate(zip(donors, runs, PAIRS, strict=True))
    ]


def cells(lm) -> list[Cell]:
    flags = np.zeros(lm.anatomy.width(Site(1, "z")), dtype=bool)
    flags[8:16] = True
    return [
        *(
            Cell(at, {Site(layer, kind): None})
            for kind in ("resid_post", "mlp_out")
            for layer in range(3)
            for at in ("word", "end")
        ),
        Cell("rest", {Site(0, "resid_post"): None}),
        Cell("all", {Site(1, "z"): flags}),
        Cell("word", {Site(0, "z"): None, Site(2, "mlp_act"): None}),
    ]


@torch.no_grad()
def alone(lm, case: Case, cell: Cell) -> Tensor:
    """One case, one cell, with PyTorch's own hooks and no padding."""
    held, handles = {}, []
    pairs = [
        p
        for name, (a, b) in case.places.items()
        if cell.at in (name, "all")
        for p in zip(a[-len(b) :], b[-len(a) :], strict=True)
    ]

    def hook(site, module, side, show):
        if side == "output":
            return module.register_forward_hook(lambda _m, _a, out: show(site, out))
        return module.register_forward_pre_hook(lambda _m, args: (show(site, args[0]),))

    def keep(site, x):
        held[site] = x.clone()
        return x

    def put(site, x):
        x = x.clone()
        units = slice(None) if cell.parts[site] is None else torch.from_numpy(np.flatnonzero(cell.parts[site]))
        for theirs, own in pairs:
            x[0, own, units] = held[site][0, theirs, units]
        return x

    for show, tokens in ((keep, case.donor), (put, case.run)):
        for site in cell.parts:
            tap = lm.anatomy.tap(site)
            handles.append(hook(site, lm.model.get_submodule(tap.module), tap.side, show))
        logits = lm.model(input_ids=torch.tensor([tokens.ids])).logits[0, -1]
        for handle in handles:
            handle.remove()
    return logits


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_a_grid_equals_one_text_at_a_time(name):
    lm = tiny(name)
    found = patch_grid(lm, cases(lm), cells(lm))
    for row, case in enumerate(cases(lm)):
        with torch.no_grad():
            theirs = lm.model(input_ids=torch.tensor([case.donor.ids])).logits[0, -1].log_softmax(-1)
        for column, cell in enumerate(cells(lm)):
            if cell.at == "rest" and "rest" not in case.places:
                assert np.isnan(found.after[row, column]).all()
                continue
            logits = alone(lm, case, cell)
            own = logits.log_softmax(-1)
            expected = [
                logits[case.right] - logits[case.wrong],
                own[case.right],
                torch.nn.functional.kl_div(own, theirs, log_target=True, reduction="sum"),
            ]
            np.testing.assert_allclose(found.after[row, column], torch.stack(expected).numpy(), atol=3e-5)
    assert found.work.passes == 2 + len(cells(lm))
    assert found.work.saved_share > 0.3


def test_batches_and_ways_do_not_matter():
    lm = tiny("llama")
    one, many = patch_grid(lm, cases(lm), cells(lm), size=1), patch_grid(lm, cases(lm), cells(lm), way="whole")
    np.testing.assert_allclose(one.after, many.after, atol=2e-5)
    np.testing.assert_allclose(one.lost, many.lost, atol=2e-5)
    assert many.work.saved_share == 0


def test_a_run_patched_with_itself_does_not_change():
    lm = tiny("gpt2")
    found = patch_grid(lm, [case.itself for case in cases(lm)], cells(lm))
    np.testing.assert_allclose(np.nan_to_num(found.restoration), 0, atol=1e-5)
    assert found.lost.tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_the_whole_stream_of_a_text_of_equal_length_restores_all_of_it_and_reversed_breaks_all_of_it():
    lm = tiny("llama")
    case = cases(lm)[2]
    every = tuple(range(len(case.run)))
    case = Case(case.run, case.donor, {"each": (every, every)}, 10, 40)
    cell = Cell("each", {Site(0, "resid_pre"): None})
    for each in (case, case.reversed):
        found = patch_grid(lm, [each], [cell])
        assert abs(found.lost[0]) > 1e-3
        np.testing.assert_allclose(found.restoration[0], found.lost, atol=1e-5)
        np.testing.assert_allclose(found.after[0, 0], found.donor[0], atol=1e-5)


def test_a_lent_donor_is_another_items():
    lm = tiny("llama")
    first, second, _ = cases(lm)
    lent = first.with_donor(second)
    assert lent.donor is second.donor
    assert lent.places == {"word": (second.places["word"][0], first.places["word"][1]), "end": ((20,), (17,))}


def test_of_all_classes_a_token_is_patched_once_as_the_first_of_them_says():
    lm = tiny("llama")
    case = cases(lm)[2]
    twice = Case(case.run, case.donor, {**case.places, "random": ((1, 4), (4, 5))}, case.right, case.wrong)
    assert position_pairs(twice, "random") == [(1, 4), (4, 5)]
    assert sorted(position_pairs(twice, "all")) == sorted(position_pairs(case, "all"))
    site = Site(1, "resid_post")
    once, again = (patch_grid(lm, [each], [Cell("all", {site: None})]).after for each in (case, twice))
    np.testing.assert_array_equal(once, again)


def test_positions_outside_a_text_are_refused():
    lm = tiny("llama")
    with pytest.raises(StimulusError, match="positions"):
        patch_grid(lm, [Case(Tokens((1, 2), "a"), Tokens((1, 2), "b"), {"word": ((2,), (1,))}, 1, 2)], cells(lm))
    with pytest.raises(StimulusError, match="at least one"):
        patch_grid(lm, [], cells(lm))


def test_a_patch_in_force_gives_what_the_grid_gives():
    lm = tiny("llama")
    site, made = Site(1, "resid_post"), cases(lm)
    held = at_places(lm, [case.donor for case in made], [site], [case.places["end"][0] for case in made])[site]
    patch = Patch(
        {text_key(case.run.ids): (case.places["end"][1], {site: at}) for case, at in zip(made, held, strict=True)}
    )
    found = patch_grid(lm, made, [Cell("end", {site: None})])
    with lm.under(patch):
        for batch in lm.batches([case.run for case in made]):
            logits = lm.next_logits(batch)
            gaps = [float(row[made[i].right] - row[made[i].wrong]) for i, row in zip(batch.index, logits, strict=True)]
            np.testing.assert_allclose(gaps, found.after[list(batch.index), 0, 0], atol=2e-5)
        with pytest.raises(GuardError, match="no activations"):
            lm.generate(["another text"])
        assert lm.generate([PAIRS[0][1]], max_new_tokens=3)
    assert lm.condition == ()


@pytest.mark.parametrize("heads", [None, "1.0, 1.3"])
def test_a_patch_of_several_places_and_chosen_heads_is_that_of_the_grid(heads):
    lm = tiny("llama")
    site, case = Site(1, "z"), cases(lm)[0]
    own = position_pairs(case, "word")
    held = at_places(lm, [case.donor], [site], [[a for a, _ in own]])[site]
    mask = None if heads is None else UnitMask.heads(heads, n_heads=4)
    flags = None if mask is None else np.repeat(mask.at[site], 8)
    found = patch_grid(lm, [case], [Cell("word", {site: flags})])
    with lm.under(Patch({text_key(case.run.ids): ([b for _, b in own], {site: held[0]})}, mask)):
        logits = lm.next_logits(next(lm.batches([case.run])))[0]
    assert float(logits[case.right] - logits[case.wrong]) == pytest.approx(found.after[0, 0, 0], abs=2e-5)
    assert abs(found.restoration[0, 0]) > 1e-4


def test_patches_of_other_values_have_other_addresses_and_bad_ones_are_refused():
    site = Site(0, "z")
    one, two = ({"k": ((1,), {site: np.full((1, 4), v, np.float32)})} for v in (0, 1))
    assert Patch(one).fingerprint == Patch(one).fingerprint != Patch(two).fingerprint
    mask = UnitMask.of({"0.z": [1]}, n=4)
    assert Patch(one, mask).fingerprint != Patch(one).fingerprint
    with pytest.raises(SelectionError, match="no text"):
        Patch({})
    with pytest.raises(SelectionError, match="same sites"):
        Patch({"k": ((1,), {})})
    with pytest.raises(SelectionError, match="place"):
        Patch({"k": ((1, 2), {site: np.zeros((1, 4), np.float32)})})
    with pytest.raises(SiteUnavailable, match="another model"), tiny("llama").under(Patch(one, mask)):
        pass
