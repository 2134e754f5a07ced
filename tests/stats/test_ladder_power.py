"""The power of the ladder against the ladder: the same kind of studies, item by item, through the tests of the rungs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.ladder_needs import ladder_needs
from broca.stats.ladder_power import (
    NOISE,
    SHIFT,
    SPREAD,
    STRENGTHS,
    UNLIKE,
    Study,
    _flip_p,
    _shift,
    _simulate,
    ladder_power,
)
from broca.stats.loss import loss_test
from broca.stats.pairs import sign_flip_test
from broca.stats.specificity import Drops, specificity_test
from broca.stats.stopping import decide


def rates(study: Study, n: int, seed: int = 0) -> np.ndarray:
    """How often studies pass *causal*, *specific*, and both; and the mean number of draws."""
    rng, found = np.random.default_rng(seed), []
    labels = np.repeat(np.arange(study.groups), study.items)

    def ability(shift: float) -> tuple[np.ndarray, np.ndarray]:
        shared = rng.normal(size=study.groups)[labels] * study.alike**0.5
        own = rng.normal(size=len(labels)) * (1 - study.alike) ** 0.5
        margin = SPREAD * (stats.norm.ppf(study.intact) + shared + own)
        fall = shift * rng.gamma(UNLIKE, 1 / UNLIKE, study.groups)[labels]
        return margin, np.stack([margin - s * fall + NOISE * rng.normal(size=len(labels)) for s in STRENGTHS])

    for _ in range(n):
        pairs = [ability(_shift(study)), *(ability(0) for _ in range(study.others))]
        drops = [Drops.of(m > 0, x > 0, m, x, chance=study.chance, groups=labels) for m, x in pairs]
        margin, lesioned = pairs[0]
        causal = loss_test(margin > 0, lesioned > 0, study.chance, groups=labels, n=999, alpha=study.rule.alpha).state
        specific = [
            specificity_test(drops[0], other, n=299, others=study.others, alpha=study.rule.alpha).state == "passed"
            for other in drops[1:]
        ]
        random = (
            margin - SHIFT * rng.normal(size=(study.rule.n, 1)) - NOISE * rng.normal(size=(study.rule.n, len(labels)))
        )
        decision = decide((random > 0).mean(1) <= (lesioned[0] > 0).mean() + 1e-9, study.rule)
        passed = causal == "passed" and decision.state == "passed"
        found.append((passed, all(specific), passed and all(specific), decision.draws))
    return np.mean(found, 0)


STUDIES = [
    Study(0.15, groups=20, items=5),
    Study(0.12, groups=12, items=8, others=2),
    Study(0.1, groups=30, items=1),
    Study(0.05, groups=25, items=4),
    Study(0.25, groups=8, items=4, intact=0.85),
    Study(0.2, groups=10, items=4, alike=0.4, claims=2),
    Study(0.35, groups=7),
]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_it_is_what_the_rungs_say(study):
    """Of 300 studies a share of one half has a standard error of 0.03."""
    causal, specific, both, draws = rates(study, 300)
    found = ladder_power(study, simulations=2000)
    assert found.causal == pytest.approx(causal, abs=0.1)
    assert found.specific == pytest.approx(specific, abs=0.1)
    assert found.both == pytest.approx(both, abs=0.1)
    assert found.draws == pytest.approx(draws, rel=0.15)


def test_a_few_studies_agree():
    causal, specific, both, _ = rates(STUDIES[0], 40)
    found = ladder_power(STUDIES[0])
    assert (found.causal, found.specific, found.both) == pytest.approx((causal, specific, both), abs=0.25)


def test_random_choices_cost_as_much_as_often_as_they_do_item_by_item():
    study = Study(0.1, groups=10, items=4)
    rng = np.random.default_rng(0)
    generator = np.random.default_rng(1)
    own, other = (_simulate(study, shift, generator, 4000) for shift in (_shift(study), 0.0))
    labels, alone, beside = np.repeat(np.arange(10), 4), [], []
    for _ in range(800):
        losses, drawn, headroom = [], [], []
        for shift in (_shift(study), 0.0):
            margin = rng.normal(size=10)[labels] * study.alike**0.5 + rng.normal(size=40) * (1 - study.alike) ** 0.5
            margin = SPREAD * (stats.norm.ppf(study.intact) + margin)
            fall = shift * rng.gamma(UNLIKE, 1 / UNLIKE, 10)[labels]
            random = margin - SHIFT * rng.normal(size=(400, 1)) - NOISE * rng.normal(size=(400, 40))
            losses.append(np.mean(margin > 0) - np.mean(margin - fall + NOISE * rng.normal(size=40) > 0))
            drawn.append(np.mean(margin > 0) - (random > 0).mean(1))
            headroom.append(np.mean(margin > 0) - study.chance)
        alone.append(np.mean(drawn[0] >= losses[0] - 1e-9))
        gap = drawn[0] / headroom[0] - drawn[1] / headroom[1]
        beside.append(np.mean(gap >= losses[0] / headroom[0] - losses[1] / headroom[1] - 1e-9))
    assert own.as_costly.mean() == pytest.approx(np.mean(alone), abs=0.025)
    assert own.as_costly_beside(other).mean() == pytest.approx(np.mean(beside), abs=0.025)


def test_each_condition_counts():
    assert ladder_power(Study(0.2, groups=6, items=2)).causal < 0.35, "the interval reaches zero; .7 are large enough"
    assert ladder_power(Study(0.06, groups=60)).causal < 0.05, "surely beyond zero, and too small to matter"
    near = ladder_power(Study(0.06, groups=60, others=1))
    assert near.specific < 0.1
    few = Study(0.1, groups=10, items=4)
    assert ladder_power(replace(few, others=4)).specific < 0.75 * ladder_power(few).specific


def test_more_loss_more_groups_and_fewer_others_make_it_likelier():
    middle = Study(0.12, groups=12, others=3)
    power = ladder_power(middle).both
    assert 0.2 < power < 0.9
    assert ladder_power(replace(middle, loss=0.2)).both > power + 0.05
    assert ladder_power(replace(middle, groups=40)).both > power + 0.05
    assert ladder_power(replace(middle, others=0)).both > power + 0.05
    assert ladder_power(replace(middle, claims=5)).both < power
    assert ladder_power(replace(middle, groups=5)).causal == 0, "five groups allow no p of 0.05"
    assert ladder_power(replace(middle, others=0)).specific == 1


def test_what_is_needed_is_enough_and_hardly_more():
    needs = ladder_needs(Study(0.15, others=2))
    assert needs.power.both >= 0.8
    assert (needs.draws, needs.twins, needs.items) == (200, 19, 5 * needs.study.groups)
    fewer = replace(needs.study, groups=round(0.7 * needs.study.groups))
    assert ladder_power(fewer, seed=1).both < 0.8
    assert ladder_power(needs.study, seed=1, simulations=2000).both > 0.74
    more = ladder_needs(Study(0.3, claims=3))
    assert (more.draws, more.twins) == (300, 59)
    assert 120 <= ladder_power(needs.study).draws <= 200


def test_what_is_needed_is_surely_enough():
    needs = ladder_needs(Study(0.25, others=0), power=0.8, simulations=100)
    assert needs.power.both >= 0.86, "100 studies give 0.8 within 0.066"
    sure = ladder_needs(Study(0.35, others=0), power=0.999, simulations=100)
    assert sure.study.groups < 20, "no share of simulated studies lies above 1"


@given(st.integers(2, 9), st.integers(0, 1000))
def test_few_groups_have_the_p_of_all_patterns_of_signs(groups, seed):
    losses = np.random.default_rng(seed).integers(-2, 4, size=(5, groups)) / 5
    assert _flip_p(losses) == pytest.approx([sign_flip_test(each).p for each in losses])


def test_a_lesion_of_everything_is_refuted_as_often_as_the_rung_does_it():
    """Of 120 studies a share of one half has a standard error of 0.05."""
    study = Study(0.2, groups=16, items=4, others=2)
    rng, failed = np.random.default_rng(0), 0
    labels = np.repeat(np.arange(study.groups), study.items)
    for _ in range(120):
        drops = []
        for _ in range(1 + study.others):
            shared = rng.normal(size=study.groups)[labels] * study.alike**0.5
            margin = rng.normal(size=len(labels)) * (1 - study.alike) ** 0.5 + shared + stats.norm.ppf(study.intact)
            fall = _shift(study) * rng.gamma(UNLIKE, 1 / UNLIKE, study.groups)[labels]
            after = np.stack([SPREAD * margin - s * fall + NOISE * rng.normal(size=len(labels)) for s in STRENGTHS])
            drops.append(Drops.of(margin > 0, after > 0, SPREAD * margin, after, chance=study.chance, groups=labels))
        states = [specificity_test(drops[0], other, n=299, others=study.others).state for other in drops[1:]]
        failed += "failed" in states
    assert ladder_power(study, simulations=1000).refutation == pytest.approx(failed / 120, abs=0.15)


def test_refuting_takes_more_groups_than_passing():
    needs = ladder_needs(Study(0.25, others=2))
    assert needs.refutation.groups > 2 * needs.study.groups
    assert ladder_power(needs.refutation, seed=1).refutation >= 0.74
    assert ladder_power(needs.study, seed=1).refutation < 0.5
    assert ladder_needs(Study(0.25, others=0)).refutation is None
    assert ladder_power(Study(0.25, others=0)).refutation == 0
    assert ladder_power(Study(0.25, groups=4, others=1)).refutation == 0, "four groups compare nothing"


def test_a_loss_of_no_interest_is_never_found_often_enough():
    with pytest.raises(StatisticsError, match="too close to the smallest one of interest"):
        ladder_needs(Study(0.08), simulations=100)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Study(0.0), "loss above 0"),
        (lambda: Study(0.1, intact=0.5), "chance below intact"),
        (lambda: Study(0.1, items=0), "1 item or more"),
        (lambda: ladder_power(Study(0.1), simulations=0), "0 studies"),
        (lambda: ladder_needs(Study(0.1), power=1), "power is 1"),
    ],
)
def test_impossible_numbers_are_named(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
