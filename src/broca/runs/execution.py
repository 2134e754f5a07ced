"""A study, executed into a directory: killed at any moment, it resumes at the cell and ends with the same bytes."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broca import __version__
from broca.cache.cache import Progress, silent
from broca.cache.mapping import with_pool
from broca.errors import BrocaError, RunError
from broca.instruments.parts import tables_of
from broca.runs import provenance, store
from broca.runs.cells import Cells
from broca.runs.differences import environment_changes, other_run_error
from broca.runs.formats import json_to_bytes
from broca.runs.journal import OPENING, Journal, listening, now, seconds
from broca.runs.manifest import seal
from broca.runs.opening import open_run, open_silently, partial_of
from broca.runs.others import other_runs
from broca.runs.reading import LOG, MANIFEST, SPEC, Run
from broca.runs.spec import Identity, Study, parse_spec, spec_toml
from broca.specs.spec import Spec
from broca.storage import digest, hold_lock, read, refuse_links, settle, sweep, write, writing
from broca.workers import Engine, Local
from broca.workers.threads import limit_threads
from broca.workers.worker import Source

_log = logging.getLogger(__name__)

CELLS = "cells"

_IDLE = "Of %d workers %d were started: this %s had no more parts left that can be computed apart from each other."


def run(
    study: Study,
    lm: Any,
    path: str | Path | None = None,
    *,
    out: str | Path = "runs",
    resume: bool = True,
    progress: Progress = silent,
    engine: Engine = Local(),  # noqa: B008 - a frozen value
) -> Run:
    """Execute `study` on `lm` into a directory, or reopen the finished run of the same study, model and data.

    The work is done in a hidden sibling of the directory and renamed when whole. Ctrl-C, a crash or a kill leave that
    sibling: the same call takes up where it stopped.

    Args:
        study: what to do.
        lm: on which model, with the interventions that are in force.
        path: the run's directory; ``<out>/<name or kind>-<first 6 hex digits of its hash>`` when None.
        out: the folder of runs.
        resume: False discards an unfinished run at this path and begins anew. A finished run is never overwritten.
        progress: told what is being done.
        engine: where it is done. It is no part of the run's identity: with the same number of threads, the same bytes.

    Raises:
        EngineError: if the engine's workers cannot be reached, or keep dying.
        RunError: if the directory belongs to another spec, model or data, or is no run; if another process works on
            it; if the disk refuses.
    """
    study = getattr(study, "fit_to", lambda _: study)(lm)
    spec, identity = spec_toml(study, lm).encode(), Identity.of(study, lm)
    name = f"{_slug(getattr(study, 'name', None) or study.kind)}-{identity.hash[:6]}"
    final = Path(out) / name if path is None else Path(path).expanduser()
    if final.name in ("", ".."):
        raise RunError(f"{str(path)!r} names no directory to make. Give one, such as 'runs/{name}'.")
    lock = final.with_name(f".{final.name}.lock")
    if (finished := _find_finished(final, identity, resume=resume)) is not None:
        _tidy(final, lock)
        return finished
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(lock), limit_threads(engine.threads_each):
        if (finished := _find_finished(final, identity, resume=resume)) is not None:
            return finished
        partial = partial_of(final)
        found = _prepare(partial, identity, final, resume=resume)
        asked = _Request(provenance.opening(study, lm, identity, final), spec)
        if not _is_whole(found, asked.spec):
            try:
                asked.notes.extend(_begin(partial, found, asked))
                _work(partial, study, lm, progress, engine, asked)
            except BrocaError:
                # Refused before anything was computed: there is nothing to resume.
                if not any((partial / CELLS).glob("*")):
                    shutil.rmtree(partial, ignore_errors=True)
                raise
        _publish(partial, final)
    return open_run(final)


def _find_finished(final: Path, identity: Identity, *, resume: bool) -> Run | None:
    """The finished run at `final`; None if there is nothing.

    Raises:
        RunError: if something else is.
    """
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return None
    if not (final / MANIFEST).exists():
        raise RunError(f"{final} exists and is not a run. Choose another path; nothing in it was touched.")
    found = open_silently(final)
    if found.manifest["hash"] != identity.hash:
        raise other_run_error(found, final, identity)
    if not resume:
        raise RunError(f"{final} is finished, and not overwritten. Delete it, or choose another path.")
    _log.info("%s is finished: reopened, nothing was computed", final)
    return open_run(final)


def _tidy(final: Path, lock: Path) -> None:
    """Take away what somebody left who was killed just after a run got its name, where one may."""
    with contextlib.suppress(RunError):
        for folder in (final, final / store.TABLES):
            sweep(folder)
        if lock.exists():
            with hold_lock(lock):
                pass


@dataclass(frozen=True, slots=True)
class _Request:
    """What a run is, from what was asked and never from what is found."""

    begun: dict[str, Any]
    """Its manifest as it begins."""
    spec: bytes
    notes: list[str] = field(default_factory=list)
    """What is to be said about what was found."""


def _prepare(partial: Path, identity: Identity, final: Path, *, resume: bool) -> Run | None:
    """What an unfinished run has left at `partial`; None, and an empty folder there, if there is none to go on with.

    Raises:
        RunError: if it belongs to another spec, or holds a link.
    """
    if partial.exists() or partial.is_symlink():
        refuse_links(partial)
        sweep(partial, alone=True)
    if partial.exists() and resume:
        found = Run(partial)
        try:
            there = found.manifest["hash"]
        except (RunError, KeyError) as error:
            # Killed before it could say whose it is, or damaged: nothing in it can be trusted.
            if any((partial / CELLS).glob("*")):
                _log.warning("An unfinished run is begun anew, since it cannot say whose it is: %s", error)
        else:
            if there != identity.hash:
                raise other_run_error(found, final, identity)
            return found
    with writing(partial):
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
    return None


def _is_whole(found: Run | None, spec: bytes) -> bool:
    """Whether what was left is a finished run but for its name, of this very spec, and undamaged."""
    if found is None or found.manifest["status"] != "finished":
        return False
    with contextlib.suppress(RunError):
        return {name: found.file(name) for name in found.manifest["files"]}.get(SPEC) == spec
    return False


def _begin(partial: Path, found: Run | None, asked: _Request) -> list[str]:
    """Write spec and manifest from what is asked, whatever is there; gives what is to be said about what was."""
    notes = []
    if found is not None:
        notes = [*environment_changes(found.manifest, asked.begun)] if any((partial / CELLS).glob("*")) else []
        study = parse_spec(asked.spec, partial / SPEC)["study"]
        try:
            changed = parse_spec(read(partial / SPEC), partial / SPEC)["study"] != study
        except RunError:
            changed = True
        if changed:
            notes.append(f"{SPEC} of the unfinished run had been changed; it is written anew from what is asked.")
    write(partial / SPEC, asked.spec)
    files = {SPEC: {"bytes": len(asked.spec), "sha256": digest(asked.spec)}}
    write(partial / MANIFEST, json_to_bytes(seal(asked.begun | {"files": files})))
    return notes


def _work(partial: Path, study: Study, lm: Any, progress: Progress, engine: Engine, asked: _Request) -> None:  # noqa: PLR0917
    """Run the study over what cells there are, and write its result and its finished manifest into `partial`."""
    journal = Journal(partial / LOG)
    with _note_end(journal), listening(journal):
        cells = Cells(partial / CELLS, note=journal.note)
        journal.note(
            "resume" if (partial / LOG).exists() else "start", cells=len(cells), broca=__version__, engine=engine.record
        )
        for note in asked.notes:
            _log.warning("%s", note)
        with engine.open_pool(lambda: _with_source(lm, engine), _jobs_of(partial)) as pool:
            result = study.run(lm, cache=with_pool(cells, pool, lm), progress=progress)
        if pool is not None and pool.n_spawned < pool.workers:
            _log.warning(_IDLE, pool.workers, pool.n_spawned, study.kind)
        with writing(partial):
            shutil.rmtree(partial / store.TABLES, ignore_errors=True)
            (partial / store.TABLES).mkdir()
        content = store.save_result(result, partial, tables_of(type(study))) | {SPEC: asked.spec}
        journal.note("finish")
    started = {"started": pool.n_spawned} if pool and pool.n_spawned < pool.workers else {}
    others = other_runs(Path(asked.begun["place"]), asked.begun, parse_spec(asked.spec, partial / SPEC)["study"])
    shown = study.first_prompt(lm) if isinstance(study, Spec) else None
    closing = provenance.closing(result, lm) | {
        "engine": {**engine.record, **started},
        "others": others,
        "prompt": shown,
    }
    # Also what was asked: somebody may have changed it while the work was done.
    write(partial / SPEC, asked.spec)
    write(partial / MANIFEST, json_to_bytes(seal(_manifest(asked.begun, closing, journal, content))))


def _jobs_of(partial: Path) -> Path:
    """What the engine keeps of its own while a run is unfinished: beside it, since nothing in a run may be a link."""
    return partial.with_suffix(".jobs")


def _with_source(lm: Any, engine: Engine) -> AbstractContextManager[Source]:
    from broca.models.source import worker_source

    return worker_source(lm, here=engine.here)


def _manifest(
    begun: dict[str, Any], closing: dict[str, Any], journal: Journal, content: dict[str, bytes]
) -> dict[str, Any]:
    events, lost = journal.events()
    states = [event.get("state") for event in events if event["event"] == "cell"]
    warned = [event.get("text") or "" for event in events if event["event"] == "warning"]
    warned += [f"{lost} lines of {LOG} are no events and are left out."] if lost else []
    return {
        **begun,
        **closing,
        "status": "finished",
        "data": closing["data"] | begun["data"],
        "warnings": list(dict.fromkeys([*closing["warnings"], *warned])),
        "created": events[0]["time"] if events else now(),
        "finished": now(),
        "seconds": seconds(events),
        "sessions": sum(event["event"] in OPENING for event in events),
        "cells": {state: states.count(state) for state in ("computed", "reused", "discarded")},
        "files": {name: {"bytes": len(data), "sha256": digest(data)} for name, data in sorted(content.items())},
    }


def _publish(partial: Path, final: Path) -> None:
    """Give a whole run its name."""
    with writing(final):
        if (partial / CELLS).exists():
            shutil.rmtree(partial / CELLS)
        shutil.rmtree(_jobs_of(partial), ignore_errors=True)
        if final.exists():  # an empty directory, which Windows does not rename over
            final.rmdir()
        partial.rename(final)
        settle(final.parent)
    _log.info("%s is finished", final)


@contextlib.contextmanager
def _note_end(journal: Journal) -> Iterator[None]:
    """Note what ends the body early, and let it pass."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(RunError):  # the disk may be what ended it
            journal.note("stopped", error=type(error).__name__, text=str(error))
        raise


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "run"
