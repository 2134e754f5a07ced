"""SyntaxGym's test suites (Gauthier et al., 2020, ACL): predictions about how much regions of sentences surprise, as items.

A prediction compares two sums: ``(2;%a%) > (2;%b%)`` says that region 2 surprises more in condition a than in b. What has a minus is
taken to the other side, so that a difference of differences is a comparison of two sums too.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Item, Passage
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import parse_json
from broca.stimuli.published.pairs import pair
from broca.stimuli.published.questions import check_items
from broca.stimuli.tables import Row, Table, short_repr

COLUMNS = frozenset({"items", "predictions"})

Region = tuple[str, int | None]
"""A condition, and the number of a region in it; None for all of them."""
Regions = Mapping[str, Mapping[int, str]]
"""The words of each region, by condition and number."""

_TERM = re.compile(r"\(\s*(\d+|\*)\s*;\s*%([\w-]+)%\s*\)")
_NAME = "region_{}_of_the_suite"


def syntaxgym(path: str | Path, *, start: str = "\n") -> tuple[Item, ...]:
    """The predictions of a suite; the ability is the suite's name, the tag says which of its comparisons an item is.

    Each comparison of a conjunction is an item, and those of one sentence share a group: SyntaxGym counts a sentence where all of
    them are right. Where the same words stand before both regions they are the prompt, and the regions are the choices, as in other
    minimal pairs; elsewhere each region is priced after the words before it (`broca.items.Item.passages`). That two sums are equal
    (``=``) is no choice: such parts are left out, as are comparisons of a region with itself.

    Args:
        path: A suite (JSON).
        start: What stands before each sentence: something must, for the first word to be predicted from.

    Raises:
        StimulusError: The suite is malformed, a prediction is of another kind, or none compares anything.
    """
    path = Path(path)
    suite = parse_json(path, read_text(path))
    if not isinstance(suite, dict) or not all(isinstance(suite.get(name), list) for name in COLUMNS):
        raise StimulusError(f"{path.name} is no suite. It must be a JSON object with the lists items and predictions.")
    meta = suite["meta"] if isinstance(suite.get("meta"), dict) else {}
    if meta.get("metric", "sum") != "sum":
        raise StimulusError(
            f"{path.name}: its metric is {short_repr(meta['metric'])}. Regions are summed here: give a suite of the metric sum."
        )
    table = Table(path, (), ())
    comparisons = [sums for prediction in suite["predictions"] for sums in _comparisons(table, prediction)]
    found: list[Item] = []
    for number, entry in enumerate(suite["items"], start=1):
        row = Row(f"item {number}", entry if isinstance(entry, dict) else {})
        regions = _regions(table, row)
        sentence = f"{path.stem}:{row.cells.get('item_number', number)}"
        for n, sums in enumerate(comparisons, start=1):
            worse, better = (_passages(table, row, regions, side, start) for side in sums)
            if worse != better:
                item = _item(table, row, f"{sentence}:{n}", start, (better, worse), right=len(found) % 2)
                name = str(meta.get("name") or path.stem)
                found.append(replace(item, ability=name, group=sentence, tags={"prediction": str(n)}))
    if not found:
        raise StimulusError(
            f"{path.name} has no prediction that compares two different sums by < or >, or no items. Give another suite."
        )
    return check_items(table, found)


def _item(
    table: Table, row: Row, name: str, start: str, sides: tuple[tuple[Passage, ...], tuple[Passage, ...]], *, right: int
) -> Item:
    """An item of two sides, the better one first: a minimal pair where both are one text after the same words."""
    texts = [" + ".join((before + said)[len(start) :] for before, said in side) for side in sides]
    (context, better), (other, worse) = (side[0] for side in sides)
    nested = f"{better} ".startswith(f"{worse} ") or f"{worse} ".startswith(f"{better} ")
    if [len(side) for side in sides] == [1, 1] and context == other and not nested:
        return pair(table, row, name, start, (texts[0], texts[1]), ability="", right=right)
    item = Item(name, context, (texts[0], texts[1]), 0, passages=sides)
    return item.reorder((1, 0)) if right else item


def _regions(table: Table, row: Row) -> Regions:
    found: dict[str, dict[int, str]] = {}
    try:
        for condition in row.cells["conditions"]:  # type: ignore[attr-defined]
            regions = {int(region["region_number"]): str(region["content"]).strip() for region in condition["regions"]}
            found[str(condition["condition_name"])] = dict(sorted(regions.items()))
    except (KeyError, TypeError, ValueError) as error:
        raise StimulusError(
            f"{table.at(row)}: its conditions have another form ({error!r}). Each has condition_name and regions with "
            "region_number and content."
        ) from error
    return found


def _passages(table: Table, row: Row, regions: Regions, side: tuple[Region, ...], start: str) -> tuple[Passage, ...]:
    """The texts of a sum after their contexts: neighbouring regions are one text, and empty ones none."""
    found: list[Passage] = []
    left: Counter[tuple[str, int]] = Counter()
    for condition, number in side:
        own = regions.get(condition, {})
        if not own or (number is not None and number not in own):
            raise StimulusError(f"{table.at(row)}: a prediction names {condition} {number or '*'}, which it lacks.")
        left.update((condition, n) for n in (own if number is None else (number,)) if own[n])
    while left:
        condition = next(iter(left))[0]
        words = {n: content for n, content in regions[condition].items() if content}
        run: list[int] = []
        for n in words:
            if left[condition, n]:
                run.append(n)
            elif run:
                break
        before = start + " ".join(content for n, content in words.items() if n < run[0])
        space = "" if before[-1:].isspace() or before == "" else " "
        found.append((before, space + " ".join(words[n] for n in run)))
        left -= Counter((condition, n) for n in run)
    if not found:
        raise StimulusError(
            f"{table.at(row)}: all regions of one side of a prediction are empty. Mend the item, or leave it out."
        )
    return tuple(found)


def _comparisons(table: Table, prediction: object) -> Iterator[tuple[tuple[Region, ...], tuple[Region, ...]]]:
    """What surprises more and what less, for each comparison by < or > of a prediction.

    Raises:
        StimulusError: The formula is of another kind.
    """
    formula = prediction.get("formula") if isinstance(prediction, dict) else None
    if not isinstance(formula, str):
        raise StimulusError(f"{table.path.name}: prediction {short_repr(prediction)} has no formula. Give one as text.")
    names: dict[str, Region] = {}

    def replace_term(term: re.Match[str]) -> str:
        name = _NAME.format(len(names))
        names[name] = (term[2], None if term[1] == "*" else int(term[1]))
        return f"({name})"

    # in Python's own words, to be taken apart by its own parser; nothing of it is run
    text = _TERM.sub(replace_term, formula).replace("[", "(").replace("]", ")").replace("&", " and ")
    text = re.sub(r"(?<![<>=!])=(?!=)", "==", text)
    try:
        for comparison in _conjuncts(ast.parse(text.strip(), mode="eval").body):
            yield from _sides(comparison, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise StimulusError(
            f"{table.path.name}: the prediction {short_repr(formula)} cannot be read ({why}). Predictions compare sums of regions by < or >, such as "
            "(2;%a%) > (2;%b%), with & between comparisons."
        ) from error


def _sides(
    comparison: ast.Compare, names: Mapping[str, Region]
) -> Iterator[tuple[tuple[Region, ...], tuple[Region, ...]]]:
    """What surprises more and what less; nothing of an equality."""
    difference = _linear(comparison.left, names)
    difference.subtract(_linear(comparison.comparators[0], names))
    more = tuple(region for region, n in difference.items() for _ in range(n))
    less = tuple(region for region, n in difference.items() for _ in range(-n))
    if isinstance(comparison.ops[0], ast.Eq):
        return
    if not more or not less:
        raise ValueError("one side of a comparison has no region")
    yield (more, less) if isinstance(comparison.ops[0], ast.Gt) else (less, more)


def _conjuncts(node: ast.expr) -> Iterator[ast.Compare]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for value in node.values:
            yield from _conjuncts(value)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Gt | ast.Lt | ast.Eq):
        yield node
    else:
        raise ValueError(f"{ast.unparse(node)[:40]!r} is no comparison by <, > or =")


def _linear(node: ast.expr, names: Mapping[str, Region]) -> Counter[Region]:
    """How often each region is counted, with its sign."""
    match node:
        case ast.Name(id=name) if name in names:
            return Counter({names[name]: 1})
        case ast.Constant(value=0):
            return Counter()
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return Counter({region: -n for region, n in _linear(inner, names).items()})
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            total = _linear(left, names)
            (total.update if isinstance(sign, ast.Add) else total.subtract)(_linear(right, names))
            return total
    raise ValueError(f"{ast.unparse(node)[:40]!r} is no sum of regions")
