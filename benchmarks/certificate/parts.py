"""The parts of the certificate on simulated data: each runs its studies and says its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from certificate import cases, directions, maps, truths
from certificate.rows import Row, share
from certificate.studies import Outcome, hold

Kept = Callable[[str, int, Callable[[int], Any]], list[Any]]
"""Results of studies by name: (name, n, of the k-th) -> n results, from the folder where they were kept before."""

NOMINAL = 0.05
Study = tuple[str, str, int]
"""State of causal, of specific, and draws."""


def generator(name: str, k: int) -> np.random.Generator:
    """Of the k-th study of a name: no study hangs on another."""
    return np.random.default_rng([k, *name.encode()])


def outcome(name: str, made: Callable[[np.random.Generator], Any]) -> Callable[[int], Study]:
    """The k-th study of a kind, held."""

    def of(k: int) -> Study:
        rng = generator(name, k)
        found = hold(made(rng), rng)
        return found.causal, found.specific, found.draws

    return of


def _places(found: Sequence[Study]) -> list[str]:
    return [Outcome(*each).place for each in found]


def _draws(found: Sequence[Study]) -> float:
    return float(np.mean([each[2] for each in found]))


def places(kept: Kept, n: int) -> list[Row]:
    """*Causal* and *specific* on nulls and adversaries, one by one and pooled."""
    rows: list[Row] = []
    pooled: dict[str, list[str]] = {"null": [], "adversary": []}
    for case in cases.CASES:
        found = kept(f"case {case.name}", n, outcome(case.name, case.made))
        one = {"causal": 0, "specific": 1}.get(case.claim)
        states = _places(found) if one is None else [each[one] for each in found]
        pooled[case.kind] += _places(found)
        rows.append(
            share(
                case.kind, case.name, states, claim=case.claim, bound=NOMINAL, before=case.before, draws=_draws(found)
            )
        )
    names = {"null": "all nulls together", "adversary": "all adversaries together"}
    return rows + [
        share(kind, names[kind], states, claim="causal and specific", bound=NOMINAL, strict=True)
        for kind, states in pooled.items()
    ]


def selective(kept: Kept, n: int) -> list[Row]:
    """*Selective* on synthetic maps."""
    rows = []
    for case in maps.CASES:
        found = kept(f"map {case.name}", n, lambda k, case=case: case.state(generator(case.name, k)))
        bound = {"bound": 0.8, "side": "at least"} if case.true else {"bound": NOMINAL}
        rows.append(share("map", case.name, found, claim="selective", before=case.before, **bound))
        if case.fails:
            rows.append(share("map", case.name, found, of="failed", bound=0.6, side="at least"))
    return rows


def directed(kept: Kept, n: int) -> list[Row]:
    """*Selective* and *reliable* of directions, on synthetic activations."""
    rows = []
    for case in directions.CASES:
        found = kept(f"direction {case.name}", n, lambda k, case=case: directions.states(case, generator(case.name, k)))
        for at, claim in enumerate(("selective", "reliable")):
            least = {"bound": 0.8, "side": "at least"} if claim in case.true else {}
            bound = least if case.true else {"bound": NOMINAL}
            rows.append(share("map", case.name, [each[at] for each in found], claim=claim, **bound))
    return rows


def power(kept: Kept, n: int, sizes: Sequence[truths.Size]) -> list[Row]:
    """Truths and nulls at some sizes: what passes, fails and stays open, and its draws."""
    rows = []
    for size in sizes:
        for kind, made in size.kinds.items():
            name = f"{kind}: {size.told}"
            found = kept(name, n, outcome(name, made))
            rows += _of_size(size, kind, name, _places(found), _draws(found))
    return rows


def _of_size(size: truths.Size, kind: str, name: str, states: list[str], draws: float) -> list[Row]:
    recommended = size.size == (truths.REFUTING if kind == "everything lost alike" else "as recommended")
    part = "refuting" if size.size == truths.REFUTING else "size"
    both, more = "causal and specific", {"draws": draws}
    if kind != "truth":
        least = {"bound": 0.6, "side": "at least"} if recommended else {}
        failed = share(part, name, states, of="failed", **least, **more)
        return [failed, share(part, name, states, claim=both, bound=NOMINAL, **more)]
    least, most = ({"bound": 0.8, "side": "at least"}, {"bound": 0.15}) if recommended else ({}, {})
    return [
        share(part, name, states, claim=both, **least, **more),
        share(part, name, states, of="undecided", **most, **more),
    ]
