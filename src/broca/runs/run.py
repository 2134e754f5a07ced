"""A study, executed into a directory: killed at any moment, it resumes at the cell and ends with the same bytes."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from broca import __version__
from broca.engines import Engine, Local
from broca.engines.cells import crewed
from broca.engines.memo import Progress, silent
from broca.engines.threads import limited
from broca.engines.worker import Source
from broca.errors import BrocaError, RunError
from broca.runs import provenance, store
from broca.runs.cells import Cells
from broca.runs.formats import json_to_bytes
from broca.runs.journal import OPENING, Journal, listening, now, seconds
from broca.runs.opened import LOG, MANIFEST, SPEC, Run, open_run, opened, partial_of
from broca.runs.spec import Identity, Study, read_spec, spec_toml
from broca.storage import digest, locked, read, refuse_links, settle, sweep, write, writing

_log = logging.getLogger(__name__)

CELLS = "cells"


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
    identity = Identity.of(study, lm)
    name = f"{_slug(getattr(study, 'name', None) or study.kind)}-{identity.hash[:6]}"
    final = Path(out) / name if path is None else Path(path).expanduser()
    if final.name in ("", ".."):
        raise RunError(f"{str(path)!r} names no directory to make. Give one, such as 'runs/{name}'.")
    lock = final.with_name(f".{final.name}.lock")
    if (finished := _finished(final, identity, resume=resume)) is not None:
        _tidy(final, lock)
        return finished
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock), limited(engine.threads_each):
        # Another process may have finished it while this one waited for the lock.
        if (finished := _finished(final, identity, resume=resume)) is not None:
            return finished
        partial = partial_of(final)
        if _prepare(partial, study, lm, identity, final, resume=resume) != "finished":
            try:
                _work(partial, study, lm, progress, engine)
            except BrocaError:
                # A mistake that was found before anything was computed leaves nothing to resume.
                if not any((partial / CELLS).glob("*")):
                    shutil.rmtree(partial, ignore_errors=True)
                raise
        _publish(partial, final)
    return open_run(final)


def _finished(final: Path, identity: Identity, *, resume: bool) -> Run | None:
    """The finished run at `final`; None if there is nothing.

    Raises:
        RunError: if something else is there.
    """
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return None
    if not (final / MANIFEST).exists():
        raise RunError(f"{final} exists and is not a run. Choose another path; nothing in it was touched.")
    found = opened(final)
    if found.manifest["hash"] != identity.hash:
        raise _other(final, found.manifest, final, identity)
    if not resume:
        raise RunError(
            f"{final} is finished, and a finished run is not overwritten. Delete it, or choose another path."
        )
    _log.info("%s is finished: reopened, nothing was computed", final)
    return open_run(final)


def _tidy(final: Path, lock: Path) -> None:
    """Take away what somebody left who was killed just after a run got its name, where one may."""
    with contextlib.suppress(RunError):
        for folder in (final, final / store.TABLES):
            sweep(folder)
        if lock.exists():
            with locked(lock):
                pass


def _prepare(partial: Path, study: Study, lm: Any, identity: Identity, final: Path, *, resume: bool) -> str:
    """See that `partial` is this run's; gives its status ("partial" or "finished").

    Raises:
        RunError: if it belongs to another spec.
    """
    manifest: dict[str, Any] | None = None
    if partial.exists() or partial.is_symlink():
        refuse_links(partial)
        sweep(partial, alone=True)
    if partial.exists() and resume:
        with contextlib.suppress(RunError):  # killed before it could say whose it is: nothing in it can be trusted
            manifest = store.parse_json(read(partial / MANIFEST), partial / MANIFEST)
    if manifest is not None:
        if manifest.get("hash") != identity.hash:
            raise _other(partial, manifest, final, identity)
        return str(manifest["status"])
    with writing(partial):
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
    write(partial / SPEC, spec_toml(study, lm).encode())
    write(partial / MANIFEST, json_to_bytes(provenance.opening(study, lm, identity, final)))
    return "partial"


def _work(partial: Path, study: Study, lm: Any, progress: Progress, engine: Engine) -> None:
    """Run the study over what cells there are, and write its result and its finished manifest into `partial`."""
    journal = Journal(partial / LOG)
    begun = store.parse_json(read(partial / MANIFEST), partial / MANIFEST)
    with _noted(journal), listening(journal):
        cells = Cells(partial / CELLS, note=journal.note)
        started = (partial / LOG).exists()
        journal.note("resume" if started else "start", cells=len(cells), broca=__version__, engine=engine.record)
        for change in _changes(begun, lm) if len(cells) else ():
            _log.warning("%s", change)
        with engine.opened(lambda: _sourced(lm, engine)) as crew:
            result = study.run(lm, memo=crewed(cells, crew, lm), progress=progress)
        with writing(partial):
            shutil.rmtree(partial / store.TABLES, ignore_errors=True)
            (partial / store.TABLES).mkdir()
        content = store.save_result(result, partial) | {SPEC: read(partial / SPEC)}
        journal.note("finish")
    closing = provenance.closing(result, lm) | {"engine": engine.record}
    write(partial / MANIFEST, json_to_bytes(_manifest(begun, closing, journal, content)))


def _sourced(lm: Any, engine: Engine) -> AbstractContextManager[Source]:
    from broca.models.source import sourced

    return sourced(lm, here=engine.here)


def _manifest(
    begun: dict[str, Any], closing: dict[str, Any], journal: Journal, content: dict[str, bytes]
) -> dict[str, Any]:
    events = journal.events()
    states = [event.get("state") for event in events if event["event"] == "cell"]
    warned = [event["text"] for event in events if event["event"] == "warning"]
    return {
        **begun,
        **closing,
        "status": "finished",
        "data": closing["data"] | begun["data"],
        "warnings": list(dict.fromkeys([*closing["warnings"], *warned])),
        "created": events[0]["time"],
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
        if final.exists():  # an empty directory, which Windows does not rename over
            final.rmdir()
        partial.rename(final)
        settle(final.parent)
    _log.info("%s is finished", final)


@contextlib.contextmanager
def _noted(journal: Journal) -> Iterator[None]:
    """Note what ends the body early, and let it pass."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(RunError):  # the disk may be what ended it
            journal.note("stopped", error=type(error).__name__, text=str(error))
        raise


def _changes(begun: dict[str, Any], lm: Any) -> Iterator[str]:
    """What is otherwise than when the run began, and may show in its last digits."""
    before = {"broca": begun["broca"], **begun["environment"]}
    present = {"broca": __version__, **provenance.environment(lm)}
    for name, value in present.items():
        if before.get(name) != value:
            yield f"Resumed with {name} {value} after a start with {before.get(name)}: this run's cells mix both."


def _other(place: Path, manifest: dict[str, Any], final: Path, identity: Identity) -> RunError:
    """The error for a directory that another study, model or data made."""
    differences: list[str] = []
    with contextlib.suppress(RunError, KeyError, TypeError):
        there = Identity(
            study=read_spec(place / SPEC)["study"],
            model=manifest["model"].get("identity")
            or {k: v for k, v in manifest["model"].items() if k in identity.model},
            data={name: value for name, value in manifest["data"].items() if name in identity.data},
        )
        differences = identity.differences(there)
    more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
    what = f" ({'; '.join(differences[:6])}{more})" if differences else ""
    if place == final:
        return RunError(f"{final} was made by another spec{what}. Choose another path, or delete it.")
    return RunError(
        f"An unfinished run of another spec{what} is at {place}. Finish it with its own spec, choose another path, or "
        "discard it with resume=False."
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "run"
