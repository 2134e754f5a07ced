"""Many runs at once: which there are, and their rows in one tidy table."""

from __future__ import annotations

import contextlib
import glob
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from broca.errors import RunError
from broca.runs.index import file_stamps, read_index, write_index
from broca.runs.journal import seconds
from broca.runs.opening import check_sizes, open_run, partial_of, version_note
from broca.runs.reading import LOG, MANIFEST, SPEC, Run
from broca.runs.spec import parse_spec
from broca.runs.store import RESULT, parse_json
from broca.storage import is_locked

_log = logging.getLogger(__name__)

_COLUMNS = {
    "name": pl.String,
    "kind": pl.String,
    "status": pl.String,
    "model": pl.String,
    "contrast": pl.String,
    "verdict": pl.String,
    "why": pl.String,
    "created": pl.String,
    "seconds": pl.Float64,
    "path": pl.String,
}


def list_runs(folder: str | Path = "runs") -> pl.DataFrame:
    """The runs in a folder, oldest first: name, kind, status, model, contrast, verdict, why, created, seconds, path.

    Status is "finished", "partial" (stopped before its end: the same call resumes it) or "broken"; `why` says why one is not
    finished, or that another version made it. Of a finished run the files that say this are held against their checksums, and the
    others against their sizes; `broca verify` reads them all. What is said is kept in an index file in the folder; a run whose
    files are otherwise than they were is looked at again.

    Raises:
        RunError: if the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(
            f"{folder} is not a folder. Give the folder that runs were written to (out=, by default 'runs')."
        )
    known, kept, rows = read_index(folder), {}, []
    for place in sorted(folder.iterdir()):
        name = place.name
        if (before := known.get(name)) and file_stamps(place, before["seen"]) == before["seen"]:
            kept[name] = before
            rows.append(before["row"] | {"path": str(place)})
        elif (place / MANIFEST).is_file():
            row, written = _row(place)
            rows.append(row)
            if row["status"] == "finished" and (files := file_stamps(place, written)):
                kept[name] = {"row": {key: value for key, value in row.items() if key != "path"}, "seen": files}
    if kept != known:
        write_index(folder, kept)
    return pl.DataFrame(rows, schema=_COLUMNS).sort("created", "name", nulls_last=True)


def open_runs(where: str | Path, *, table: str | None = None) -> pl.DataFrame:
    """One tidy table of many runs: the rows of a table, with columns run, model and contrast before them.

    Args:
        where: a folder of runs, a run, or a glob such as ``"runs/belief-*"``. Unfinished and broken runs are left out,
            and the log says so.
        table: which table; when None "items" (one row per item and condition) where any run has it, else "layers".

    Raises:
        RunError: if no finished run is there, or none has the table.
    """
    runs = list(_finished_runs(where))
    if not runs:
        raise RunError(f"No finished run at {where}. Give a folder of runs, a run, or a glob such as 'runs/belief-*'.")
    name = table or ("items" if any("items" in run.tables for run in runs) else "layers")
    having = [run for run in runs if name in run.tables]
    if not having:
        known = sorted({each for run in runs for each in run.tables})
        raise RunError(f"None of {len(runs)} runs at {where} has a table {name!r}. They have: {', '.join(known)}.")
    for run in runs:
        if run not in having:
            _log.warning("%s has no table %r and is left out", run.path, name)
    return pl.concat([_label_rows(run, name) for run in having], how="diagonal_relaxed")


def _finished_runs(where: str | Path) -> Iterator[Run]:
    place = Path(where)
    if (place / MANIFEST).is_file():
        places = [place]
    elif place.is_dir():
        places = sorted(place.iterdir())
    else:
        places = [Path(match) for match in sorted(glob.glob(str(where)))]  # noqa: PTH207 - the pattern may be absolute
    for each in places:
        if each.name.startswith(".") and (each / MANIFEST).is_file():
            _log.warning("left out: %s is not finished", each)
        elif (each / MANIFEST).is_file():
            try:
                yield open_run(each)
            except RunError as error:
                _log.warning("left out: %s", error)


def _label_rows(run: Run, table: str) -> pl.DataFrame:
    labels = {
        "run": run.path.name,
        "model": run.manifest["model"]["name"],
        "contrast": _contrast(run.result) or _contrast(run.spec["study"]),
    }
    frame = run.tables[table]
    columns = [pl.lit(value, dtype=pl.String).alias(name) for name, value in labels.items()]
    return frame.select(*columns, pl.all().exclude(*labels))


def _row(place: Path) -> tuple[dict[str, Any], list[str]]:
    """What is said of a run, and the files that this rests on."""
    run, row = Run(place), dict.fromkeys(_COLUMNS) | {"name": _name(place), "path": str(place), "status": "broken"}
    try:
        row |= {"kind": run.manifest["kind"], "model": run.manifest["model"]["name"]}
        return row | _state(run), [MANIFEST, *run.manifest["files"]]
    except RunError as error:
        row["why"] = str(error)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        row["why"] = (
            f"{place / MANIFEST} is not that of a run ({error!r}). Delete the directory and run its spec again."
        )
    with contextlib.suppress(RunError):
        row["contrast"] = _spec_contrast(run)
    return row, []


def _state(run: Run) -> dict[str, Any]:
    """Of the files of a finished run only what it says is read and held against its checksum, of the others the size."""
    place, manifest = run.path, run.manifest
    if place.name.startswith(".") and place == partial_of(place.with_name(_name(place))):
        contrast, events = _spec_contrast(run), run.log if (place / LOG).exists() else []
        return {
            "status": "partial",
            "contrast": contrast,
            "created": events[0]["time"] if events else None,
            "seconds": seconds(events),
            "why": _stop(place, events),
        }
    check_sizes(run)
    run.file(SPEC)
    result = parse_json(run.file(RESULT), place / RESULT)  # names of old fields make no difference here
    return {
        "status": "finished",
        "contrast": _contrast(result) or _spec_contrast(run),
        "verdict": (result.get("verdict") or {}).get("sentence"),
        "created": manifest["created"],
        "seconds": manifest["seconds"],
        "why": version_note(place, manifest) or None,
    }


_AGAIN = "The same call resumes it."
_REFUSALS = (
    "GuardError",
    "SelectionError",
    "StatisticsError",
    "StimulusError",
    "SiteUnavailable",
    "UnknownName",
    "SpecError",
)


def _stop(place: Path, events: list[dict[str, Any]]) -> str:
    """Why a run has not ended, as its log has it."""
    done = sum(event.get("state") == "computed" for event in events)
    last = next((event for event in reversed(events) if event["event"] != "warning"), None)
    if is_locked(place.with_name(f".{_name(place)}.lock")):
        return f"At work now, {done} parts done."
    if last is None or last["event"] != "stopped":
        return f"Its process was killed after {done} parts. {_AGAIN}"
    if last.get("error") == "KeyboardInterrupt":
        return f"Stopped by Ctrl-C after {done} parts. {_AGAIN}"
    # What a study itself refuses, it refuses again; its text says what to do.
    again = "" if last.get("error") in _REFUSALS else f" {_AGAIN}"
    return f"Stopped after {done} parts by {last.get('error')}: {last.get('text')}{again}"


def _name(place: Path) -> str:
    return place.name.removeprefix(".").removesuffix(".partial") if place.name.startswith(".") else place.name


def _spec_contrast(run: Run) -> str | None:
    return _contrast(parse_spec(run.file(SPEC), run.path / SPEC)["study"])


def _contrast(told: Mapping[str, Any]) -> str | None:
    """The name of the contrast of a result or a study."""
    contrast = told.get("contrast")
    name = contrast.get("name") if isinstance(contrast, dict) else contrast
    return name if isinstance(name, str) else None
