"""What a lesion does: blocks of its curves, of matched draws, of the matrix of abilities, and of single answers."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from broca.evidence import charts
from broca.evidence.answer_blocks import answers
from broca.evidence.tables import BASELINES
from broca.page.blocks import Block, Cell, Chart, Column, Matrix, Quote, Quotes, Table, Text, section
from broca.page.record import Record
from broca.page.words import as_text, count, finite, number, p_value, percent, points

QUOTED = 30
"""Answers that changed and are quoted; the rest stay in their table."""
SIDE_BY_SIDE = 4
"""Abilities beside one another; more stand one above the other."""

_LESION = pl.col("condition") == "lesion"


def doses(record: Record, what: str = "", claimed: Any = None, *, ranked: bool = True) -> list[Block]:
    """A chart for each ability, the localizer's own first; where nothing was ranked, every matched draw beside the lesion.

    Args:
        record: the run.
        what: whose percentage a dose is; what was selected, where nothing else is said.
        claimed: the percentage of the claim.
        ranked: whether the selection came from a ranking, so that there can be other doses.
    """
    rows = record.tables.get("doses")
    if rows is None:
        return []
    what = what or f"{record.grain}s lesioned"
    # Other localizers are in the matrix; a curve is about the one that the claim is about.
    main = next(iter(rows.filter(_LESION)["localizer"].drop_nulls().to_list()), "")
    rows = rows.filter((pl.col("condition") == "intact") | (pl.col("localizer") == main))
    if not ranked:
        return _draws(record, rows, what)
    out = []
    for i, ability in enumerate(_abilities(record, rows)):
        own = rows.filter(pl.col("ability") == ability)
        if own.filter(_LESION).is_empty():
            continue
        text = _dose_words(own, ability, claimed, what)
        make = partial(charts.dose_response, own, ability, chance=_chance(record, ability), what=what)
        out.append(Chart(f"dose-response-{i + 1}", text, make))
    words = (
        f"Each lesion beside random draws of as many {record.grain}s. The band is the middle 95 % of the draws, and how many there were stands "
        "under each curve. A lesion inside the band does no more than chance would."
    )
    return section("doses", "What the lesion does", Text(words), *out)


def _draws(record: Record, rows: pl.DataFrame, what: str) -> list[Block]:
    """One picture: under each fill, every matched draw as a dot, and the lesion."""
    order = [a for a in _abilities(record, rows) if not rows.filter(_LESION & (pl.col("ability") == a)).is_empty()]
    if not order:
        return []
    rows = rows.filter(pl.col("accuracy").is_finite())
    said = [_dose_words(rows.filter(pl.col("ability") == ability), ability, None, what) for ability in order]
    words = (
        "The selection beside random draws of as many, each a dot. A lesion among the dots does no more than chance would. Nothing "
        "was ranked, so there is no smaller or larger dose."
    )
    chart = Chart("draws", " ".join(said), partial(charts.draws, rows, order))
    return section("doses", "What the lesion does", Text(words), chart)


def _abilities(record: Record, rows: pl.DataFrame) -> list[str]:
    every = rows["ability"].drop_nulls().unique(maintain_order=True).to_list()
    cells = record.tables.get("matrix")
    own = set() if cells is None else set(cells.filter(pl.col("own"))["ability"].to_list())
    return sorted(every, key=lambda ability: ability not in own)


def _chance(record: Record, ability: str) -> float | None:
    rows = record.tables.get("baselines")
    if rows is None:
        return None
    found = rows.filter((pl.col("ability") == ability) & (pl.col("baseline") == "chance"))["accuracy"].to_list()
    return float(found[0]) if found and finite(found[0]) else None


def _dose_words(rows: pl.DataFrame, ability: str, dose: Any, what: str) -> str:
    """The chart in a sentence: the claim's dose, or the largest, against the intact model and the random draws."""
    rows = rows.filter(pl.col("accuracy").is_finite())
    lesion = rows.filter(_LESION).sort("dose", descending=True, maintain_order=True)
    if lesion.is_empty():
        return f"{ability}: no accuracy is defined."
    claimed = lesion.filter(pl.col("dose") == dose) if finite(dose) else lesion.clear()
    last = (lesion if claimed.is_empty() else claimed).row(0, named=True)
    intact = rows.filter(pl.col("condition") == "intact")["accuracy"].mean()
    how = ", ".join(filter(None, (last["side"], last["fill"])))
    words = f"{ability}: {percent(intact)} intact; {percent(last['accuracy'])} with {number(last['dose'])} % of the {what} ({how})"
    same = (pl.col("dose") == last["dose"]) & pl.col("fill").eq_missing(last["fill"])
    drawn = rows.filter((pl.col("condition") == "random") & same)["accuracy"]
    if not drawn.is_empty():
        low, high = drawn.quantile(0.025, "linear"), drawn.quantile(0.975, "linear")
        # Fewer than 40 draws have no 2.5 % tail to speak of; their number says how far to trust the band.
        of = f"{'95 % of ' if drawn.len() >= 40 else ''}{number(drawn.len())} random draws"
        words += f"; {of} of as many: {percent(low)} to {percent(high)}"
    return words + "."


