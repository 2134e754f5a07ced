"""What came out, ready to be set: title, claim, ladder, matrix, baselines, items that flipped, guards, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from broca.page.words import as_text, finite, leaves, number, points
from broca.reports.record import Record

SHOWN = 30
"""Flipped items that are printed; the rest stay in their table."""

STATES = ("passed", "failed", "not tested")

_STUDIES = {
    "localize": "Localizer",
    "causal": "Causal test",
    "selftest": "Self-test",
    "probe": "Probe",
    "perturb": "Perturbations",
    "sensitivity": "Sensitive weights",
}


def title(record: Record) -> dict[str, str]:
    """The page's title and what stands above it."""
    name = str(record.part("contrast").get("name") or "")
    model = record.model_name
    if record.kind == "probe":
        name = f"reasoning trees of {record.part('task').get('name') or 'a task'}"
    if record.kind == "perturb":
        name = f"mistakes and rewordings of {record.part('task').get('items') or 'texts'}"
    study = _STUDIES.get(record.kind, record.kind.capitalize() or "Study")
    heading = f"{name[:1].upper()}{name[1:]} in {model}" if name else f"{study} of {model}"
    return {"study": study, "heading": heading, "run": record.path.name}


def facts(record: Record) -> list[tuple[str, str]]:
    """The five facts that a reader asks first, as label and value."""
    contrast, choice, model = (record.part(name) for name in ("contrast", "selection", "model"))
    unit = {"head": "heads", "weight": "weights"}.get(str(choice.get("grain")), "units")
    out = [("model", record.model_name)]
    if layers := model.get("layers") or model.get("n_layers"):
        out.append(("layers", number(layers)))
    if choice.get("site"):
        out.append(("site", str(choice["site"])))
    if finite(choice.get("k")):
        out.append((f"selected {unit}", f"{number(choice['k'])} of {number(choice.get('n_alive'))} alive"))
    if finite(choice.get("n_dead")):
        out.append((f"dead {unit}", number(choice["n_dead"])))
    task = record.part("task")
    if finite(task.get("trees")):
        out.append(("trees", f"{number(task['trees'])} of {number(task.get('theories'))} theories"))
        out.append(("useful statements", f"{number(task.get('useful'))} of {number(task.get('statements'))}"))
    if finite(task.get("pairs")):
        out.append(("clean texts", f"{number(task.get('texts'))} of {number(task.get('wordings'))} wordings"))
        out.append(("perturbed texts", number(task["pairs"])))
        out.append(("answers that turned", f"{number(task.get('turned'))}, {number(task.get('used'))} patched"))
    if finite(contrast.get("n_positive")) and finite(contrast.get("n_negative")):
        out.append(("stimuli", f"{number(contrast['n_positive'])} + {number(contrast['n_negative'])}"))
    if finite(contrast.get("pictures")) and contrast["pictures"]:
        out.append(("pictures", number(contrast["pictures"])))
    return out


