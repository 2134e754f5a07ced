"""Blocks that every instrument's runs have: the ladder, guards and warnings, facts, stimuli; and how a table is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from broca.evidence.expectation import predictions
from broca.page.blocks import Block, Column, Facts, Heading, Ladder, Note, Quote, Quotes, Step, Table, Text, section
from broca.page.record import Record
from broca.page.words import as_text, finite, leaves, number, points
from broca.specs.schema import Schema

STIMULI = 3
"""Stimuli of each side that are quoted."""
HEADS = 24
"""Heads that are named."""

Setting = tuple[str, str] | tuple[str, str, str]
"""A column of a table: its name in the rows, its title on the page, and how its numbers are written."""


def table(
    schema: Schema,
    rows: Sequence[Mapping[str, Any]],
    title: str,
    *columns: Setting,
    strong: Sequence[str] = (),
    caption: str = "",
    summary: Sequence[str] = (),
) -> Table | None:
    """Rows of a declared table with the columns that are named, each with what its schema says of it; None without a row.

    Args:
        schema: of the table.
        rows: by column; they may hold more than the schema, made for the page.
        title: of the table.
        columns: those that are shown, the first one naming the rows.
        strong: columns that matter most.
        caption: what the table shows, in a sentence.
        summary: columns that the terminal's summary has; without any, the table is not in it.
    """
    made = tuple(_column(schema, *each, strong=each[0] in strong, brief=each[0] in summary) for each in columns)
    cells = tuple(tuple(row.get(each[0]) for each in columns) for row in rows)
    return Table(title, made, cells, caption, summary=bool(summary)) if cells else None


def _column(schema: Schema, name: str, title: str, form: str = "number", *, strong: bool, brief: bool) -> Column:
    return Column(title, form, schema.tip(name), strong, brief)


def interval(low: Any, high: Any, show: Any = points) -> str:
    """``[−1.0, +2.0]``; nothing where there is none."""
    return f"[{show(low)}, {show(high)}]" if finite(low) and finite(high) else ""


def ladder(record: Record) -> list[Block]:
    """The verdict: its sentence, and the rungs in order; nothing where the run has none."""
    verdict = record.part("verdict")
    if not isinstance(verdict.get("rungs"), list):
        return []
    first = verdict.get("first_failure")
    steps = tuple(_step(rung, first) for rung in verdict["rungs"] if isinstance(rung, Mapping))
    shown = Ladder(str(verdict.get("sentence") or ""), steps, summary=True)
    return section("ladder", "Does the claim survive?", shown, _expectation_table(record))


def _expectation_table(record: Record) -> Table | None:
    """What the spec expected, beside what was found."""
    made = list(predictions(record.study.get("expect"), record.result))
    rows = tuple((each.name, each.predicted, each.found, "yes" if each.met else "no") for each in made)
    columns = tuple(Column(title, brief=True) for title in ("expected of", "predicted", "found", "met"))
    missed = frozenset(i for i, each in enumerate(made) if not each.met)
    return Table("Expected beforehand", columns, rows, texts=True, marked=missed, summary=True) if rows else None


def second_wording(record: Record) -> list[Block]:
    """What the lesion costs in either wording of the own items; nothing where they have one."""
    told = record.part("second_wording")
    if not told:
        return []
    rows = (
        ("second wording", told["items"], told["loss"], interval(told["low"], told["high"]), told["state"]),
        ("first wording", told["items"], told["first_loss"], "", ""),
    )  # fmt: skip
    columns = (
        Column("asked in", brief=True), Column("items"), Column("loss", "points", strong=True, brief=True),
        Column("interval", brief=True), Column("what is found", brief=True),
    )  # fmt: skip
    shown = Table("In other words", columns, rows, "What the lesion takes, the mean over fills", summary=True)
    return section("wordings", "Does it hold in other words?", Text(str(told["text"])), shown)


def ledger(record: Record) -> list[Block]:
    """What was claimed, tried and chosen, and the other runs of the folder; nothing where the run has no ledger."""
    told = record.part("ledger")
    if not told:
        return []
    looks = [look for look in _list(told.get("looks")) if isinstance(look, Mapping)]
    choices = [choice for choice in _list(told.get("choices")) if isinstance(choice, Mapping)]
    tried = [(str(look["what"]), "; ".join(_list(look.get("values"))), str(look["claim"])) for look in looks]
    made = [
        (str(choice["what"]), str(choice["on"]), str(choice["tested_on"]), "yes" if choice.get("apart") else "no",
         number(choice.get("dropped")))
        for choice in choices
    ]  # fmt: skip
    several = [
        f"{number(len(values))} {look['what']}" for look in looks if len(values := _list(look.get("values"))) > 1
    ]
    rest = _others(record.manifest.get("others"))
    share = (
        f"{number(told['claims'])} at {number(told['level'])} each"
        if told["claims"] > 1
        else f"1 at {number(told['level'])}"
    )
    pairs = (
        ("claims", share),
        ("tried", ", ".join(several) or "nothing else"),
        *([("other runs", rest)] if rest else []),
    )
    once = frozenset(i for i, choice in enumerate(choices) if not choice.get("apart"))
    titles = ("chosen", "on", "tested on", "other data", "items left out")
    return section(
        "ledger", "What was looked at",
        Facts(pairs, summary=True),
        Table("What was tried", (Column("choice"), Column("tried"), Column("claimed")), tuple(tried), texts=True) if tried else None,
        Table("What was chosen on which data", tuple(map(Column, titles)), tuple(made), texts=True, marked=once) if made else None,
    )  # fmt: skip


def _others(counts: Any) -> str:
    """The other runs of a folder on the same model and items, in words; nothing where the run does not say."""
    if not isinstance(counts, Mapping):
        return ""
    of = ", ".join(f"{number(n)} {kind}" for kind, n in counts.items())
    return f"{of} on this model and these items when it ended" if of else "none on this model and these items"


def _step(rung: Mapping[str, Any], first: object) -> Step:
    told = rung.get("numbers")
    numbers = leaves(told) if isinstance(told, Mapping) else ()
    return Step(
        str(rung.get("name", "")),
        str(rung.get("state", "not tested")),
        str(rung.get("text") or ""),
        tuple((n.replace("_", " "), number(v) if finite(v) else as_text(v)) for n, v in numbers),
        rung.get("name") == first,
        str(rung.get("caveat") or ""),
    )


def checks(record: Record) -> list[Block]:
    """Warnings of the result and of the run, each once; then the guards, those that marked something first."""
    texts = [as_text(w) for w in [*record.entries("warnings"), *_list(record.manifest.get("warnings"))]]
    told = [g for g in record.entries("guards") or _list(record.manifest.get("guards")) if isinstance(g, Mapping)]
    guards = sorted(told, key=lambda guard: guard.get("state") == "passed")
    marked = [i for i, guard in enumerate(guards) if guard.get("state") != "passed"]
    rows = tuple(tuple(str(guard.get(name) or "") for name in ("name", "state", "text")) for guard in guards)
    columns = (Column("guard"), Column("state"), Column("what it found"))
    caption = "Checks that ran by themselves"
    shown = Table("Guards", columns, rows, caption, texts=True, marked=frozenset(marked)) if rows else None
    notes = [Note(text, summary=True) for text in dict.fromkeys(texts)]
    return section("checks", "Guards and warnings", *notes, shown)


def facts(record: Record) -> Facts:
    """What a reader asks first: the model, the site, what was selected, how many stimuli."""
    contrast, choice, model = (record.part(name) for name in ("contrast", "selection", "model"))
    unit = f"{record.grain}s"
    out = [("model", record.model_name)]
    if layers := model.get("layers") or model.get("n_layers"):
        out.append(("layers", number(layers)))
    if choice.get("site"):
        out.append(("site", str(choice["site"])))
    if finite(choice.get("k")):
        out.append((f"selected {unit}", f"{number(choice['k'])} of {number(choice.get('n_alive'))} alive"))
    if finite(choice.get("n_dead")):
        out.append((f"dead {unit}", number(choice["n_dead"])))
    if heads := _heads(record) if choice.get("grain") == "head" else []:
        further = f", and {len(heads) - HEADS} more" if len(heads) > HEADS else ""
        out.append(("heads", ", ".join(heads[:HEADS]) + further))
    if finite(contrast.get("n_positive")) and finite(contrast.get("n_negative")):
        out.append(("stimuli", f"{number(contrast['n_positive'])} + {number(contrast['n_negative'])}"))
    if finite(contrast.get("pictures")) and contrast["pictures"]:
        out.append(("pictures", number(contrast["pictures"])))
    return Facts(tuple(out), summary=True)


def _heads(record: Record) -> list[str]:
    """The selected heads, each as it is written: ``23.4``."""
    selected = record.arrays.get("selected", {})
    return [f"{site.layer}.{i}" for site, on in selected.items() for i in np.flatnonzero(on)]


def stimuli(record: Record) -> list[Block]:
    """The first stimuli of either side, as text."""
    contrast = record.part("contrast")
    out: list[Block] = []
    for side in ("positive", "negative"):
        texts = _list(contrast.get(f"{side}_examples"))[:STIMULI]
        if texts:
            out += [Heading(side), Quotes(tuple(Quote(plain_text(text)) for text in texts))]
    return section("stimuli", "What was shown", *out)


def plain_text(value: Any) -> str:
    """A stimulus as text: of a chat, one message a line."""
    if isinstance(value, list):
        return "\n".join(plain_text(item) for item in value)
    if isinstance(value, Mapping):
        return f"{value['role']}: {value['content']}" if {"role", "content"} <= value.keys() else as_text(value)
    return str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
