"""A result on disk: each field of its dataclass is stored by what it is, and no study writes a line for it.

* a table                                -> ``tables/<field>.parquet``
* an array, or arrays by site or name    -> ``tensors.safetensors``, under ``<field>`` or ``<field>/<key>``
* a mask of units                        -> ``tensors.safetensors``, uint8 under ``<field>/<site>``, its grain in the header
* chosen weights                         -> ``<field>.safetensors``, a file of its own that says of which model they are
* everything else                        -> ``result.json`` (NaN and infinity become null)

The same result always gives the same bytes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from broca.errors import RunError, SelectionError
from broca.runs.formats import (
    arrays_from_bytes,
    arrays_to_bytes,
    json_to_bytes,
    plain,
    table_from_bytes,
    table_to_bytes,
)
from broca.sites import Site
from broca.specs.schema import Schema
from broca.storage import write, writing
from broca.units import UnitMask, WeightSet

R = TypeVar("R")

RESULT, TENSORS, TABLES = "result.json", "tensors.safetensors", "tables"

NO_SCHEMAS: Mapping[str, Schema] = {}


def save_result(result: object, folder: Path, schemas: Mapping[str, Schema] = NO_SCHEMAS) -> dict[str, bytes]:
    """Write a result dataclass into `folder`; gives the bytes written, by path relative to it.

    Args:
        result: the dataclass.
        folder: of the run.
        schemas: what its tables are declared to be, by name; one without any tables is not checked.

    Raises:
        RunError: if `result` is no dataclass, a field cannot be stored, a table is not the declared one, or the disk refuses.
    """
    for name in [field.name for field in fields(result)] if schemas and is_dataclass(result) else []:
        if isinstance(table := getattr(result, name), pl.DataFrame):
            schema_of(name, schemas).check(table)
    content = result_to_bytes(result)
    with writing(folder):
        (folder / TABLES).mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        write(folder / name, data)
    return content


def schema_of(name: str, schemas: Mapping[str, Schema]) -> Schema:
    """What a table is declared to be.

    Raises:
        RunError: if it is not declared.
    """
    if name not in schemas:
        raise RunError(
            f"The table {name} is written and not declared. Give it a Schema in tables.py of its instrument, which declares "
            f"{', '.join(schemas)}."
        )
    return schemas[name]


def result_to_bytes(result: object) -> dict[str, bytes]:
    """A result as files: path relative to the run, and content."""
    if not is_dataclass(result) or isinstance(result, type):
        raise RunError(f"A study's result must be a dataclass, and this is a {type(result).__name__}.")
    content: dict[str, bytes] = {}
    tensors: dict[str, np.ndarray] = {}
    shapes: dict[str, Any] = {}
    words: dict[str, Any] = {}
    hints = get_type_hints(type(result))
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, pl.DataFrame):
            content[f"{TABLES}/{field.name}.parquet"] = table_to_bytes(value)
        elif isinstance(value, UnitMask):
            shapes[field.name] = {"mask": value.grain}
            tensors |= {f"{field.name}/{site}": np.asarray(on, np.uint8) for site, on in sorted(value.at.items())}
        elif isinstance(value, WeightSet):
            content[f"{field.name}.safetensors"] = value.to_bytes()
        elif isinstance(value, np.ndarray):
            shapes[field.name] = "array"
            tensors[field.name] = value
        elif isinstance(value, Mapping) and _holds_arrays(value, hints.get(field.name)):
            shapes[field.name] = "sites" if all(isinstance(key, Site) for key in value) else "names"
            tensors |= {f"{field.name}/{key}": array for key, array in value.items()}
        else:
            words[field.name] = plain(value, f"{type(result).__name__}.{field.name}")
    content[TENSORS] = arrays_to_bytes(tensors, shapes)
    content[RESULT] = json_to_bytes(words)
    return content


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """JSON that must be an object; `path` is for the error."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise corrupt(path, str(error)) from error
    if not isinstance(value, dict):
        raise corrupt(path, "it is no object")
    return value


