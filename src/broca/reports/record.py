"""A run directory as it was left on disk, read once through its door and checked: what every section of the report draws from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from broca.errors import RunError, SiteUnavailable
from broca.runs.manifest import SCHEMA
from broca.runs.opened import SPEC, Run, opened
from broca.runs.store import RESULT, TABLES, TENSORS
from broca.sites import Site

V = TypeVar("V")

_TEXT, _REAL, _WHOLE, _FLAG = pl.String, pl.Float64, pl.Int64, pl.Boolean

_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "layers": {"layer": _WHOLE, "kind": _TEXT}
    | dict.fromkeys(("n_units", "n_alive", "n_significant", "n_selected"), _WHOLE)
    | dict.fromkeys(("expected", "mean_abs_t", "max_abs_t"), _REAL),
    "doses": dict.fromkeys(("ability", "condition", "localizer", "side", "fill"), _TEXT)
    | {"dose": _REAL, "k": _WHOLE, "seed": _WHOLE, "accuracy": _REAL, "n": _WHOLE},
    "matrix": {"localizer": _TEXT, "ability": _TEXT, "own": _FLAG, "n": _WHOLE}
    | dict.fromkeys(("intact", "lesion", "effect", "low", "high", "p"), _REAL)
    | dict.fromkeys(("p_holm", "random_median", "random_low", "random_high", "p_random"), _REAL),
    "twins": {"kind": _TEXT, "d_held_out": _REAL},
    "baselines": {"ability": _TEXT, "baseline": _TEXT, "accuracy": _REAL},
    "flipped": dict.fromkeys(("id", "ability", "prompt", "answer", "intact", "lesion", "change"), _TEXT),
}
"""The columns that the page shows. The tables of single items are not read: they can be large."""

_PROBE: Mapping[str, Mapping[str, Any]] = {
    "scores": dict.fromkeys(("target", "symbol", "undefined"), _TEXT)
    | {"n": _WHOLE, "classes": pl.List(_REAL), "f1_random_all": pl.List(_REAL), "score_random_all": pl.List(_REAL)}
    | dict.fromkeys(
        ("f1", "f1_low", "f1_high", "score", "score_low", "score_high", "f1_random", "p", "p_learned"), _REAL
    )
    | dict.fromkeys(("margin", "f1_rows", "score_rows", "f1_published", "score_published"), _REAL),
    "controls": {"target": _TEXT, "control": _TEXT, "f1": _REAL, "f1_random": _REAL, "score": _REAL},
    "probe_baselines": {"target": _TEXT, "baseline": _TEXT}
    | dict.fromkeys(("f1", "f1_with", "gain", "gain_low", "gain_high"), _REAL),
    "layer_scores": {"way": _TEXT, "layer": _WHOLE, "target": _TEXT}
    | dict.fromkeys(("f1", "f1_random", "random_low", "random_high", "score", "q"), _REAL),
    "head_scores": {"layer": _WHOLE, "head": _WHOLE, "target": _TEXT, "f1": _REAL, "score": _REAL, "q": _REAL},
    "heads": {"layer": _WHOLE, "head": _WHOLE} | dict.fromkeys(("entropy_place", "entropy_size", "preference"), _REAL),
    "attention": {"by": _TEXT, "label": _WHOLE, "layer": _WHOLE, "attention": _REAL},
    "pruning": dict.fromkeys(("condition", "order", "mode", "fill"), _TEXT)
    | {"level": _REAL, "k": _WHOLE, "seed": _WHOLE, "accuracy": _REAL},
    "areas": {"order": _TEXT, "mode": _TEXT}
    | dict.fromkeys(("area", "beyond", "random_low", "random_high", "p"), _REAL),
    "edges": {"hidden": _TEXT, "n": _WHOLE}
    | dict.fromkeys(("accuracy", "effect", "low", "high", "p", "margin", "margin_low", "margin_high"), _REAL),
    "corruptions": {"corruption": _TEXT, "n": _WHOLE}
    | dict.fromkeys(("intact", "corrupted", "change", "low", "high", "p"), _REAL),
    "links": {"link": _TEXT, "n": _WHOLE, "undefined": _TEXT} | dict.fromkeys(("slope", "low", "high", "p"), _REAL),
    "drawn": dict.fromkeys(("id", "question", "answer", "said"), _TEXT)
    | dict.fromkeys(("tree", "statement", "height", "found_step"), _WHOLE)
    | dict.fromkeys(("correct", "last", "found_useful"), _FLAG)
    | {"targets": pl.List(_WHOLE), "layers": pl.List(_WHOLE), "attention": pl.List(_REAL)},
}
"""The same for the tables of a probe."""

_MASKS: Mapping[str, Mapping[str, Any]] = {
    "sweep": {"m": _REAL}
    | dict.fromkeys(("nominal", "task", "shared", "realised", "rows", "columns", "smallest_k"), _WHOLE)
    | dict.fromkeys(("shared_by_chance", "dev_accuracy", "perplexity", "perplexity_ratio"), _REAL),
    "modules": {"matrix": _TEXT, "kind": _TEXT}
    | dict.fromkeys(("layer", "n_weights", "n_selected", "n_rows", "n_columns", "n_task", "lines"), _WHOLE)
    | dict.fromkeys(("mean_abs", "mean_abs_masked"), _REAL),
    "nulls": {"family": _TEXT, "draws": _WHOLE}
    | dict.fromkeys(("mean_k", "effect", "median", "low", "high", "p"), _REAL),
    "frequencies": {"kind": _TEXT}
    | dict.fromkeys(("layer", "frequency", "masked"), _WHOLE)
    | dict.fromkeys(("angle", "norm"), _REAL),
    "geometry": {"layer": _WHOLE, "state": _TEXT}
    | dict.fromkeys(("norm_q", "norm_first", "norm_others", "cosine_first", "cosine_others"), _REAL),
    "sinks": {"layer": _WHOLE} | dict.fromkeys(("clean", "masked", "displaced", "dethroned"), _REAL),
    "perplexity": {"condition": _TEXT, "dose": _REAL, "perplexity": _REAL},
    "cells": dict.fromkeys(("condition", "localizer", "side", "fill", "task", "kind"), _TEXT)
    | {"dose": _REAL, "seed": _WHOLE, "n": _WHOLE}
    | dict.fromkeys(("accuracy", "reality_reporter", "always_yes"), _REAL),
}
"""The same for the tables of a sensitivity study."""

_PERTURB: Mapping[str, Mapping[str, Any]] = {
    "kinds": {"kind": _TEXT}
    | dict.fromkeys(("n", "broken", "mended", "controls"), _WHOLE)
    | dict.fromkeys(
        ("clean", "perturbed", "drop", "drop_low", "drop_high", "p_holm", "drop_rate", "same_answer"), _REAL
    )
    | dict.fromkeys(("unparsed", "control", "over_control", "over_control_low", "over_control_high"), _REAL),
    "recovery": dict.fromkeys(("direction", "donor", "kind", "at"), _TEXT)
    | {"layer": _WHOLE, "n": _WHOLE}
    | dict.fromkeys(("share", "low", "high"), _REAL),
    "recovery_kinds": {"perturbation": _TEXT, "layer": _WHOLE, "at": _TEXT, "n": _WHOLE, "share": _REAL},
    "units": {"layer": _WHOLE, "unit": _WHOLE, "share": _REAL, "chosen": _FLAG},
    "patterns": {"layer": _WHOLE, "head": _WHOLE, "share": _REAL},
    "compared_points": {"kind": _TEXT, "class": _TEXT, "layer": _WHOLE, "relative_distance": _REAL},
    "probes": {"kind": _TEXT, "site": _TEXT, "point": _TEXT, "split": _TEXT, "best": _TEXT}
    | dict.fromkeys(("pairs", "groups"), _WHOLE)
    | dict.fromkeys(("accuracy", "token", "text", "count", "gain", "gain_low", "gain_high", "p"), _REAL),
    "examples": dict.fromkeys(("id", "kind", "side", "text", "class", "right", "wrong"), _TEXT)
    | {"place": _WHOLE, "matched": _FLAG, "lost": _REAL},
}
"""The same for the tables of a study of perturbations."""

_OPTIONAL = {"doses": {"localizer": pl.lit("")}, "matrix": {"p_holm": pl.lit(None)}}
"""Columns that a table may leave out, and what stands for them."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a run directory holds, as plain values."""

    path: Path
    manifest: Mapping[str, Any]
    study: Mapping[str, Any]
    """The [study] of spec.toml."""
    model: Mapping[str, Any]
    """The [model] of spec.toml."""
    result: Mapping[str, Any]
    tables: Mapping[str, pl.DataFrame]
    """Those of the tables the page shows that exist and have a row."""
    arrays: Mapping[str, Mapping[Site, np.ndarray]]
    """By field, such as "t", then by site, in layer order."""
    doubts: Mapping[str, str]
    """The files that do not match their checksum, or are missing, and what is wrong with them."""

    @property
    def kind(self) -> str:
        """Which study it was: "localize", "causal"."""
        return str(self.study.get("kind", ""))

    @property
    def model_name(self) -> str:
        """As the model was loaded, or "MODEL" where the run does not say."""
        stored = self.manifest.get("model")
        named = stored if isinstance(stored, Mapping) else {"name": stored}
        return str(self.model.get("name") or named.get("name") or named.get("id") or "MODEL")

    @property
    def loading(self) -> dict[str, str]:
        """How the model was loaded, as options: its revision and dtype, where they are known."""
        named = {"revision": self.model.get("revision"), "dtype": self.model.get("dtype")}
        return {name: str(value) for name, value in named.items() if value}

    @property
    def place(self) -> tuple[str, str]:
        """Where the run is, as a command has it, and in which folder that is so."""
        place = str(self.manifest.get("place") or "")
        if Path(place).name == self.path.name:
            return place, "In the folder in which the run was started"
        return self.path.name, "In the folder that holds this run"

    def part(self, name: str) -> dict[str, Any]:
        """A mapping of result.json; empty where there is none."""
        value = self.result.get(name)
        return dict(value) if isinstance(value, Mapping) else {}

    def entries(self, name: str) -> list[Any]:
        """A list of result.json; empty where there is none."""
        value = self.result.get(name)
        return list(value) if isinstance(value, list) else []


