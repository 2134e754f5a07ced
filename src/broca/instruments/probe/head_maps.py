"""What each head looks at: attention by place, by size rank and by step, and how spread out it is (Hou et al., 2023)."""

from __future__ import annotations

import numpy as np
import polars as pl

from broca.errors import StatisticsError
from broca.instruments.probe.statements import Floats, Ints, Statements
from broca.stats.reliability import SplitHalf, split_half


def place_of(statements: Statements) -> Ints:
    """The place of each statement among those of its tree; -1 in trees of another size than most."""
    sizes = np.bincount(statements.text)
    usual = int(np.bincount(sizes).argmax())
    return np.where(statements.size == usual, statements.place, -1)


def ranks(statements: Statements) -> tuple[Ints, Ints] | None:
    """Rows in order of size, list by list, and the rank of each, 0 for the smallest; None where statements are no numbers.

    Of equal numbers the first one stands for all, at each of the ranks that they take up, as in Hou et al. (2023).
    """
    if not all(said.isdecimal() for said in statements.said):
        return None
    values = np.array([int(said) for said in statements.said])
    order = np.lexsort((statements.place, values, statements.text))
    text, value = statements.text[order], values[order]
    rank = np.arange(len(order)) - np.searchsorted(text, text)
    new = np.r_[True, (text[1:] != text[:-1]) | (value[1:] != value[:-1])]
    return order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))], rank


def mean_by(values: Floats, labels: Ints) -> Floats:
    """Mean ``(label, layer, head)`` of ``(row, layer, head)`` over the rows of each label from 0; rows labelled -1 are left out."""
    n = int(labels.max()) + 1
    sums, count = np.zeros((n, *values.shape[1:])), np.bincount(labels[labels >= 0], minlength=n)
    np.add.at(sums, labels[labels >= 0], values[labels >= 0])
    return sums / np.maximum(count, 1)[:, None, None]


def entropy(means: Floats) -> Floats:
    """Entropy ``(layer, head)`` of mean attention ``(label, layer, head)``, as a share of that of even attention.

    Low by place: a head that always looks at the same places. Low by size rank: one that chooses by size. It is the entropy of the
    mean, not the mean of entropies.
    """
    share = means / means.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(share > 0, -share * np.log(share), 0.0)
    return terms.sum(0) / np.log(len(means))


def attention_table(values: Floats, statements: Statements, layers: tuple[int, ...]) -> pl.DataFrame:
    """Mean attention, heads averaged, one row a layer and place, size rank or step."""
    means = _means(values, statements) | {"step": mean_by(values, statements.height)}
    rows = [
        {"by": name, "label": label, "layer": layer, "attention": float(mean)}
        for name, each in means.items()
        for label, of_layers in enumerate(each.mean(-1))
        for layer, mean in zip(layers, of_layers, strict=True)
    ]
    return pl.DataFrame(rows, schema={"by": pl.String, "label": pl.Int64, "layer": pl.Int64, "attention": pl.Float64})


def entropies(values: Floats, statements: Statements) -> dict[str, Floats]:
    """Entropy ``(layer, head)`` by place, and by size rank where statements are numbers."""
    return {name: entropy(means) for name, means in _means(values, statements).items()}


def _means(values: Floats, statements: Statements) -> dict[str, Floats]:
    """Mean attention ``(label, layer, head)`` by place, and by size rank where statements are numbers."""
    found, sizes = {"place": mean_by(values, place_of(statements))}, ranks(statements)
    return found if sizes is None else found | {"size": mean_by(values[sizes[0]], sizes[1])}


def preference(values: Floats, statements: Statements, rows: np.ndarray | None = None) -> Floats:
    """How much more attention useful statements get than others, ``(layer, head)`` in standard deviations."""
    kept = np.ones(len(values), dtype=bool) if rows is None else rows
    useful = statements.height > 0
    a, b = values[kept & useful], values[kept & ~useful]
    spread = values[kept].std(0)
    return np.divide(a.mean(0) - b.mean(0), spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def halves_agree(values: Floats, statements: Statements, *, seed: int) -> SplitHalf | None:
    """Reliability of the map of preferences over heads: theories are dealt to two halves. None where it is undefined."""
    group = statements.group
    order = np.random.default_rng([seed, 3]).permutation(int(group.max()) + 1)
    half = (order % 2 == 0)[group]
    useful = statements.height > 0
    if min((part & kind).sum() for part in (half, ~half) for kind in (useful, ~useful)) < 2:
        return None
    try:
        return split_half(*(preference(values, statements, part).ravel() for part in (half, ~half)))
    except StatisticsError:
        return None
