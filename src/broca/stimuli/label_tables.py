"""Contrasts from any table: one text and label per row, or a positive and a negative text per row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus
from broca.registry import unknown
from broca.stimuli.answers import text_in
from broca.stimuli.pictures import COLUMNS, pictures_in
from broca.stimuli.tables import Row, Table, read_table, rename_columns, short_repr, whole_number

_POSITIVE = frozenset({"positive", "pos", "1", "true"})
_NEGATIVE = frozenset({"negative", "neg", "0", "false"})

_USED = {"text", "label", "positive", "negative", "group", "id", *COLUMNS}
_USED |= {f"{side}_{kind}" for side in ("positive", "negative") for kind in ("image", "images")}


def table_contrast(
    path: str | Path, *, positive: str | None = None, negative: str | None = None, columns: str | None = None
) -> Contrast:
    """A contrast from a CSV, TSV, JSONL, JSON or Parquet table.

    Columns are ``text`` and ``label``, or ``positive`` and ``negative`` (then the contrast is paired); ``group`` and
    ``id`` are optional, others become tags. A label is positive/pos/1/true or negative/neg/0/false in any case,
    unless `positive` names one.

    Pictures stand in ``image`` or ``images``, as `broca.stimuli.pictures.pictures_in` reads them, those of one side of a pair in
    ``positive_images`` and ``negative_images``; paths are relative to the file.

    Args:
        path: The file.
        positive: The label of the positive stimuli; all rows must then have it or one other label.
        negative: The label of the negative stimuli; rows with a third label are then left out.
        columns: What the table calls these columns, where it calls them otherwise: ``text=sentence,label=kind``.

    Raises:
        StimulusError: The table is malformed, lacks columns or a side, or has an unknown label or an empty text, or a picture is missing
            or damaged.
        UnknownName: `positive` or `negative` is not a label of the table.
    """
    read = read_table(path)
    read = read if columns is None else rename_columns(read, columns, sorted(_USED))
    return contrast_of_table(read, positive=positive, negative=negative)


def contrast_of_table(read: Table, *, positive: str | None = None, negative: str | None = None) -> Contrast:
    """The same from a table that has been read."""
    paired = "positive" in read.columns and "negative" in read.columns
    if paired and "text" in read.columns and "label" in read.columns:
        raise StimulusError(
            f"{read.path.name} has the columns text and label, and positive and negative. Keep one of the two pairs."
        )
    read.optional("group", "id", *(name for name in COLUMNS if not paired and not set(COLUMNS) & set(read.columns)))
    return _of_pairs(read, positive, negative) if paired else _of_labels(read, positive, negative)


def _of_pairs(read: Table, positive: str | None, negative: str | None) -> Contrast:
    if positive is not None or negative is not None:
        raise StimulusError(
            f"{read.path.name} has a column for each side, so there is no label to choose. "
            "Leave out the options 'positive' and 'negative'."
        )
    names = read.names(lambda index: str(index + 1))
    sides: dict[str, list[Stimulus]] = {"positive": [], "negative": []}
    for row, name in zip(read.rows, names, strict=True):
        for side, stimuli in sides.items():
            images = pictures_in(read, row, *COLUMNS, f"{side}_image", f"{side}_images")
            stimuli.append(Stimulus(f"{name}-{side}", text_in(read, row, side), read.group(row), _tags(row), images))
    for row, one, other in zip(read.rows, sides["positive"], sides["negative"], strict=True):
        if one.content == other.content:
            raise StimulusError(
                f"{read.at(row)}: both sides hold the same text {short_repr(one.text)}. Remove the row."
            )
    return _build(read, sides["positive"], sides["negative"], kind="a table of pairs", paired=True)


def _of_labels(read: Table, positive: str | None, negative: str | None) -> Contrast:
    if "text" not in read.columns and "label" not in read.columns:
        raise StimulusError(
            f"{read.path.name} needs the columns 'text' and 'label', or 'positive' and 'negative'."
            f"{read.near('text', 'label') or read.near('positive', 'negative')} "
            f"Columns found: {read.column_names}."
        )
    read.require("text", "label")
    is_positive = _labels(read, positive, negative)
    names = read.names(lambda index: str(index + 1))
    sides: dict[bool, list[Stimulus]] = {True: [], False: []}
    first: dict[object, tuple[bool, Row]] = {}
    for row, name in zip(read.rows, names, strict=True):
        side = is_positive[_label(read, row)]
        text = text_in(read, row, "text")
        if side is None:
            continue
        stimulus = Stimulus(name, text, read.group(row), _tags(row), pictures_in(read, row, *COLUMNS))
        if first.setdefault(stimulus.content, (side, row))[0] is not side:
            raise StimulusError(
                f"{read.at(row)}: the text {short_repr(text)} has the other label in {first[stimulus.content][1].where}. Remove one."
            )
        sides[side].append(stimulus)
    for side, word in ((True, "positive"), (False, "negative")):
        if not sides[side]:
            found = ", ".join(f"{short_repr(label)}" for label in is_positive)
            raise StimulusError(
                f"{read.path.name} has no {word} rows; its labels are {found}. A contrast needs both sides."
            )
    return _build(read, sides[True], sides[False], kind="a table of labelled texts", paired=False)


def _labels(read: Table, positive: str | None, negative: str | None) -> dict[str, bool | None]:
    """Each label of the table, and whether it is positive; None for rows that were asked to be left out."""
    counts = Counter(_label(read, row) for row in read.rows)
    for wanted in (positive, negative):
        if wanted is not None and wanted not in counts:
            raise unknown(f"Label of {read.path.name}", wanted, tuple(counts))
    if positive is None and negative is None:
        return {label: _standard(read, label) for label in counts}
    if positive is not None and positive == negative:
        raise StimulusError(f"The options 'positive' and 'negative' both name {positive!r}. Name two labels.")
    others = [label for label in counts if label not in {positive, negative}]
    if positive is not None and negative is not None:
        return {positive: True, negative: False} | dict.fromkeys(others)
    if len(others) > 1:
        given, missing = ("positive", "negative") if negative is None else ("negative", "positive")
        listed = ", ".join(f"{short_repr(label)} ({counts[label]} rows)" for label in others)
        raise StimulusError(
            f"{read.path.name} has {len(others)} labels besides the {given} one: {listed}. "
            f"Name the {missing} one with the option {missing!r}; rows with other labels are then left out."
        )
    return {label: (label == positive if positive is not None else label != negative) for label in counts}


def _standard(read: Table, label: str) -> bool:
    lowered = label.lower().removesuffix(".0")  # pandas writes 1.0 beside missing numbers
    if lowered in _POSITIVE | _NEGATIVE:
        return lowered in _POSITIVE
    row = next(row for row in read.rows if _label(read, row) == label)
    raise StimulusError(
        f"{read.at(row)}: label {short_repr(label)} is neither positive (positive, pos, 1, true) nor negative (negative, "
        "neg, 0, false). Correct it, or name the positive label with the option 'positive'."
    )


def _label(read: Table, row: Row) -> str:
    value = whole_number(row.cells["label"])
    return str(value) if isinstance(value, bool | int) else read.word(row, "label")


def _tags(row: Row) -> dict[str, str]:
    """Words and numbers of the columns that have no other use: confounds may be named among them."""
    return {
        name: str(value).strip()
        for name, value in row.cells.items()
        if name not in _USED and isinstance(value, str | int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN
    }


def _build(read: Table, positive: list[Stimulus], negative: list[Stimulus], *, kind: str, paired: bool) -> Contrast:
    repeated = sum(len(side) - len({stimulus.content for stimulus in side}) for side in (positive, negative))
    note = f"; {repeated} texts repeat an earlier one" if repeated else ""
    return Contrast(
        read.path.stem,
        tuple(positive),
        tuple(negative),
        paired=paired,
        source=f"Read from {read.path.name}, taken for {kind}: {len(positive)} positive, {len(negative)} negative{note}.",
    )