def read_record(path: Path, *, trust: bool = True) -> Record:
    """Read a run directory, also what does not match its checksum: `Record.doubts` says what that is.

    Args:
        path: the directory.
        trust: whether to take results and settings that do not match their checksum; when False they are left out. Tables and
            arrays that do not match theirs are left out in any case.

    Raises:
        RunError: if `path` is no finished run, or one of its files is not of the shape a run has; the message names the file
            and says what to do.
    """
    run = opened(path, unverified=True)
    doubts = run.doubts
    manifest = run.manifest if trust or not doubts else {"schema": SCHEMA, "files": run.manifest["files"]}
    result = _asked(run, RESULT, lambda: run.result, {}, trust=trust)
    spec = _asked(run, SPEC, lambda: run.spec, {"study": {"kind": manifest.get("kind", "")}, "model": {}}, trust=trust)
    columns = {"probe": _PROBE, "perturb": _PERTURB, "sensitivity": {**_COLUMNS, **_MASKS}}.get(
        str(spec["study"].get("kind", "")), _COLUMNS
    )
    found = {name: _table(run, name, columns[name]) for name in columns if name in run.tables}
    tables = {name: table for name, table in found.items() if table is not None}
    arrays = _asked(run, TENSORS, lambda: _arrays(run.tensors, path / TENSORS), {}, trust=False)
    return Record(path, manifest, spec["study"], spec["model"], result, tables, arrays, doubts)


