"""`docs/certify.md`, written from the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from broca.stats.stopping import operation, stopping_rule
from certificate.rows import Row

_OPENING = """# How often the ladder is wrong

`make certify` counts claims on studies whose truth is known, by the functions that decide the rungs, writes the counts to
`benchmarks/results/certify.json`, and this page from them. It ends with code 1 where a bound is broken. Intervals are exact binomial
95 % (Clopper and Pearson, 1934). A single row breaks its bound where its whole interval lies beyond it; where all nulls or all
adversaries are pooled, the whole interval must keep the bound. *Before* is what rules without these repairs claimed in studies of the
same kind, where that was measured. [Traps](traps.md) tells the stories; [the ladder](ladder.md) the rules.
"""

_SECTIONS: tuple[tuple[str, str, str], ...] = (
    (
        "null",
        "Nulls",
        (
            "Margins of items are simulated, intact, under the lesion in three fills, and under 200 draws that stop when decided. Nothing is "
            "lost; or the lesion is exchangeable with its draws; or every ability is hurt alike."
        ),
    ),
    ("adversary", "Adversaries", "Lesions that cost answers, and carry no ability."),
    (
        "map",
        "Maps",
        (
            "The selective rung on synthetic activations of 200 units (top 5 %), or 16 heads, with 199 arrangements; and *selective* and "
            "*reliable* of directions in 48 units, 40 texts a side. Sides are dealt by lot where nothing is said to be planted."
        ),
    ),
    (
        "size",
        "Size",
        (
            "Places that carry an ability alone, and two kinds of nothing, with as many groups as `broca plan` recommends for the loss (intact "
            "95 %, 5 items a group), with half as many, and twice; and with as many as it recommends to refute a lesion that costs everything "
            "alike. A ladder that says *undecided* to everything would keep every bound above and "
            "be worth nothing. At the size for passing, a lesion that costs everything alike is mostly *undecided*."
        ),
    ),
    (
        "rung",
        "Rungs of single instruments",
        (
            "Maps of weights (sensitivity), probes, patched heads (perturb) and twins, on simulated data: gradients, attention, and logits that a "
            "patch restores. *Causal* and *specific* of localize, sensitivity and probe are those of any lesion: the nulls above are theirs."
        ),
    ),
    (
        "run",
        "Whole runs",
        (
            "A spec is executed into a directory, as a command does, and the verdict that lies in it is counted; of features the dictionary of "
            "`routed` is localized in, and a second run lesions what the first selected. All other models are random, and items are answered "
            "as the model answers them. Which items are the own ability's, sides and labels are a matter of lots. Only rungs that are false of a "
            "kind are counted."
        ),
    ),
    (
        "planted",
        "Planted truth",
        (
            "Two abilities are planted in random models of eight architectures, asked in as many groups as `broca plan --loss 0.35` recommends; what "
            "carries the own one is claimed as units, as a head (of four or of five in its layer, 20 in all), as weights, or found as a direction. "
            "Without the place 60 % of the answers stay right. The words that write a direction differ in nothing else, and weights are small "
            "there: where blocks write much, random vectors of the direction's norm move answers as it does, and nothing is planted. Then places that ablation shows in `routed`: the head of beliefs, localized, and its "
            "features in the shipped dictionary, given. And what must not be claimed: a massive unit among others, and features by lot."
        ),
    ),
    (
        "lookup",
        "Every head and pair of two shipped models",
        (
            "Each head and 60 pairs by lot are lesioned under three fills, each as if it had been selected, its draws the others of its kind; "
            "four abilities against each other one, and against all three. What a place carries was measured on other items: *nothing of "
            "it*, less than 5 points; *another as much*, within 5 points; *alone*, 40 points or more and the others less than 5. Claims about "
            "one place hang together, so the intervals are too narrow here. A pair that holds a head which carries it costs what one in ten pairs "
            "costs: its draws refuse it, rightly. Where only 15 other heads exist no claim can pass."
        ),
    ),
)

_CIRCUITS = (
    "circuit",
    "Circuits",
    (
        "*Causal* of a circuit asks for both: taken away it costs answers, and kept alone it answers more than random circuits do. Rungs on scores "
        "whose signs are arbitrary, and on a network that is one of its twins; circuits of edges by lot in `induction`, each scored once taken away and "
        "once kept alone, its draws the others of its size, its items parted into two abilities by lot (of 90 of the 110 edges about half hold all "
        "that is needed, and answer alone: so do their draws); and whole studies of `induction`, whose circuit is known."
    ),
)

_MISSING = """## What is not here

