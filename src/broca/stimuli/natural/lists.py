"""The word lists of the abilities in natural language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, NamedTuple


class Country(NamedTuple):
    """A country, and what is known of it; "-" where there is not one word that is right."""

    name: str
    capital: str
    language: str
    currency: str
    continent: str


@cache
def countries() -> tuple[Country, ...]:
    """All countries, well-known ones first."""
    lines = (line for line in _read("countries.txt").splitlines() if not line.startswith("#"))
    return tuple(Country(*(part.strip() for part in line.split("|"))) for line in lines)


@cache
def lists() -> dict[str, Any]:
    """The tables of ``natural.toml``."""
    return tomllib.loads(_read("natural.toml"))


def rows(name: str) -> list[list[str]]:
    """The words of each line of a list."""
    return [line.split() for line in lists()[name].strip().splitlines()]


def _read(name: str) -> str:
    return resources.files("broca.stimuli").joinpath("data", name).read_text(encoding="utf-8")
