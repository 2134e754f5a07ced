"""The calibrated bound against sanssouci (on which notip's calibrated Simes stands), its definition, and simulated error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.corrections import true_share
from broca.stats.exchange import Sides, arrange
from broca.stats.permutation import MaxT
from broca.stats.true_discoveries import calibrated_level, calibrated_share, p_of_t, simes_pivots


def flipped(seed: int, units: int = 200, subjects: int = 16, draws: int = 99) -> tuple[np.ndarray, np.ndarray]:
    """p of Student's t, observed and with random signs, of units that hang together; a fifth of them have an effect."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(subjects, 1)) + rng.normal(size=(subjects, units))
    values[:, : units // 5] += 1.6
    signs = rng.choice([-1, 1], size=(draws, subjects, 1))
    p = stats.ttest_1samp(signs * values, 0, axis=1).pvalue
    return stats.ttest_1samp(values, 0).pvalue, p


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_its_definition_says(seed):
    p, null = flipped(seed)
    m = p.size
    pivots = [min(m * x / (k + 1) for k, x in enumerate(sorted(row))) for row in null]
    assert simes_pivots(null) == pytest.approx(pivots)
    level = sorted(pivots)[4]  # 5 of 100 ranks
    assert calibrated_level(pivots) == level
    chosen = np.random.default_rng(seed).random(m) < 0.3
    chosen[:20] = True
    true = max(0, *(int((p[chosen] < k * level / m).sum()) - k + 1 for k in range(1, m + 1)))
    assert calibrated_share(p, chosen, pivots) == true / chosen.sum()


GOLDEN = [(0, 0.05665, 23), (1, 0.03479, 36), (2, 0.02286, 19), (3, 0.10616, 10)]
"""sanssouci 0.1.5: seed, the 5th of 99 pivots, and the bound for the first 40 units."""


@pytest.mark.parametrize(("seed", "level", "true"), GOLDEN)
def test_it_is_sanssoucis(seed, level, true):
    p, null = flipped(seed)
    chosen = np.arange(p.size) < 40
    assert calibrated_level(simes_pivots(null)) == pytest.approx(level, abs=5e-6)
    assert calibrated_share(p, chosen, simes_pivots(null)) * 40 == true


@pytest.mark.parametrize("seed", range(4))
def test_it_is_sanssoucis_where_it_is_installed(seed):
    sa = pytest.importorskip("sanssouci", reason="sanssouci is not installed")
    p, null = flipped(seed)
    chosen = np.arange(p.size) < 40
    pivots = sa.get_pivotal_stats(null)
    assert simes_pivots(null) == pytest.approx(pivots)
    theirs = sa.min_tp(p[chosen], sa.linear_template(np.sort(pivots)[4], p.size, p.size))
    assert calibrated_share(p, chosen, pivots) * 40 == theirs


def test_uncalibrated_it_is_no_more_than_all_resolutions_inference():
    for seed in range(5):
        p, _ = flipped(seed)
        chosen = p <= np.sort(p)[59]
        assert calibrated_share(p, chosen, np.full(99, 0.05)) <= true_share(p, chosen)


@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_the_bound_holds_for_selections_picked_after_looking(alike):
    rng = np.random.default_rng(3)
    wrong = gained = 0
    for _ in range(200):
        values = alike**0.5 * rng.normal(size=(12, 1)) + (1 - alike) ** 0.5 * rng.normal(size=(12, 60))
        values[:, :15] += 1.2
        test = MaxT(arrange(Sides.of(12, 12, paired=True), n=199, seed=0), calibrate=True)
        test.update(values, np.zeros((12, 60)))
        (found,) = test.result()
        p = p_of_t(found.t, test.arrangements.sides)
        bounds = {k: calibrated_share(p, p <= np.sort(p)[k - 1], found.pivots) for k in (5, 15, 30, 60)}
        true = {k: np.mean(np.argsort(p)[:k] < 15) for k in bounds}
        wrong += any(bounds[k] > true[k] + 1e-12 for k in bounds)
        gained += bounds[15] > 0
    assert wrong <= 18  # 10 expected at most
    assert gained >= 140


def test_streamed_pivots_are_a_little_below_the_exact_ones_however_units_are_cut():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(14, 300)) + rng.normal(size=(14, 1)), rng.normal(size=(12, 300))
    a[:, :30] += 1
    a[:, 7] = b[:, 7] = 1.0  # a dead unit is no test
    arrangements = arrange(Sides.of(14, 12), n=150, seed=2)
    whole = MaxT(arrangements, calibrate=True)
    whole.update(a, b)
    (found,) = whole.result()
    rows = np.concatenate([a, b])
    t = [
        stats.ttest_ind(np.delete(rows[flags], 7, 1), np.delete(rows[~flags], 7, 1), equal_var=False).statistic
        for flags in arrangements.flags
    ]
    exact = simes_pivots(p_of_t(t, arrangements.sides))
    assert (found.pivots <= exact * (1 + 1e-9)).all()
    assert (found.pivots >= exact / 1.04).all()
    parts = [MaxT(arrangements, calibrate=True) for _ in range(2)]
    parts[0].update(a[:, :100], b[:, :100])
    parts[1].update(a[:, 100:], b[:, 100:])
    for joined in (parts[0] + parts[1], parts[1] + parts[0]):
        assert (joined.result()[0].pivots == found.pivots).all()
    kept = MaxT(arrangements, calibrate=True)
    for part in parts:
        kept.include(part.arrays)
    assert (kept.result()[0].pivots == found.pivots).all()


def test_where_all_arrangements_are_tried_the_observed_one_is_among_them():
    assert calibrated_level(np.arange(1, 41) / 100, exact=True) == 0.03
    assert calibrated_level(np.arange(1, 41) / 100) == 0.02
    assert calibrated_level([0.5] * 10) == 0, "ten random arrangements allow no bound at 5 %"
    assert calibrated_share([1e-9, 0.5], [True, False], [0.5] * 10) == 0


def test_what_is_undefined_is_said():
    plain = MaxT(arrange(Sides.of(5, 5), n=99))
    calibrated = MaxT(plain.arrangements, calibrate=True)
    with pytest.raises(StatisticsError, match="one is calibrated"):
        plain + calibrated
    plain.update(np.eye(5), np.zeros((5, 5)))
    with pytest.raises(StatisticsError, match="was not calibrated"):
        calibrated.include(plain.arrays)
    with pytest.raises(StatisticsError, match="0 pivots"):
        calibrated_level([])
    with pytest.raises(StatisticsError, match=r"\(arrangement, unit\)"):
        simes_pivots([0.5])
    with pytest.raises(StatisticsError, match="not finite"):
        simes_pivots([[0.5, np.nan]])
