"""Texts that are nearly the same: fillings of one template that nobody has named as a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from broca.errors import StatisticsError
from broca.stats.intervals import Array

WIDTH = 5
"""Characters of an n-gram: long enough that unlike texts of one language share few."""
ALIKE = 0.6
"""Jaccard similarity from which two texts are near-duplicates."""
_COMMON = 0.1
"""Share of the texts from which an n-gram is counted in a dense table: there are never many such, and each would fill a sparse one."""
_ROWS = 256
"""Texts that are compared with all others at once."""


@dataclass(frozen=True, eq=False, slots=True)
class NearDuplicates:
    """Pairs of texts that are alike, and the groups that they make."""

    pairs: Array
    """(pair, 2) places of texts, the first one first."""
    similarity: Array
    """(pair,) shared share of their character n-grams."""
    groups: Array
    """(text,) which texts hang together by pairs, counted from 0 in order of appearance."""

    @property
    def alike(self) -> int:
        """How many texts have a near-duplicate."""
        return len(np.unique(self.pairs))

    @property
    def fraction(self) -> float:
        """Of all texts."""
        return self.alike / len(self.groups)


def near_duplicates(texts: Sequence[str], *, similarity: float = ALIKE, width: int = WIDTH) -> NearDuplicates:
    """All pairs of texts whose sets of character n-grams have a Jaccard similarity of at least `similarity`.

    Case and kinds of white space do not matter.

    Args:
        texts: at least one.
        similarity: from above 0, where nothing is shared, to 1.
        width: characters of an n-gram.

    Raises:
        StatisticsError: if there are no texts, or a number is impossible.
    """
    if not texts or not 0 < similarity <= 1 or width < 1:
        raise StatisticsError(
            f"{len(texts)} texts are compared at a similarity of {similarity} by {width} characters. Give 1 text or more, a similarity "
            "above 0 and up to 1, and 1 character or more."
        )
    table, often = _table([_grams(text, width) for text in texts])
    sizes = np.diff(table.indptr)
    dense, rare = table[:, often].toarray(), table[:, ~often]
    pairs, alike = [], []
    for start in range(0, len(texts), _ROWS):
        at = slice(start, start + _ROWS)
        shared = dense[at] @ dense[start:].T + (rare[at] @ rare[start:].T).toarray()
        found = shared / (sizes[at, None] + sizes[None, start:] - shared)
        first, second = np.nonzero(np.triu(found >= similarity - 1e-6, 1))
        pairs.append(np.column_stack([first, second]) + start)
        alike.append(found[first, second])
    joined, n = np.concatenate(pairs), len(texts)
    links = coo_array((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(n, n))
    groups = connected_components(links, directed=False)[1].astype(np.int64)
    return NearDuplicates(joined, np.concatenate(alike), groups)


def _grams(text: str, width: int) -> Array:
    """Numbers that stand for the n-grams of a text, each once."""
    plain = " ".join(text.casefold().split())
    letters = np.frombuffer(f" {plain} ".ljust(width).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashed = np.zeros(len(letters) - width + 1, np.uint64)
    for i in range(width):
        hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + letters[i : len(letters) - width + 1 + i]
    return np.unique(hashed)


def _table(grams: list[Array]) -> tuple[csr_array, Array]:
    """(text, n-gram) ones, and which n-grams are common."""
    every, columns = np.unique(np.concatenate(grams), return_inverse=True)
    ends = np.append(0, np.cumsum([len(each) for each in grams]))
    table = csr_array((np.ones(ends[-1], np.float32), columns, ends), shape=(len(grams), len(every)))
    return table, np.bincount(columns) > _COMMON * len(grams)
