"""What a run left on disk, as plain values: what an instrument's blocks are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broca.page.words import grain_word
from broca.sites import Site


@dataclass(frozen=True, slots=True)
class Record:
    """What a run directory holds."""

    path: Path
    manifest: Mapping[str, Any]
    study: Mapping[str, Any]
    """The [study] of spec.toml."""
    model: Mapping[str, Any]
    """The [model] of spec.toml."""
    result: Mapping[str, Any]
    tables: Mapping[str, pl.DataFrame]
    """Those that exist and have a row, each as its schema says; read when they are asked for."""
    arrays: Mapping[str, Mapping[Site, np.ndarray]]
    """By field, such as "t", then by site, in layer order."""
    doubts: Mapping[str, str]
    """The files that do not match their checksum, or are missing, and what is wrong with them."""

    @property
    def instrument(self) -> str:
        """What the run was done with, by name."""
        return str(self.study.get("kind", ""))

    @property
    def model_name(self) -> str:
        """As the model was loaded, or "MODEL" where the run does not say."""
        stored = self.manifest.get("model")
        named = stored if isinstance(stored, Mapping) else {"name": stored}
        return str(self.model.get("name") or named.get("name") or named.get("id") or "MODEL")

    @property
    def loading(self) -> dict[str, Any]:
        """How the model was loaded, as options: its revision, dtype, GGUF file and dictionaries, where they are known."""
        named = {name: self.model.get(name) for name in ("revision", "dtype", "gguf", "features")}
        return {name: value if isinstance(value, list) else str(value) for name, value in named.items() if value}

    @property
    def place(self) -> tuple[str, str]:
        """Where the run is, as a command has it, and in which folder that is so."""
        place = str(self.manifest.get("place") or "")
        if Path(place).name == self.path.name:
            return place, "In the folder in which the run was started"
        return self.path.name, "In the folder that holds this run"

    @property
    def grain(self) -> str:
        """What was selected, one of them in words: a unit where the run does not say otherwise."""
        return grain_word(self.part("selection").get("grain"))

    def part(self, name: str) -> dict[str, Any]:
        """A mapping of result.json; empty where there is none."""
        value = self.result.get(name)
        return dict(value) if isinstance(value, Mapping) else {}

    def entries(self, name: str) -> list[Any]:
        """A list of result.json; empty where there is none."""
        value = self.result.get(name)
        return list(value) if isinstance(value, list) else []

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table; none where there is no such table."""
        table = self.tables.get(name)
        return [] if table is None else table.to_dicts()
