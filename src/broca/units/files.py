"""Masks outside of memory: safetensors files, and fields of pydantic models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel

from broca.errors import BrocaError, SelectionError
from broca.sites import Site
from broca.units.own_files import check_fingerprint, read_own, write_own

FORMAT = "broca-unitmask"
VERSION = 1


class Mask(Protocol):
    """What is written, and has been read: a `broca.units.mask.UnitMask`."""

    @property
    def at(self) -> Mapping[Site, np.ndarray]: ...

    @property
    def grain(self) -> Any: ...

    @property
    def fingerprint(self) -> str: ...


M = TypeVar("M", bound=Mask)


def save(mask: Mask, path: Path) -> Path:
    """Write one uint8 tensor per site under a temporary name, then rename."""
    flags = {str(site): on.astype(np.uint8) for site, on in mask.at.items()}
    return write_own(path, FORMAT, VERSION, flags, {"grain": mask.grain, "fingerprint": mask.fingerprint})


def load(make: Callable[[Mapping[Site, np.ndarray], Any], M], path: Path) -> M:
    """Read a mask, made of its flags and its grain, and check it against its own fingerprint.

    Raises:
        SelectionError: if the file is missing, damaged, or something else.
    """
    said, tensors = read_own(path, FORMAT, VERSION, _About, noun="mask", writer="UnitMask.save")
    try:
        mask = make({Site.parse(name): flags.astype(np.bool_) for name, flags in tensors.items()}, said.grain)
    except BrocaError as error:
        raise SelectionError(f"{path} is damaged: {error}") from error
    check_fingerprint(path, mask.fingerprint, said.fingerprint)
    return mask


class _About(BaseModel):
    """What a file says of its mask."""

    grain: Any
    fingerprint: str


def field_schema(kind: type[Any], from_text: Callable[[str], Any]) -> Any:
    """How pydantic reads and writes a mask: as `to_json` of its class has it, or as it is typed.

    Args:
        kind: the class.
        from_text: makes one of what is typed.
    """
    from pydantic_core import core_schema

    def validate_mask(value: object) -> Any:
        if isinstance(value, kind):
            return value
        try:
            return from_text(value) if isinstance(value, str) else kind.from_json(value)
        except BrocaError as error:
            # pydantic collects ValueErrors, says where they are, and goes on to the other members of a union
            raise ValueError(str(error)) from error

    plain = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
    return core_schema.no_info_plain_validator_function(
        validate_mask,
        json_schema_input_schema=plain,
        serialization=core_schema.plain_serializer_function_ser_schema(kind.to_json, return_schema=plain),
    )