* Edges planted in several architectures: `induction` is one.
* Circuits of `routed`: its questions about beliefs come in eight groups, and halves of four allow no p of .05.
* Whole runs on models that have learned something, but for features: a null of theirs is a matter of lots too, and costs more.
{absent}
Absence from the table is no finding.
"""


def rows_of(results: Path) -> list[Row]:
    """The rows of ``certify.json``."""
    found = json.loads(results.read_text(encoding="utf-8"))["rows"]
    return [Row(**{name: value for name, value in each.items() if name != "met"}) for each in found]


def write(results: Path, target: Path) -> None:
    """Write the page.

    Args:
        results: ``certify.json``.
        target: the page.
    """
    rows = rows_of(results)
    parts = [_OPENING, _summary(rows)]
    for part, title, text in (*_SECTIONS, _CIRCUITS):
        own = [row for row in rows if row.part == part or (part, row.part) == ("size", "refuting")]
        if own:
            parts.append(f"## {title}\n\n{text}\n\n{_table(own)}")
    absent = "".join(
        f"* {title}: not counted yet.\n"
        for part, title, _ in (*_SECTIONS, _CIRCUITS)
        if part not in {row.part for row in rows}
    )
    parts += [_cost(rows), _MISSING.format(absent=absent)]
    target.write_text("\n".join(parts), encoding="utf-8")


def _summary(rows: list[Row]) -> str:
    bound = [row for row in rows if row.met is not None]
    broken = [row for row in bound if not row.met]
    if not broken:
        return f"All {len(bound)} bounds hold.\n{_open(bound)}"
    told = "\n".join(f"* {row.what}: {row.claim} {_rate(row)}, bound {_bound(row)}" for row in broken)
    return f"{len(broken)} of {len(bound)} bounds are **broken**:\n\n{told}\n"


def _open(bound: list[Row]) -> str:
    """Those of which so few studies cannot tell."""
    missed = [row for row in bound if row.misses]
    if not missed:
        return ""
    least = [row for row in missed if row.side == "at least" or row.claim == "undecided"]
    told = "".join(f"* {row.what}: {row.claim} {_rate(row)}, bound {_bound(row)}\n" for row in least)
    return (
        f"\nIn {len(missed)} rows the share itself misses its bound, and the interval holds both: so few studies cannot tell. "
        f"Of places that are there:\n\n{told}"
    )


def _table(rows: Iterable[Row]) -> str:
    columns: dict[str, Callable[[Row], str]] = {
        "what": lambda row: row.what,
        "counted": lambda row: row.claim,
        "n": lambda row: str(row.n),
        "claimed": _rate,
        "bound": _bound,
        "met": lambda row: {True: "yes", False: "**no**", None: ""}[row.met],
        "before": lambda row: row.before,
        "states": lambda row: ", ".join(f"{name} {count}" for name, count in row.states.items()),
    }
    rows = list(rows)
    kept = {name: of for name, of in columns.items() if any(of(row) for row in rows)}
    lines = [" | ".join(kept), " | ".join("---" for _ in kept)]
    lines += [" | ".join(of(row) for of in kept.values()) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _rate(row: Row) -> str:
    low, high = row.interval
    return f"{row.claimed} ({row.claimed / row.n:.1%} [{low:.1%}, {high:.1%}])".replace("%", " %")


def _bound(row: Row) -> str:
    if row.bound is None:
        return ""
    return f"{'≤' if row.side == 'at most' else '≥'} {row.bound:.0%}".replace("%", " %")


def _cost(rows: list[Row]) -> str:
    """Draws: measured in each kind, and by the rule's arithmetic."""
    rule = stopping_rule()
    null, true = operation(rule), operation(rule, 0.0)
    means: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        if row.part == "size" and row.draws is not None:
            means.setdefault(row.what.split(":")[0], []).append((row.draws, row.n))
    told = "".join(
        f"| {kind} | {sum(d * n for d, n in each) / sum(n for _, n in each):.0f} | {rule.n} |\n"
        for kind, each in means.items()
    )
    return (
        f"## Cost\n\nThe matched draws until they had decided. By the rule's arithmetic they are {null.draws:.0f} for a lesion that is exchangeable "
        f"with its draws, at an error of the first kind of {null.passed:.4f}, and {true.draws:.0f} where no draw ever costs as much.\n\n"
        + (f"| studies | draws in the mean | without stopping |\n| --- | --- | --- |\n{told}" if told else "")
    )
