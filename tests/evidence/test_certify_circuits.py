"""What `make certify` counts of circuits, a few times."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from certificate import circuits
from certificate.rows import share


@pytest.mark.parametrize("of", [circuits._selective, circuits._learned], ids=["selective", "learned"])
def test_noise_is_hardly_ever_claimed(of):
    assert share("circuit", "noise", [of(k) for k in range(24)], bound=circuits.NOMINAL).met


@pytest.mark.slow
def test_the_known_circuit_is_claimed_and_an_untrained_network_is_not():
    assert circuits._whole(0, trained=True)["causal"] == "passed"
    assert circuits._whole(0, trained=False)["causal"] != "passed"
