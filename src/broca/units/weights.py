"""A choice of weights: which entries of which matrices of a model.

A matrix is always written output by input, ``(row, column)``, however a model stores it: a row is what one output reads,
a column what one input feeds. An entry's index is ``row * columns + column``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.units import weight_files

if TYPE_CHECKING:
    import polars as pl

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a matrix is, and how large."""

    layer: int
    kind: str
    """q, k, v, o, gate, up or down; the module's own name where it is none of these."""
    rows: int
    columns: int

    @property
    def size(self) -> int:
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class WeightOverlap:
    """What two choices share, beside what random choices of as many weights a matrix would share on average."""

    shared: int
    jaccard: float
    """NaN for two empty choices."""
    expected: float
    """Mean of the shared count: the sum over matrices of k1 k2 / n."""


@dataclass(frozen=True, eq=False, repr=False)
class WeightSet:
    """Chosen weights of each matrix, as sorted indices.

    Choices combine: ``a & b`` is what both choose, ``a | b`` what either does, ``a - b`` what a alone does. A matrix that
    only one of two knows counts as empty in the other.

    Raises:
        SelectionError: if an index is no entry of its matrix or comes twice, or a matrix has no address.
    """

    at: Mapping[str, Indices]
    """By the matrix's name; matrices without a chosen entry may be absent."""
    addresses: Mapping[str, Address]
    about: Mapping[str, Any] = field(default_factory=dict)
    """What a file of it says besides: the model's fingerprint under ``model``, the edit, how it was chosen. Plain JSON."""

    def __post_init__(self) -> None:
        at = {}
        for name in sorted(self.at):
            if name not in self.addresses:
                raise SelectionError(
                    f"Weights of {name} are chosen, but nothing says how large it is. Add its address."
                )
            index, size = np.sort(np.asarray(self.at[name])), self.addresses[name].size
            if index.ndim != 1 or not (np.issubdtype(index.dtype, np.integer) or not index.size):
                raise SelectionError(f"{name}: give a row of whole numbers, row * columns + column of each weight.")
            if index.size and not 0 <= index[0] <= index[-1] < size:
                raise SelectionError(f"{name} has weights 0 to {size - 1}; {index[0]} to {index[-1]} are chosen.")
            if (index[1:] == index[:-1]).any():
                raise SelectionError(f"{name}: a weight is chosen twice. Name each once.")
            index = index.astype(np.int64)
            index.flags.writeable = False
            if index.size:
                at[name] = index
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "addresses", {name: self.addresses[name] for name in sorted(self.addresses)})

    @property
    def grain(self) -> str:
        """What is chosen."""
        return "weight"

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return self.grain

    @property
    def count(self) -> int:
        """How many weights are chosen."""
        return sum(index.size for index in self.at.values())

    @property
    def total(self) -> int:
        """How many weights the matrices have."""
        return sum(address.size for address in self.addresses.values())

    @property
    def fingerprint(self) -> str:
        """Content hash: matrices, their addresses, choices. 16 hex digits."""
        header = [[name, a.layer, a.kind, a.rows, a.columns] for name, a in self.addresses.items()]
        digest = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode())
        for name, index in self.at.items():
            digest.update(f"{name} {index.size} ".encode())
            digest.update(index.astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def __and__(self, other: WeightSet) -> WeightSet:
        return self._combine(other, lambda a, b: np.intersect1d(a, b, assume_unique=True))

    def __or__(self, other: WeightSet) -> WeightSet:
        return self._combine(other, np.union1d)

    def __sub__(self, other: WeightSet) -> WeightSet:
        return self._combine(other, lambda a, b: np.setdiff1d(a, b, assume_unique=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightSet):
            return NotImplemented
        same = self.addresses == other.addresses and self.at.keys() == other.at.keys()
        return same and all(np.array_equal(index, other.at[name]) for name, index in self.at.items())

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"WeightSet({self.count} of {self.total} weights in {len(self.at)} of {len(self.addresses)} matrices)"

    def lines(self, name: str) -> tuple[Indices, Indices]:
        """Row and column of each chosen weight of a matrix, both ``(k,)``."""
        rows, columns = np.divmod(self.at.get(name, np.zeros(0, np.int64)), self.addresses[name].columns)
        return rows, columns

    def overlap(self, other: WeightSet) -> WeightOverlap:
        """What both choose, and what chance would give.

        Raises:
            SelectionError: if they are of matrices of other sizes.
        """
        both = (self & other).count
        either = self.count + other.count - both
        expected = sum(
            index.size * other.at[name].size / self.addresses[name].size
            for name, index in self.at.items()
            if name in other.at
        )
        return WeightOverlap(both, both / either if either else float("nan"), expected)

    def only(self, wanted: Callable[[Address], bool]) -> WeightSet:
        """What is chosen in the matrices whose address is `wanted`."""
        at = {name: index for name, index in self.at.items() if wanted(self.addresses[name])}
        return WeightSet(at, self.addresses, self.about)

    def by_matrix(self) -> pl.DataFrame:
        """One row a matrix: matrix, layer, kind, n_weights, n_selected, n_rows and n_columns that hold a chosen one."""
        import polars as pl

        rows = []
        for name, address in self.addresses.items():
            on_rows, on_columns = self.lines(name)
            rows.append(
                {
                    "matrix": name,
                    "layer": address.layer,
                    "kind": address.kind,
                    "n_weights": address.size,
                    "n_selected": on_rows.size,
                    "n_rows": np.unique(on_rows).size,
                    "n_columns": np.unique(on_columns).size,
                }
            )
        return pl.DataFrame(rows)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file, whole or not at all; the same choice gives the same bytes."""
        return weight_files.save(self, Path(path))

    def to_bytes(self) -> bytes:
        """The content of such a file."""
        return weight_files.to_bytes(self)

    def to_json(self) -> dict[str, Any]:
        """As plain data, indices packed: see `broca.units.weight_files.pack`."""
        matrices = {
            name: [a.layer, a.kind, a.rows, a.columns, weight_files.pack(self.at.get(name))]
            for name, a in self.addresses.items()
        }
        return {"matrices": matrices, "about": dict(self.about)}

    @classmethod
    def from_json(cls, data: Any) -> WeightSet:
        """Weights from what `to_json` wrote.

        Raises:
            SelectionError: if `data` is anything else.
        """
        entries, about = weight_files.unpack_weights(data)
        addresses = {name: Address(*entry[:4]) for name, entry in entries.items()}
        return cls({name: entry[4] for name, entry in entries.items()}, addresses, about)

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> WeightSet:
        """What `to_bytes` gave; `where` is for errors.

        Raises:
            SelectionError: if it is damaged or something else.
        """
        return weight_files.from_bytes(_restore, content, where)

    @classmethod
    def load(cls, path: str | Path, *, model: str | None = None) -> WeightSet:
        """Read what `save` wrote.

        Args:
            path: of the file.
            model: the fingerprint of the model that it is for; None asks no questions.

        Raises:
            SelectionError: if the file is missing, damaged or something else, or was made on another model.
        """
        return weight_files.load(_restore, Path(path), model=model)

    def _combine(self, other: WeightSet, rule: Callable[[Indices, Indices], Any]) -> WeightSet:
        for name, address in other.addresses.items():
            if self.addresses.get(name, address) != address:
                raise SelectionError(
                    f"{name} is {self.addresses[name]} in one choice and {address} in the other. Combine choices of one model."
                )
        none = np.zeros(0, np.int64)
        names = {**self.at, **other.at}
        at = {name: np.asarray(rule(self.at.get(name, none), other.at.get(name, none)), np.int64) for name in names}
        return WeightSet(at, {**self.addresses, **other.addresses}, self.about)


def _restore(
    at: Mapping[str, Indices], addresses: Mapping[str, tuple[int, str, int, int]], about: Mapping[str, Any]
) -> WeightSet:
    return WeightSet(at, {name: Address(*values) for name, values in addresses.items()}, about)
