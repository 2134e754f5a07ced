"""Which arrangements there are, and what is refused because there are too few."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broca.errors import StatisticsError
from broca.stats.exchange import Sides, arrange

ONE_SIDED = (["s", "s", "t", "t", "u"], ["v", "v", "w", "x", "x"])
TWO_SIDED = ([*"sstu"], [*"stu"])
MIXED = ([*"ssab"], [*"stc"])


@pytest.mark.parametrize(
    ("n", "how", "scheme", "counts", "ways", "smallest"),
    [
        ((4, 5), {}, "stimuli", (4, 5, 0), comb(9, 4), 1 / 126),
        ((4, 4), {}, "stimuli", (4, 4, 0), 70, 2 / 70),
        ((5, 5), {"groups": ONE_SIDED}, "groups", (3, 3, 0), 20, 2 / 20),
        ((4, 4), {"paired": True}, "pairs", (0, 0, 4), 16, 2 / 16),
        ((4, 3), {"groups": TWO_SIDED}, "pairs", (0, 0, 3), 8, 2 / 8),
        ((4, 3), {"groups": MIXED}, "mixed", (2, 2, 1), 12, 2 / 12),
        ((4, 4), {"groups": ([*"ssss"], None)}, "groups", (1, 4, 0), 5, 1 / 5),
    ],
)
def test_groups_say_what_is_exchanged(n, how, scheme, counts, ways, smallest):
    sides = Sides.of(*n, **how)
    assert sides.scheme == scheme
    assert (sides.n_only_a, sides.n_only_b, sides.n_both) == counts
    assert sides.n_arrangements == ways
    assert sides.smallest_p == pytest.approx(smallest)


def test_stimuli_without_a_label_are_alone_or_with_their_pair():
    assert Sides.of(3, 3, groups=(["x", "", None], ["", "", ""])).n_groups == 6
    sides = Sides.of(3, 3, groups=(["x", "", None], ["x", "", ""]), paired=True)
    assert (sides.scheme, sides.n_groups) == ("pairs", 3)
    np.testing.assert_array_equal(sides.a, sides.b)


def test_few_arrangements_are_all_tried_once():
    every = arrange(Sides.of(4, 3, groups=MIXED), n=12, alpha=0.5)
    assert every.exact
    assert len({tuple(row) for row in every.flags}) == len(every) == 12
    assert (every.flags == every.sides.observed_flags).all(1).sum() == 1
    assert (every.flags[:, :4].sum(1) == 2).all()
    assert every.p(1) == pytest.approx(1 / 12)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_random_arrangements_keep_the_number_of_groups_on_each_side(n_a, n_b, seed):
    every = arrange(Sides.of(n_a, n_b), n=30, seed=seed, alpha=0.7)
    assert (every.flags.sum(1) == n_a).all()
    assert every.exact == (comb(n_a + n_b, n_a) <= 30)


def test_random_arrangements_are_all_alike_likely():
    many = arrange(Sides.of(8, 8), n=8000, seed=1).flags
    assert np.abs(many.mean(0) - 0.5).max() < 0.03
    swaps = arrange(Sides.of(20, 20, paired=True), n=8000, seed=1).flags
    assert np.abs(swaps.mean(0) - 0.5).max() < 0.03
    assert np.abs(np.corrcoef(swaps.T)[0, 1:]).max() < 0.05


def test_the_seed_decides():
    sides = Sides.of(9, 9)
    np.testing.assert_array_equal(arrange(sides, n=99, seed=3).flags, arrange(sides, n=99, seed=3).flags)
    assert (arrange(sides, n=99, seed=3).flags != arrange(sides, n=99, seed=4).flags).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Sides.of(1, 5), "1 and 5 stimuli"),
        (lambda: Sides.of(4, 5, paired=True), "as many on each side"),
        (lambda: Sides.of(3, 3, groups=([*"ab"], None)), "3 stimuli but 2 groups"),
        (lambda: arrange(Sides.of(3, 3)), r"3 \+ 3 stimuli .* 20 ways, .* below 0.1, .* at least 4 \+ 4 stimuli"),
        (lambda: arrange(Sides.of(3, 3), alpha=0.01), r"at least 5 \+ 5 stimuli"),
        (lambda: arrange(Sides.of(5, 5, paired=True)), "32 ways, .* below 0.062, .* at least 6 pairs"),
        (lambda: arrange(Sides.of(5, 5, groups=ONE_SIDED)), r"3 \+ 3 groups .* at least 4 \+ 4 groups"),
        (lambda: arrange(Sides.of(9, 9, groups=(["x"] * 9, ["y"] * 9))), r"1 \+ 1 groups .* at least 4 \+ 4 groups"),
        (
            lambda: arrange(Sides.of(9, 9, groups=(["x"] * 9, ["x"] * 9))),
            "1 pair .or template.* 2 ways.* at least 6 pairs",
        ),
        (lambda: arrange(Sides.of(4, 3, groups=MIXED)), "12 ways, .* at least 6 pairs"),
        (lambda: arrange(Sides.of(9, 9), n=0), "n is 0"),
        (lambda: arrange(Sides.of(9, 9), n=18), "below 0.053, .* at least 19"),
        (lambda: arrange(Sides.of(9, 9), n=99, alpha=0.001), "at least 999"),
        (lambda: arrange(Sides.of(9, 9), alpha=1), "alpha is 1"),
    ],
)
def test_too_little_to_exchange_is_said_with_the_number_that_would_do(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()


@pytest.mark.parametrize("alpha", [0.1, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("paired", [False, True])
def test_the_number_that_would_do_does(alpha, paired):
    with pytest.raises(StatisticsError) as caught:
        arrange(Sides.of(2, 2, paired=paired), n=10_000, alpha=alpha)
    k = int(str(caught.value).split("least ")[1].split()[0])
    assert arrange(Sides.of(k, k, paired=paired), n=10_000, alpha=alpha).smallest_p <= alpha
    with pytest.raises(StatisticsError, match="no p can be below"):
        arrange(Sides.of(k - 1, k - 1, paired=paired), n=10_000, alpha=alpha)
