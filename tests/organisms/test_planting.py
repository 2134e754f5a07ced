"""Planted truth is true by measurement, in every architecture, and invisible to the rest of the model."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from broca.capture.metrics import LogitDifference, metric_values
from broca.errors import GuardError, SelectionError
from broca.interventions.plant import text_key
from broca.organisms.planting import (
    CELLS,
    Design,
    ablation_effects,
    calibrate_gains,
    prepare_bed,
    root_mean_square,
    selectivity,
)
from broca.sites import Site

TEXTS = [f"{word} {i}" for i in range(8) for word in ("one", "three")]
METRIC = LogitDifference(40, 70)


@pytest.fixture(scope="module", params=["gpt2", "llama", "mixtral", "gemma2"])
def garden(request):
    lm = zoo.lm(request.param)
    tokens = lm.tokenize(TEXTS)
    sites = lm.anatomy.sites("mlp_act" if lm.anatomy.has(Site(0, "mlp_act")) else "z")
    sides = {text_key(text.ids): 1 - 2 * (i % 2) for i, text in enumerate(tokens)}
    bed = prepare_bed(lm, tokens, sites, METRIC, sides=sides, design=Design(pairs=2))
    return lm, tokens, sites, bed, calibrate_gains(lm, bed, tokens, METRIC)


def test_each_cell_is_what_it_was_planted_to_be(garden):
    lm, tokens, sites, bed, gains = garden
    plant = bed.plant(gains)
    d = selectivity(lm, plant, tokens, sites)
    units = list(bed.cell_of)
    with lm.under(plant):
        effect = root_mean_square(ablation_effects(lm, tokens, units, METRIC)) / bed.sd
    assert [list(bed.cell_of.values()).count(cell) for cell in CELLS] == [4] * 4
    for (site, unit), moved in zip(units, effect, strict=True):
        cell = bed.cell_of[site, unit]
        assert (abs(d[site][unit]) >= 0.4) == (cell in ("both", "selective")), (cell, d[site][unit])
        assert (moved >= 0.5) == (cell in ("both", "causal")), (cell, moved)


def test_the_rest_of_the_model_cannot_tell_the_sides(garden):
    """Antagonists pass on neither side nor mean, so that no unit downstream becomes selective."""
    lm, tokens, sites, bed, gains = garden
    d = selectivity(lm, bed.plant(gains), tokens, sites)
    own = [
        abs(d[site][unit])
        for site in sites
        for unit in range(lm.anatomy.width(site))
        if (site, unit) not in bed.cell_of
    ]
    assert max(own) < 1e-3


def test_a_planted_unit_responds_in_its_own_standard_deviations(garden):
    lm, tokens, sites, bed, gains = garden
    d = selectivity(lm, bed.plant(gains), tokens, sites)
    chosen = [d[site][unit] for (site, unit), cell in bed.cell_of.items() if cell in ("both", "selective")]
    assert np.mean(chosen) == pytest.approx(0.8, rel=0.2)


def test_an_inert_unit_keeps_what_it_wrote_but_its_part_along_the_gradient(garden):
    bed = garden[3]
    for pair in bed.pairs:
        up = pair.along / np.linalg.norm(pair.along)
        assert abs(pair.own @ up) < 1e-6 * np.linalg.norm(pair.own) + 1e-9
        assert np.linalg.norm(pair.own) > 0


def test_ablated_is_the_difference_a_lesion_makes(garden):
    from broca.interventions import Lesion
    from broca.units import UnitMask

    lm, tokens, sites, _, _ = garden
    found = ablation_effects(lm, tokens, [(sites[0], 3)], METRIC)
    before = metric_values(lm, tokens, METRIC)
    with lm.under(Lesion(UnitMask.of({sites[0]: [3]}, n=lm.anatomy.width(sites[0])))):
        np.testing.assert_array_equal(found[0], metric_values(lm, tokens, METRIC) - before)
    np.testing.assert_array_equal(before, metric_values(lm, tokens, METRIC))


def test_too_few_units_say_how_many_would_do():
    lm = zoo.lm("llama")
    tokens, sites = lm.tokenize(TEXTS), lm.anatomy.sites("mlp_act")
    with pytest.raises(SelectionError, match=r"72 units .* of the 144 units .* at most 4 pairs"):
        prepare_bed(lm, tokens, sites, METRIC, sides={}, design=Design(pairs=9))
    assert len(prepare_bed(lm, tokens, sites, METRIC, sides={}, design=Design(pairs=4)).pairs) == 16


def test_a_metric_that_never_varies_is_refused():
    lm = zoo.lm("llama")
    with pytest.raises(GuardError, match="same for all 16 reference texts"):
        prepare_bed(lm, lm.tokenize(TEXTS), lm.anatomy.sites("mlp_act"), LogitDifference(40, 40), sides={})
