"""Calling a reader or generator with options that a person wrote: names and types are checked, never coerced.

A command line has texts alone: `parse_option` reads them as what the reader asks for. Several sources may share one set of options:
`deal` gives each of them those that it takes.
"""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError, validate_call

from broca.errors import StimulusError
from broca.registry import unknown
from broca.specs.faults import dotted_path, join_names, sentences

Count = Annotated[int, Field(ge=1, le=100_000)]
"""How many are made: an option of generators."""
Seed = Annotated[int, Field(ge=0)]
Wording = Literal[1, 2]
"""Of two: the same items in other words."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def call(what: str, function: Callable[..., Any], *args: object, options: Mapping[str, object]) -> Any:
    """The value of `function(*args, **options)`.

    Args:
        what: The name that the user gave, for messages.
        function: Takes its options as keyword-only arguments with annotated types.
        args: Positional arguments of ours; they are not options.
        options: What the user asked for.

    Raises:
        UnknownName: An option that the function does not have.
        StimulusError: An option of the wrong type or out of its range.
    """
    known = option_names(function)
    for name in options:
        if name not in known:
            if not known:
                raise StimulusError(f"{what} takes no options, and {name!r} was given. Remove it.")
            raise unknown(f"{what[0].upper()}{what[1:]}: option", str(name), known)
    seed = options.get("seed")
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise StimulusError(f"Option 'seed' of {what} is {seed}. Give a whole number from 0 to {2**32 - 1}.")
    checked = validate_call(config=ConfigDict(strict=True, arbitrary_types_allowed=True))(function)
    try:
        return checked(*args, **options)
    except ValidationError as error:
        told = sentences(error, name=lambda path: f"option {dotted_path(path)!r} of {what}")
        raise StimulusError(f"{told[:1].upper()}{told[1:]}") from error


def typed_options(texts: Mapping[str, str] | None, *types: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a command line has them, read as the types that some source asks for.

    Args:
        texts: what was given, by name.
        types: the options of each source that they may be for, by name.
    """
    every = {name: hint for own in reversed(types) for name, hint in own.items()}
    return {name: parse_option(text, every.get(name, Any)) for name, text in (texts or {}).items()}


def option_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a reader's or generator's options: its keyword-only arguments."""
    return tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY)


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a reader's or generator's options, by name."""
    own = get_type_hints(function, include_extras=True)
    return {name: own.get(name, Any) for name in option_names(function)}


def deal(
    options: Mapping[str, object], takes: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[dict[str, object], ...]:
    """One set of options dealt to several sources: to each those that it takes.

    Args:
        options: what was asked for.
        takes: name of each source, and its options by name.

    Raises:
        UnknownName: an option that none of several takes; where there is one source, that complains itself.
    """
    known = tuple(dict.fromkeys(name for _, own in takes for name in own))
    for name in options:
        if name not in known and len(takes) > 1:
            raise unknown(f"Option of {join_names([repr(source) for source, _ in takes])}", name, known)
    return tuple({name: value for name, value in options.items() if name in own or len(takes) == 1} for _, own in takes)


def parse_option(text: str, hint: Any) -> Any:
    """What a text means where an option of this type is asked for: a number, a truth value, a list, or the text itself.

    What fits no reading is given as it would be read by itself, so that the complaint is about that.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        value = text
    for reading in (value, tuple(value) if isinstance(value, list) else value, text):
        try:
            return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
                reading, strict=True
            )
        except (ValidationError, PydanticUserError):
            continue
    return value


def looks_like_path(name: str | Path, *, suffixes: tuple[str, ...]) -> bool:
    """Whether `name` means a file or folder rather than an entry of a registry."""
    if isinstance(name, Path):
        return True
    return name.lower().endswith(suffixes) or name.startswith((".", os.sep, "~")) or os.path.exists(name)  # noqa: PTH110 - unlike Path.exists, never raises on an overlong name


def expand_home(path: str | Path) -> Path:
    """A path with ``~`` replaced by the home folder where there is one of that name."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):  # no such user, or no name at all: the reader says that there is no such file
        return Path(path)


def is_file(path: Path) -> bool:
    """Whether there is a file at `path`; False, and no error, for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - unlike Path.is_file, never raises on an overlong name


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; False, and no error, for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112 - unlike Path.is_dir, never raises on an overlong name
