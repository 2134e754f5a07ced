"""The states of a loss, by hand and by simulated rates."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.loss import loss_test
from broca.stats.pairs import sign_flip_test
from broca.stats.power import paired_needed


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def items(groups: int, each: int, loss: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """95 % right intact, `loss` less under three fills; groups differ."""
    labels = np.repeat(np.arange(groups), each)
    uniform = rng.random(len(labels))
    own = np.clip(loss + rng.normal(0, 0.1, groups), 0, 0.95)[labels]
    return uniform < 0.95, np.stack([uniform < 0.95 - own] * 3), labels


def test_a_loss_that_is_beyond_zero_and_large_passes(rng):
    intact, lesioned, labels = items(20, 10, 0.3, rng)
    found = loss_test(intact, lesioned, 0.5, groups=labels)
    assert (found.state, found.why, found.needed, found.groups) == ("passed", "", None, 20)
    assert found.value == pytest.approx(intact.mean() - lesioned.mean())
    assert found.smallest_effect == pytest.approx((intact.mean() - 0.5) / 5)
    assert found.p == sign_flip_test(intact - lesioned.mean(0), groups=labels).p
    assert 0 < found.low < found.value < found.high


def test_a_loss_whose_interval_lies_below_the_smallest_effect_has_failed_even_if_it_is_real(rng):
    intact, lesioned, labels = items(60, 20, 0.0, rng)
    assert loss_test(intact, lesioned, 0.5, groups=labels, smallest_effect=0.2).state == "failed"
    real = loss_test(intact.astype(float), intact - rng.uniform(0.01, 0.03, 1200), groups=labels, smallest_effect=0.1)
    assert real.p <= 0.05
    assert (real.state, real.needed) == ("failed", None)


def test_a_loss_that_is_real_and_seems_too_small_is_undecided_until_groups_part_it_from_the_smallest_effect():
    lost = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.05, 0.1, 0.15, 0.2, 0.25])
    found = loss_test(np.ones(10), 1 - lost, smallest_effect=0.16)
    assert found.low > 0
    assert found.value < 0.16 < found.high
    assert (found.state, found.why) == ("undecided", "interval")
    assert found.needed == paired_needed((0.16 - found.value) / lost.std(ddof=1))
    larger = loss_test(np.ones(10), 1 - (lost - 0.05), smallest_effect=0.04)
    assert (larger.value, larger.state) == (pytest.approx(0.1), "passed")
    vague = loss_test(np.ones(6), 1 - np.array([0.5, -0.3, 0.6, -0.1, 0.4, 0.1]), smallest_effect=0.1)
    spread = np.std([0.5, -0.3, 0.6, -0.1, 0.4, 0.1], ddof=1)
    assert (vague.state, vague.needed) == ("undecided", paired_needed(0.2 / spread))


def test_more_than_fifty_times_the_groups_that_there_are_is_no_number_to_ask_for():
    lost = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.05, 0.1, 0.15, 0.2, 0.25])
    spread = lost.std(ddof=1)
    just = loss_test(np.ones(10), 1 - lost, smallest_effect=lost.mean() + 0.128 * spread)
    beyond = loss_test(np.ones(10), 1 - lost, smallest_effect=lost.mean() + 0.124 * spread)
    assert (just.state, beyond.state, beyond.why) == ("undecided", "undecided", "interval")
    assert just.needed == paired_needed(0.128) <= 500 < paired_needed(0.124)
    assert beyond.needed is None


def test_five_groups_decide_nothing_and_six_are_named():
    intact = np.ones(25)
    found = loss_test(intact, np.zeros(25), 0.5, groups=np.arange(25) // 5)
    assert (found.state, found.why, found.smallest_p, found.needed) == ("undecided", "few groups", 1 / 16, 6)
    one = loss_test(intact, np.zeros(25), 0.5, groups=["a"] * 25)
    assert (one.state, one.why, one.groups, one.value) == ("undecided", "few groups", 1, 1.0)
    assert loss_test(np.ones(30), np.zeros(30), 0.5, groups=np.arange(30) // 5).state == "passed"


def test_a_fill_without_the_sign_leaves_it_undecided():
    intact = np.ones(20)
    lesioned = np.stack([np.zeros(20), np.zeros(20), np.where(np.arange(20) < 10, 1.5, 0.6)])
    found = loss_test(intact, lesioned, 0.5)
    assert (found.state, found.why) == ("undecided", "fills disagree")
    assert found.by_fill == pytest.approx((1, 1, -0.05))


def test_what_is_undecided_says_how_many_groups_would_decide_it():
    """The number named does decide, with about the power asked for."""
    rng = np.random.default_rng(1)
    few = [items(8, 5, 0.13, rng) for _ in range(40)]
    open_ = [found for data in few if (found := loss_test(*data[:2], 0.5, groups=data[2], n=499)).state == "undecided"]
    needed = [found.needed for found in open_ if found.needed is not None and abs(found.value - 0.13) < 0.02]
    assert needed
    assert 9 <= np.median(needed) <= 40
    more = [items(int(np.median(needed)), 5, 0.13, rng) for _ in range(100)]
    assert np.mean([loss_test(*data[:2], 0.5, groups=data[2], n=499).low > 0 for data in more]) == pytest.approx(
        0.8, abs=0.2
    )


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_false_states_are_rare(loss):
    """Where nothing is lost hardly any passes; where exactly the smallest effect is lost hardly any fails."""
    rng = np.random.default_rng(2)
    states = []
    for _ in range(300):
        labels = np.repeat(np.arange(15), 4)
        lost = loss + rng.normal(0, 0.3, 15)[labels] + rng.normal(0, 0.3, 60)
        states.append(loss_test(np.zeros(60), -lost, groups=labels, smallest_effect=0.2, n=499).state)
    wrong = "failed" if loss else "passed"
    assert np.mean([state == wrong for state in states]) <= 0.05


def test_weights_are_as_good_as_repetition(rng):
    intact, lesioned, labels = items(10, 4, 0.3, rng)
    times = np.tile([1, 2], 20)
    weighted = loss_test(intact, lesioned, 0.5, groups=labels, weights=times)
    repeated = loss_test(np.repeat(intact, times), np.repeat(lesioned, times, 1), 0.5, groups=np.repeat(labels, times))
    assert (weighted.p, weighted.state) == (repeated.p, repeated.state)
    assert (weighted.value, weighted.smallest_effect) == pytest.approx((repeated.value, repeated.smallest_effect))


def test_what_is_undefined_is_said():
    with pytest.raises(StatisticsError, match=r"\(fill, item\)"):
        loss_test([1.0, 0], [1.0])
    with pytest.raises(StatisticsError, match="at chance"):
        loss_test([1.0, 0], [0.0, 0], 0.5)
