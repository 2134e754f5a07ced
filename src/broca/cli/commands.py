"""Commands that are printed for a reader to type next: whole, quoted, and with what this call was told."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from broca.cli.options import RUNS, Loading, Working, flag, given

YOURS = "YOUR_ITEMS.csv"
"""Stands for the reader's own items where this call has none."""


@dataclass(frozen=True)
class Setting:
    """The model of a call, how it is loaded, who does the work, and where it goes."""

    model: str
    loading: Loading = field(default_factory=Loading)
    working: Working = field(default_factory=Working)
    out: Path = RUNS

    def kept(self, *, working: bool = True, out: bool = True) -> dict[str, Any]:
        """The options that the next call keeps: those that say something else than what is usual."""
        groups = (self.loading, self.working) if working else (self.loading,)
        own = {
            each.name: value
            for group in groups
            for each in fields(group)
            if (value := getattr(group, each.name)) != each.default
        }
        return own | ({"out": self.out} if out and self.out != RUNS else {})


def command(name: str, *positional: object, options: Mapping[str, object]) -> str:
    """``broca NAME POSITIONAL --option value ...``, quoted for a shell; options that are None or empty are left out."""
    words = ["broca", *name.split(), *map(str, positional)]
    for option, value in options.items():
        words += _words(flag(option), value)
    return shlex.join(words)


def values(*groups: Any, **further: Any) -> dict[str, Any]:
    """What was given of some groups of options, and of further ones, by name."""
    every = {name: value for group in groups for name, value in asdict(group).items()} | further
    return given(**every)


def _words(option: str, value: object) -> list[str]:
    match value:
        case None:
            return []
        case bool():
            return [option if value else option.replace("--", "--no-", 1)]
        case dict():
            texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in value.items()}
            return [word for name, each in texts.items() for word in _words(f"{option}.{name}", each)]
        case list() | tuple():
            several = [str(each) for each in value]
            if not any(each.startswith("-") for each in several):
                return [option, *several] if several else []
            return [f"{option}={each}" for each in several]
        case _:
            text = str(value)
            return [f"{option}={text}"] if text.startswith("-") or not text else [option, text]