def parse_tensors(content: bytes, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays, and how each field was stored; `path` is for the error."""
    try:
        arrays, shapes = arrays_from_bytes(content)
    except RunError as error:
        raise corrupt(path, str(error)) from error
    return arrays, shapes if isinstance(shapes, dict) else {}


def parse_table(content: bytes, path: Path) -> pl.DataFrame:
    """A table; `path` is for the error."""
    try:
        return table_from_bytes(content)[0]
    except RunError as error:
        raise corrupt(path, str(error)) from error


def corrupt(path: Path, reason: str) -> RunError:
    """The error for a file of a run that is not what was written."""
    return RunError(f"{path} is corrupt: {reason}. Delete the run's directory and run its spec again.")


def restore(
    content: Mapping[str, bytes],
    kind: type[R],
    where: Path,
    *,
    table_of: Callable[[str, pl.DataFrame], pl.DataFrame] = lambda _name, table: table,
) -> R:
    """The result of class `kind` from the files of a run; `where` is for errors, `table_of` makes of a table, by name, what it is today.

    A number that was NaN or infinite comes back as None where the field's type allows None, else as NaN. A field that the version
    which wrote the run did not have yet has its default.

    Raises:
        RunError: if a file is corrupt or the files hold another class's result.
    """
    if missing := sorted({TENSORS, RESULT} - content.keys()):
        raise corrupt(where / missing[0], "the manifest does not list it")
    tensors, shapes = parse_tensors(content[TENSORS], where / TENSORS)
    words = parse_json(content[RESULT], where / RESULT)
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(cast("Any", kind)):
        table = f"{TABLES}/{field.name}.parquet"
        if table in content:
            values[field.name] = table_of(field.name, parse_table(content[table], where / table))
        elif (file := f"{field.name}.safetensors") in content and file != TENSORS:
            values[field.name] = _weights(content[file], where / file)
        elif field.name in shapes:
            values[field.name] = _from_tensors(field.name, tensors, shapes[field.name])
        elif field.name in words:
            values[field.name] = _from_words(
                words[field.name], hints[field.name], f"{kind.__name__}.{field.name}", where
            )
        elif field.default is MISSING:
            raise RunError(
                f"{where} holds no {field.name}, so it is not the result of a study that makes {kind.__name__}."
            )
    return kind(**values)


def _from_tensors(name: str, tensors: Mapping[str, np.ndarray], shape: Any) -> Any:
    if shape == "array":
        return tensors[name]
    own = {key[len(name) + 1 :]: array for key, array in tensors.items() if key.startswith(f"{name}/")}
    if shape == "names":
        return own
    by_site = {Site.parse(key): array for key, array in own.items()}
    return by_site if shape == "sites" else as_mask(by_site, shape)


def as_mask(by_site: Mapping[Site, np.ndarray], shape: Mapping[str, Any]) -> UnitMask:
    """A stored mask: its uint8 arrays and how it was stored."""
    return UnitMask(at={site: array.astype(bool) for site, array in by_site.items()}, grain=shape["mask"])


def _weights(content: bytes, path: Path) -> WeightSet:
    try:
        return WeightSet.from_bytes(content, str(path))
    except SelectionError as error:
        raise corrupt(path, str(error)) from error


def _from_words(value: Any, hint: Any, name: str, where: Path) -> Any:
    if value is None and type(None) in get_args(hint):
        return None
    try:
        adapter = TypeAdapter(hint)
    except PydanticUserError as error:
        raise RunError(
            f"{name} is a {hint}, which cannot be rebuilt from JSON. Read it as it is: run.result."
        ) from error
    try:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            # JSON has no NaN: a null where the type wants a float was one.
            nulls = [e["loc"] for e in error.errors() if e["type"] == "float_type" and e["input"] is None]
            return adapter.validate_python(_with_nan(copy.deepcopy(value), nulls))
    except ValidationError as error:
        raise RunError(f"{where / RESULT}: {name} is not a {hint}: {error.errors()[0]['msg']}.") from error


def _with_nan(value: Any, places: Iterable[tuple[int | str, ...]]) -> Any:
    """`value` with NaN at places where it has null; places that lead elsewhere (through a union) are passed by."""
    for place in places:
        if not place:
            return float("nan")
        with contextlib.suppress(LookupError, TypeError):
            inner = value
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = float("nan")
    return value


def _holds_arrays(value: Mapping[Any, Any], hint: Any) -> bool:
    if not value:
        return _value_type(hint) is np.ndarray
    return all(isinstance(key, str | Site) and isinstance(item, np.ndarray) for key, item in value.items())


def _value_type(hint: Any) -> Any:
    """Value type of a hint that is a mapping, or an optional one."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next((part for part in get_args(hint) if part is not type(None)), None)
    arguments = get_args(hint)
    return (get_origin(arguments[1]) or arguments[1]) if len(arguments) == 2 else None