def matrix(record: Record) -> list[Block]:
    """Localizer by ability: each cell with its effect, interval, p and random band."""
    rows = record.rows("matrix")
    if not rows:
        return []
    rows.sort(key=lambda row: not row["own"])
    largest = max((abs(row["effect"]) for row in rows if finite(row["effect"])), default=0.0) or 1.0
    found = {(as_text(row["localizer"]), as_text(row["ability"])): _cell(row, largest) for row in rows}
    abilities = tuple(dict.fromkeys(ability for _, ability in found))
    localizers = tuple(dict.fromkeys(as_text(row["localizer"]) for row in record.rows("matrix")))
    title, caption = "Localizer by ability", "Effect of the lesion on each ability"
    if len(abilities) > max(SIDE_BY_SIDE, len(localizers)):
        cells = tuple((a, tuple(found.get((own, a)) for own in localizers)) for a in abilities)
        shown = Matrix(title, "ability", localizers, cells, caption)
    else:
        cells = tuple((own, tuple(found.get((own, a)) for a in abilities)) for own in localizers)
        shown = Matrix(title, "localizer", abilities, cells, caption)
    words = "Change of accuracy under the lesion, in percentage points with its 95 % interval, paired by item."
    if any(row["own"] for row in rows):
        words += " The framed cell is the localizer’s own ability; a specific place shows there and nowhere else."
    small = (
        "First p: sign flips of the changes, group by group, and corrected over the cells (Holm). Random: middle 95 % of the effects of "
        "random draws, and the share of draws at least as strong."
    )
    said = [Text(as_text(text)) for text in record.entries("dissociations")]
    return section("matrix", title, Text(words), shown, *said, Text(small, quiet=True))


def _cell(row: dict[str, Any], largest: float) -> Cell:
    effect = row["effect"] if finite(row["effect"]) else 0.0
    banded = finite(row["random_low"]) and finite(row["random_high"])
    holm = f" (Holm: {p_value(row['p_holm'])})" if row["p_holm"] is not None else ""
    beside = f"random {points(row['random_low'])} to {points(row['random_high'])}"
    lines = (
        f"{points(row['low'])} to {points(row['high'])}" if None not in (row["low"], row["high"]) else "",
        f"{percent(row['intact'])} → {percent(row['lesion'])}",
        f"{p_value(row['p'])}{holm}" + (f", n = {number(row['n'])}" if row["n"] else ""),
        ", ".join(filter(None, (beside, p_value(row["p_random"])))) if banded else "",
    )
    strength, tag = max(-1.0, min(1.0, effect / largest)), "own ability" if row["own"] else ""
    return Cell(points(row["effect"]), tuple(filter(None, lines)), strength, framed=bool(row["own"]), tag=tag)


def baselines(record: Record) -> list[Block]:
    """Accuracy of the shortcuts beside the intact model's, by ability."""
    rows = record.tables.get("baselines")
    if rows is None:
        return []
    names = [as_text(name) for name in rows["baseline"].unique(maintain_order=True)]
    intact, out = _intact(record), []
    for ability in rows["ability"].unique(maintain_order=True).to_list():
        own = rows.filter(pl.col("ability") == ability)
        by_name = dict(zip(map(as_text, own["baseline"]), own["accuracy"].to_list(), strict=True))
        best = max((value for value in by_name.values() if finite(value)), default=None)
        model = intact.get(ability)
        above = None if best is None or model is None or not finite(model) else model > best
        out.append((ability, model, *(by_name.get(name) for name in names), above))
    columns = (Column("ability"), Column("intact model", "percent", strong=True),
               *(Column(name, "percent", BASELINES.tip("accuracy")) for name in names), Column("above all of them"))  # fmt: skip
    caption = "Accuracy of the intact model and of shortcuts"
    words = Text("An accuracy means something only above what needs no ability.")
    return section("baselines", "What shortcuts would score", words, Table("Baselines", columns, tuple(out), caption))


def _intact(record: Record) -> dict[str, float]:
    rows = record.tables.get("doses")
    if rows is not None:
        own = rows.filter((pl.col("condition") == "intact") & pl.col("accuracy").is_finite())
        return dict(own.group_by("ability").agg(pl.col("accuracy").mean()).iter_rows())
    cells = record.tables.get("matrix")
    return {} if cells is None else dict(cells.select("ability", "intact").iter_rows())


def flipped_blocks(record: Record) -> list[Block]:
    """Items whose answer the lesion changed, the lost ones first, `QUOTED` of them with text; then every answer, in a list."""
    rows = record.tables.get("flipped")
    shown: list[Block] = []
    if rows is not None:
        ordered = rows.sort(pl.col("change") != "lost", maintain_order=True)
        lost = int((rows["change"] == "lost").sum())
        gained = rows.height - lost
        words = f"The lesion turned {count(lost, 'right answer')} wrong and {count(gained, 'wrong answer')} right."
        quotes = tuple(_quote(row) for row in ordered.head(QUOTED).to_dicts())
        more = rows.height - len(quotes)
        left = Text(f"{number(more)} more are in tables/flipped.parquet of this run.") if more else None
        shown = [block for block in (Text(words), Quotes(quotes), left) if block]
    return section("flipped", "Answers that changed", *shown, *answers(record))


def _quote(row: dict[str, Any]) -> Quote:
    told = (("right answer", row["answer"]), ("intact", row["intact"]), ("lesion", row["lesion"]))
    pairs = tuple((name, value or "") for name, value in told)
    return Quote(row["prompt"] or "", row["id"] or "", row["change"] or "", row["ability"] or "", pairs)
