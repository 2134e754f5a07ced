"""Minimal pairs: BLiMP (Warstadt et al., 2020, TACL) and what is like it, and SyntaxGym (Gauthier et al., 2020, ACL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.published.asked import item_id, kept
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, parse_json, read_text, shown

BLIMP = frozenset({"sentence_good", "sentence_bad"})
SYNTAXGYM = frozenset({"items", "predictions"})

_TERM = re.compile(r"\(\s*(\d+|\*)\s*;\s*%([\w-]+)%\s*\)")


def blimp(path: str | Path, *, start: str = "\n", phenomenon: str | None = None) -> tuple[Item, ...]:
    """Two sentences an item, of which one is grammatical; the ability is the paradigm (``UID``), else the file's name.

    The words that both begin with are the prompt, so that what differs is what is compared. The right one is first in
    every other item. Each pair is a group of its own.

    Args:
        path: JSON lines, or another table, with ``sentence_good`` and ``sentence_bad``.
        start: What stands before each sentence: something must, for the first word to be predicted from.
        phenomenon: Only pairs of this ``linguistics_term``, where the file has one.

    Raises:
        StimulusError: A row is malformed, both sentences are the same, or no row is left.
    """
    table = records(path)
    table.require(*sorted(BLIMP))
    items: list[Item] = []
    for row in table.rows:
        if phenomenon not in {None, row.cells.get("linguistics_term")}:
            continue
        good, bad = table.word(row, "sentence_good"), table.word(row, "sentence_bad")
        ability = str(row.cells.get("UID") or table.path.stem)
        name = item_id(table, row)
        own = f"{ability}-{row.cells.get('pairID') or name}"
        items.append(_pair(table, row, name, start, (good, bad), ability=ability, right=len(items) % 2, group=own))
    return kept(table, items, phenomenon=phenomenon)


def syntaxgym(path: str | Path, *, start: str = "\n") -> tuple[Item, ...]:
    """The predictions of a test suite that are minimal pairs; the ability is the suite's name, the tag says which prediction.

    A prediction ``(2;%a%) > (2;%b%)`` says that region 2 surprises more in a than in b. It is a minimal pair where the words
    before the regions are the same in both: they are the prompt, and the regions are the choices. Predictions over sums of
    neighbouring regions, whole sentences (``*``) and their conjunctions are taken likewise. Differences of differences are not,
    nor are the same words after different beginnings: they are no choice between two continuations. Predictions about one item
    of the suite share a group.

    Args:
        path: A suite (JSON).
        start: What stands before each sentence.

    Raises:
        StimulusError: The suite is malformed, or none of its predictions is a minimal pair.
    """
    path = Path(path)
    suite = parse_json(path, read_text(path))
    if not isinstance(suite, dict) or not all(isinstance(suite.get(name), list) for name in SYNTAXGYM):
        raise StimulusError(f"{path.name} is no suite. It must be a JSON object with the lists items and predictions.")
    meta = suite.get("meta")
    ability = str(meta.get("name") if isinstance(meta, dict) else "") or path.stem
    table = Table(path, (), ())
    items: list[Item] = []
    for number, entry in enumerate(suite["items"], start=1):
        row = Row(f"item {number}", entry if isinstance(entry, dict) else {})
        told = _conditions(table, row)
        for n, (worse, better) in enumerate(_comparisons(table, suite["predictions"]), start=1):
            sides = (_side(table, row, told, better), _side(table, row, told, worse))
            if sides[0].before != sides[1].before or sides[0].said == sides[1].said:
                continue
            good, bad = (" ".join(filter(None, (side.before, side.said))) for side in sides)
            name = f"{path.stem}:{row.cells.get('item_number', number)}:{n}"
            own = f"{ability}-{row.cells.get('item_number', number)}"
            items.append(
                _pair(
                    table, row, name, start, (good, bad), ability=ability, right=len(items) % 2, group=own, tag=str(n)
                )
            )
    if not items:
        raise StimulusError(
            f"{path.name} has no prediction that is a minimal pair: each compares the same words after different beginnings, "
            "or sums of differences. Score such suites with SyntaxGym itself."
        )
    return tuple(items)


@dataclass(frozen=True, slots=True)
class _Said:
    """The regions that are compared, and the words before them."""

    before: str
    said: str


def _pair(
    table: Table,
    row: Row,
    name: str,
    start: str,
    sides: tuple[str, str],
    *,
    ability: str,
    right: int,
    group: str,
    tag: str = "",
) -> Item:
    good, bad = sides
    parts = next((n for n, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b), min(len(good), len(bad)))
    shared = good[: max(good.rfind(" ", 0, parts), 0)]
    choices = [good[len(shared) :], bad[len(shared) :]]
    if good == bad or not all(choice.strip() for choice in choices):
        raise StimulusError(
            f"{table.at(row)}: {shown(good)} and {shown(bad)} are no two sentences. Give two that differ."
        )
    return Item(name, start + shared, tuple(choices[::-1] if right else choices), right, ability, group,
                {"prediction": tag} if tag else {})  # fmt: skip


def _conditions(table: Table, row: Row) -> dict[str, dict[int, str]]:
    """The regions of each condition by number."""
    told: dict[str, dict[int, str]] = {}
    try:
        for condition in row.cells["conditions"]:  # type: ignore[attr-defined]
            regions = {int(region["region_number"]): str(region["content"]).strip() for region in condition["regions"]}
            told[str(condition["condition_name"])] = dict(sorted(regions.items()))
    except (KeyError, TypeError, ValueError) as error:
        raise StimulusError(
            f"{table.at(row)}: its conditions have another form ({error!r}). Each has condition_name and regions with "
            "region_number and content."
        ) from error
    return told


_Sum = tuple[str, tuple[int, ...] | None]
"""A condition, and its regions that are summed; None for all."""


def _comparisons(table: Table, predictions: list[object]) -> Iterator[tuple[_Sum, _Sum]]:
    """What surprises more, and what less, for each comparison of two plain sums."""
    for prediction in predictions:
        formula = prediction.get("formula") if isinstance(prediction, dict) else None
        if not isinstance(formula, str):
            raise StimulusError(f"{table.path.name}: prediction {shown(prediction)} has no formula. Give one as text.")
        for part in formula.split("&"):
            sides = re.split(r"([<>])", part)
            sums = [_summed(side) for side in (sides[0], sides[-1])] if len(sides) == 3 else [None]
            if len(sums) == 2 and sums[0] and sums[1]:
                yield (sums[0], sums[1]) if sides[1] == ">" else (sums[1], sums[0])


def _summed(text: str) -> _Sum | None:
    terms = _TERM.findall(text)
    rest = re.sub(r"[\s\[\]()+]", "", _TERM.sub("", text))
    if not terms or rest or len({condition for _, condition in terms}) > 1:
        return None
    if any(region == "*" for region, _ in terms):
        return (terms[0][1], None) if len(terms) == 1 else None
    regions = tuple(sorted(int(region) for region, _ in terms))
    neighbours = regions == tuple(range(regions[0], regions[-1] + 1))
    return (terms[0][1], regions) if neighbours else None


def _side(table: Table, row: Row, told: dict[str, dict[int, str]], side: _Sum) -> _Said:
    name, regions = side
    if name not in told or not set(regions or ()) <= told[name].keys():
        raise StimulusError(f"{table.at(row)}: a prediction names {name} {regions or '*'}, which it lacks.")
    first = regions[0] if regions else min(told[name], default=0)
    last = regions[-1] if regions else max(told[name], default=0)
    words = {n: content for n, content in told[name].items() if content}
    before = " ".join(content for n, content in words.items() if n < first)
    return _Said(before, " ".join(content for n, content in words.items() if first <= n <= last))
