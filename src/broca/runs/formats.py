"""Tables, arrays and plain values as bytes, and back: the same value always gives the same bytes.

Parquet and safetensors both allow freedom that would show (row groups, compression level, the order of metadata): it
is taken away here. Nothing is ever pickled.
"""

from __future__ import annotations

import enum
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel
from safetensors.numpy import save as save_safetensors

from broca.errors import RunError
from broca.sites import Site
from broca.storage import Source, parse_json, tensors_of
from broca.storage.parquet import read_parquet
from broca.units import UnitMask

_HEADER = "broca"
"""The only key of our metadata. One, because safetensors writes several in no fixed order."""

_ROWS = 1 << 16
"""Rows of a parquet row group."""


def table_to_bytes(table: pl.DataFrame, header: object = None) -> bytes:
    """Parquet (zstd 3, row groups of 65 536), with `header` as JSON in its metadata.

    Raises:
        RunError: if a column has no place in parquet.
    """
    buffer = io.BytesIO()
    try:
        table.write_parquet(
            buffer,
            compression="zstd",
            compression_level=3,
            statistics=True,
            row_group_size=_ROWS,
            metadata={_HEADER: json.dumps(header)},
        )
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise RunError(
            f"A table with columns {dict(table.schema)} cannot be stored as parquet: {error}. "
            "Use numbers, strings, booleans, dates or lists of them."
        ) from error
    return buffer.getvalue()


def table_from_bytes(content: bytes) -> tuple[pl.DataFrame, Any]:
    """A table and its header.

    Raises:
        RunError: if the bytes are no whole parquet file.
    """
    table, header = read_parquet(content, name="the table", error=RunError, header=_HEADER)
    return table, parse_json(header or "null", Any, name="the table's header", error=RunError, advice="Make it again.")


def arrays_to_bytes(arrays: Mapping[str, np.ndarray], header: object = None) -> bytes:
    """Safetensors, with `header` as JSON in its metadata; the order of the names is kept in the header.

    Raises:
        RunError: if an array holds something other than numbers.
    """
    ready: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        if native.dtype.kind not in "biuf" or native.dtype.itemsize > 8 or name == "__metadata__":
            raise RunError(
                f"Array {name!r} of dtype {array.dtype} cannot be stored as safetensors. Use booleans, integers or "
                "floats of up to 64 bits; put words into a table."
            )
        # safetensors writes the memory of a transposed array as it lies, under the transposed shape.
        ready[name] = np.asarray(native, order="C")
    return save_safetensors(ready, metadata={_HEADER: json.dumps({"names": list(arrays), "header": header})})


def arrays_from_bytes(content: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """Arrays, in the order they were given, and their header.

    Raises:
        RunError: if the bytes are no whole safetensors file of ours.
    """
    source = Source("the arrays' file", RunError, "Make it again.")
    header, arrays = tensors_of(content, source)
    about = source.words(header.metadata.get(_HEADER, ""), _ArrayNames)
    if missing := [name for name in about.names if name not in arrays]:
        raise source.refusal(f"it has no array {missing[0]!r}")
    return {name: arrays[name] for name in about.names}, about.header


class _ArrayNames(BaseModel):
    """What a file says of its arrays."""

    names: list[str]
    header: Any = None


def plain(value: object, where: str = "value") -> Any:
    """`value` in JSON's terms: models and dataclasses become objects; tuples and arrays lists; NaN and infinity null.

    Args:
        value: anything made of dataclasses, pydantic models, mappings, sequences, numpy numbers and strings.
        where: what it is called in an error.

    Raises:
        RunError: for what JSON cannot say, naming the place.
    """
    if value is None:
        return None
    for types, turn in _PLAIN:
        if isinstance(value, types):
            return turn(value, where)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    raise RunError(
        f"{where} is a {type(value).__name__}, which result.json cannot hold. Use numbers, strings, lists, mappings and "
        "dataclasses; a table or mapping of arrays must be a field of the result itself."
    )


def _float(value: float, _: str) -> float | None:
    return float(value) if math.isfinite(value) else None


def _items(value: Sequence[object], where: str) -> list[Any]:
    return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]


def _mapping(value: Mapping[object, object], where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(key, bool) or not isinstance(key, str | int | Site) or str(key) in out:
            raise RunError(
                f"{where} has the key {key!r}, which JSON cannot hold. Use distinct strings or sites as keys."
            )
        out[str(key)] = plain(item, f"{where}.{key}")
    return out


_PLAIN: tuple[tuple[Any, Callable[[Any, str], Any]], ...] = (
    (enum.Enum, lambda value, where: plain(value.value, where)),
    (bool | np.bool_, lambda value, _: bool(value)),
    (str | Site, lambda value, _: str(value)),
    (int | np.integer, lambda value, _: int(value)),
    (float | np.floating, _float),
    (np.ndarray, lambda value, where: plain(value.tolist(), where)),
    (UnitMask, lambda value, where: plain(value.to_json(), where)),
    (BaseModel, lambda value, where: plain(value.model_dump(mode="json"), where)),
    (Mapping, _mapping),
    (list | tuple, _items),
    (set | frozenset, lambda value, where: sorted(_items(list(value), where), key=canonical)),
    (datetime | date, lambda value, _: value.isoformat()),
    (Path, lambda value, _: value.as_posix()),
)


def json_to_bytes(value: object) -> bytes:
    """A plain value as indented JSON in UTF-8; a lone surrogate as its escape."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


def canonical(value: object) -> str:
    """One line of JSON with sorted keys: what is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
