"""What a reader learns before scrolling: what was asked, the answer, how sure it is, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broca.evidence.changes import changes
from broca.instruments import COMMANDS
from broca.page.record import Record
from broca.page.words import finite, number, points


@dataclass(frozen=True, slots=True)
class Glance:
    """The first screen."""

    asked: str
    """The question that the instrument puts."""
    answer: str
    """The verdict's sentence; nothing where there is no verdict."""
    claim: str
    """What was found, without the verdict."""
    estimate: Mapping[str, Any] | None
    """The number behind the claim."""
    standing: tuple[tuple[str, str], ...]
    """Name and state of each rung, in order."""
    changes: tuple[str, ...]
    """What would change the answer."""


def glance(record: Record) -> Glance:
    """The first screen of a run's page."""
    command = COMMANDS.get(record.instrument)
    verdict = record.part("verdict")
    listed = verdict.get("rungs")
    rungs = [rung for rung in listed if isinstance(rung, Mapping)] if isinstance(listed, list) else []
    answer, claim = str(verdict.get("sentence") or ""), str(record.result.get("claim") or "")
    return Glance(
        (command.question or command.help) if command else "",
        answer,
        # A claim that ends with the verdict's sentence would say it twice.
        claim.removesuffix(answer).rstrip(),
        estimate(record.result),
        tuple((str(rung.get("name", "")), str(rung.get("state", "not tested"))) for rung in rungs),
        tuple(changes(rungs)),
    )


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