def ladder(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The verdict: its sentence, the first rung that failed, and the rungs in order; None where there is none."""
    verdict = result.get("verdict")
    if not isinstance(verdict, Mapping) or not isinstance(verdict.get("rungs"), list):
        return None
    rungs = [rung for rung in verdict["rungs"] if isinstance(rung, Mapping)]
    return {
        "sentence": str(verdict.get("sentence") or ""),
        "first_failure": verdict.get("first_failure"),
        "rungs": [_rung(rung, verdict.get("first_failure")) for rung in rungs],
    }


def _rung(rung: Mapping[str, Any], first_failure: object) -> dict[str, Any]:
    state = str(rung.get("state", "not tested"))
    numbers = rung.get("numbers")
    return {
        "name": str(rung.get("name", "")),
        "state": state,
        "class": state.replace(" ", "-") if state in STATES else "not-tested",
        "text": str(rung.get("text") or ""),
        "numbers": [
            (name.replace("_", " "), number(value) if finite(value) else as_text(value))
            for name, value in leaves(numbers)
        ]
        if isinstance(numbers, Mapping)
        else [],
        "first": rung.get("name") == first_failure,
    }


def estimate(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The number behind the claim, with its interval; None where the run has none."""
    value = result.get("estimate")
    if not isinstance(value, Mapping) or not finite(value.get("value")):
        return None
    low, high = value.get("low"), value.get("high")
    shares = value.get("unit") == "accuracy"
    show = points if shares else number
    return {
        "value": show(value["value"]),
        "interval": f"{show(low)} to {show(high)}" if finite(low) and finite(high) else "",
        "unit": "points of accuracy" if shares else str(value.get("unit") or ""),
        "n": number(value["n"]) if finite(value.get("n")) else "",
    }


def matrix(record: Record) -> dict[str, Any] | None:
    """Localizer by ability: each cell with its effect, interval, p and random band."""
    table = record.tables.get("matrix")
    if table is None:
        return None
    abilities = table.sort("own", descending=True, maintain_order=True)["ability"].unique(maintain_order=True).to_list()
    rows = table.to_dicts()
    largest = max((abs(row["effect"]) for row in rows if finite(row["effect"])), default=0.0) or 1.0
    localizers = table["localizer"].unique(maintain_order=True).to_list()
    cells = {(row["localizer"], row["ability"]): _cell(row, largest) for row in rows}
    return {
        "abilities": abilities,
        "rows": [(localizer, [cells.get((localizer, ability)) for ability in abilities]) for localizer in localizers],
        "own": any(row["own"] for row in rows),
        "dissociations": [as_text(text) for text in record.entries("dissociations")],
    }


def _cell(row: dict[str, Any], largest: float) -> dict[str, Any]:
    effect = row["effect"] if finite(row["effect"]) else None
    strength = 0 if effect is None else round(46 * min(1.0, abs(effect) / largest))
    return row | {
        "strength": strength,
        "class": "" if not effect else "negative" if effect < 0 else "positive",
        "banded": finite(row["random_low"]) and finite(row["random_high"]),
    }


def baselines(record: Record) -> dict[str, Any] | None:
    """Accuracy of the shortcuts beside the intact model's, by ability."""
    table = record.tables.get("baselines")
    if table is None:
        return None
    names = table["baseline"].unique(maintain_order=True).to_list()
    intact = _intact(record)
    rows = []
    for ability in table["ability"].unique(maintain_order=True).to_list():
        own = table.filter(pl.col("ability") == ability)
        by_name = dict(zip(own["baseline"].to_list(), own["accuracy"].to_list(), strict=True))
        best = max((value for value in by_name.values() if finite(value)), default=None)
        model = intact.get(ability)
        rows.append(
            {
                "ability": ability,
                "intact": model,
                "cells": [by_name.get(name) for name in names],
                "above": None if best is None or not finite(model) else model > best,
            }
        )
    return {"names": names, "rows": rows}


def _intact(record: Record) -> dict[str, float]:
    doses = record.tables.get("doses")
    if doses is not None:
        own = doses.filter((pl.col("condition") == "intact") & pl.col("accuracy").is_finite())
        return dict(own.group_by("ability").agg(pl.col("accuracy").mean()).iter_rows())
    table = record.tables.get("matrix")
    return {} if table is None else dict(table.select("ability", "intact").iter_rows())


def flipped(record: Record) -> dict[str, Any] | None:
    """Items whose answer the lesion changed: the lost ones first, `SHOWN` of them with text."""
    table = record.tables.get("flipped")
    if table is None:
        return None
    ordered = table.sort(pl.col("change") != "lost", maintain_order=True)
    lost = int((table["change"] == "lost").sum())
    return {
        "items": ordered.head(SHOWN).to_dicts(),
        "more": max(0, table.height - SHOWN),
        "lost": lost,
        "gained": table.height - lost,
    }


def guards(record: Record) -> list[Mapping[str, Any]]:
    """The checks that ran by themselves, those that marked something first."""
    found = [g for g in record.entries("guards") or _list(record.manifest.get("guards")) if isinstance(g, Mapping)]
    return sorted(found, key=lambda guard: guard.get("state") == "passed")


def warnings(record: Record) -> list[str]:
    """Each warning of the result and of the run, once."""
    return list(
        dict.fromkeys(as_text(w) for w in [*record.entries("warnings"), *_list(record.manifest.get("warnings"))])
    )


def examples(record: Record) -> dict[str, list[str]]:
    """The first stimuli of either side, as text."""
    contrast = record.part("contrast")
    sides = {side: _list(contrast.get(f"{side}_examples")) for side in ("positive", "negative")}
    return {side: [_text(text) for text in texts[:3]] for side, texts in sides.items() if texts}


def _text(value: Any) -> str:
    if isinstance(value, list):  # a chat: one message a line
        return "\n".join(_text(item) for item in value)
    if isinstance(value, Mapping):
        return f"{value['role']}: {value['content']}" if {"role", "content"} <= value.keys() else as_text(value)
    return str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