def _asked(run: Run, name: str, read: Callable[[], V], otherwise: V, *, trust: bool) -> V:
    """What a file holds; something else where it is doubted, and not to be trusted or not to be read."""
    if name not in run.manifest["files"] and not (run.path / name).exists():
        return otherwise
    try:
        run.file(name)
        found = read() if trust or name not in run.doubts else otherwise
    except RunError as error:
        if name not in run.doubts and (run.path / name).is_file() and not (run.path / name).is_symlink():
            raise
        run.doubts.setdefault(name, str(error))
        return otherwise
    return found


def _table(run: Run, name: str, wanted: Mapping[str, Any]) -> pl.DataFrame | None:
    relative = f"{TABLES}/{name}.parquet"
    file = run.path / relative
    empty = pl.DataFrame()
    table = _asked(run, relative, lambda: run.tables[name], empty, trust=False)
    if table is empty:
        return None
    table = table.with_columns(**{n: v for n, v in _OPTIONAL.get(name, {}).items() if n not in table.columns})
    if missing := [column for column in wanted if column not in table.columns]:
        raise RunError(f"{file} has no column {', '.join(missing)}; it has {', '.join(table.columns)}. {_AGAIN}")
    try:
        table = table.select(pl.col(column).cast(kind) for column, kind in wanted.items())
    except pl.exceptions.PolarsError as error:
        raise RunError(f"{file} has a column of another type than {name} has: {error}. {_AGAIN}") from error
    reals = pl.selectors.float()
    table = table.with_columns(reals.fill_nan(None), pl.selectors.boolean().fill_null(value=False))
    return table if table.height else None


def _arrays(stored: Mapping[str, np.ndarray], path: Path) -> dict[str, dict[Site, np.ndarray]]:
    fields: dict[str, dict[Site, np.ndarray]] = {}
    for key, array in stored.items():
        name, _, place = key.partition("/")
        try:
            fields.setdefault(name, {})[Site.parse(place)] = np.ravel(array)
        except SiteUnavailable:
            continue  # a tensor that is kept by another key than a site is not drawn
    for name, at in fields.items():
        for site, array in at.items():
            if name in _LIKE_T and len(array) != len(fields.get("t", {}).get(site, array)):
                raise RunError(f"{path}: {name}/{site} has {len(array)} entries and t/{site} another number. {_AGAIN}")
    return {name: dict(sorted(at.items())) for name, at in fields.items()}


_LIKE_T = ("p", "q", "d", "selected")
"""Fields that have one entry for each entry of t."""

_AGAIN = "The file is damaged or from another version: run the spec again under another path."
