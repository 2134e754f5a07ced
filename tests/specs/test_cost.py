from __future__ import annotations

import pytest

from broca.specs.cost import Phase, times, typical


def test_a_phase_reads_at_most_and_as_a_rule():
    phase = Phase("scoring", 100, 200, expected=38)
    assert (phase.read, phase.usual) == (20_000, 3_800)
    assert Phase("scoring", 100, 3).usual == 300
    assert Phase("scoring", 100, 20, expected=38).usual == 2_000


def test_phases_are_done_several_times_over():
    (once,) = times([Phase("looking", 10, 2, 3.0, 1, 0.5)], 5, name="twins", twins=True)
    assert once == Phase("twins", 10, 10, 3.0, 5, 2.5, 5)


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ([5], [0]),
        ([1, 1, 1, 100], [2, 3]),
        ([4, 1, 3, 2, 9], [0, 2, 4]),
    ],
)
def test_a_typical_batch_is_where_the_tokens_are(lengths, chosen):
    assert typical(lengths, rows=len(chosen)) == chosen


def test_a_typical_batch_is_no_longer_than_it_may_be():
    assert typical([100] * 50, tokens=450) == typical([100] * 50, rows=4)
    assert len(typical([1000] * 5, tokens=10)) == 2
