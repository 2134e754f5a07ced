"""Claims about circuits: rungs on noise, whole studies of networks that learned nothing, and of an organism whose circuit is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from broca.evidence.rungs import learned
from broca.instruments.circuit import ladder
from broca.instruments.circuit.spec import Circuit
from broca.models.lm import LM
from broca.models.twins import untrained_twin
from certificate.rows import Row, share

Kept = Callable[[str, int, Callable[[int], Any]], list[Any]]
NOMINAL = 0.05
WHOLE, TRUE = 50, 20
"""Whole studies of nulls, and of the organism."""
PAIRS, EDGES, TWINS = 60, 30, 19
STUDY: dict[str, Any] = {
    "items": "induction", "n": 32, "gate": "mark", "draws": 60, "twins": TWINS, "random_curves": 0, "minimal": 0, "steps": 3,
}  # fmt: skip


def rows(kept: Kept, n: int) -> list[Row]:
    """Rungs on noise, n of each; and whole studies."""
    noise = kept("circuit: scores of noise", n, _selective)
    alike = kept("circuit: a network like its twins", n, _learned)
    nulls = kept("circuit: untrained networks, whole", WHOLE, lambda k: _whole(k, trained=False))
    truth = kept("circuit: the induction organism, whole", TRUE, lambda k: _whole(k, trained=True))
    found = [
        share("circuit", "pairs' scores of any sign", noise, claim="selective", bound=NOMINAL),
        share("circuit", "a network that is one of its twins", alike, claim="learned", bound=NOMINAL),
    ]
    for rung in ("selective", "learned", "causal"):
        states = [each[rung] for each in nulls]
        found.append(share("circuit", "untrained networks, whole studies", states, claim=rung, bound=NOMINAL))
    states = [each["causal"] for each in truth]
    return [
        *found,
        share("circuit", "induction, whole studies", states, claim="causal", bound=0.8, side="at least"),
    ]


def _selective(k: int) -> str:
    """Scores whose signs are arbitrary, heavy tails and all."""
    rng = np.random.default_rng([k, 1])
    values = rng.standard_t(3, (PAIRS, EDGES)) * rng.gamma(1, 1, EDGES)
    return ladder.tells(values, [str(i // 2) for i in range(PAIRS)], alpha=NOMINAL, seed=k)[2].state


def _learned(k: int) -> str:
    """A figure that is drawn as those of its twins are."""
    own, *twins = np.random.default_rng([k, 2]).normal(size=TWINS + 1).tolist()
    return learned.circuit_edges(own, twins, most=TWINS, pairs=PAIRS, alpha=NOMINAL).state


def _whole(k: int, *, trained: bool) -> dict[str, str]:
    """A whole study of the organism, or of a network of its shape that learned nothing."""
    lm = LM.load("induction", dtype="float32", device="cpu")
    lm = lm if trained else untrained_twin(lm, 1000 + k)
    study = Circuit(**STUDY, seed=k, options={"seed": k}, edges=5 if trained else 12)
    found = study.model_copy(update={"twins": 0} if trained else {}).run(lm)
    return {rung.name: rung.state for rung in found.verdict.rungs}
