"""The command that takes a selection out of a run: names of heads or units, and a mask file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from broca.cli import terminal
from broca.cli.options import given_fields
from broca.errors import RunError, SpecError
from broca.page.shell import YOURS, command

if TYPE_CHECKING:
    from broca.runs import Run
    from broca.units import Choice

MOST = 40
"""Heads or units that are named."""


def select(
    run: Path,
    *,
    percent: float | None = None,
    count: int | None = None,
    side: Literal["top", "bottom", "both", "middle"] | None = None,
    out: Path | None = None,
) -> None:
    """Name what a finished run selected, or another share of its ranking, and write it as a mask file.

    Args:
        run: Directory of the run, of any instrument.
        percent: Take this share of its ranking instead of what it selected.
        count: Or so many of it.
        side: Which end of its ranking (top).
        out: Mask file to write, NAME.safetensors; there must be nothing yet.
    """
    from broca.runs import open_run
    from broca.runs.record import record_of
    from broca.specs.fields import template_options
    from broca.storage import probe, writing

    if percent is not None and count is not None:
        raise SpecError("--percent and --count were given. Give one of them.")
    found = open_run(run)
    how = given_fields(percent=percent, count=count, side=side)
    chosen = _from_ranking(found, how) if how else found.selection
    if out is not None:
        if out.exists():
            raise SpecError(f"{out} exists, and is not overwritten. Give a new file to --out.")
        probe(out)
        with writing(out):
            chosen.save(out)
    terminal.facts(_facts(chosen))
    record = record_of(found)
    model, shown = record.model_name, template_options(record.study.get("chat", "auto"))
    if out is None:
        after = command("lesion", model, options={"from_": run, "items": YOURS, **shown, **record.loading})
    elif chosen.grain == "weight":
        after = command("export", out, options={"model": model, **record.loading})
    else:
        after = command("lesion", model, options={"units": out, "items": YOURS, **shown, **record.loading})
    terminal.following({} if out is None else {"mask": str(out)}, after)


def _from_ranking(run: Run, how: dict[str, Any]) -> Choice:
    """Another selection from the ranking of a run.

    Raises:
        RunError: if it ranked nothing.
    """
    from broca.instruments import COMMANDS
    from broca.instruments.parts import result_type

    kind = run.manifest["kind"]
    if kind not in COMMANDS or not COMMANDS[kind].ranks:
        raise RunError(
            f"{run.path} is a run of {kind}, which keeps what it selected and no ranking. Leave --percent, --count and --side out, or "
            "give a run of localize."
        )
    found: Any = run.restore(result_type(kind))
    return found.select(**how)


def _facts(chosen: Choice) -> list[tuple[str, str]]:
    from broca.units import WeightSet

    if isinstance(chosen, WeightSet):
        return [("selected weights", f"{chosen.count:,} of {chosen.total:,}")]
    names = chosen.names
    more = f", and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return [
        (f"selected {chosen.grain}s", f"{chosen.count:,} of {chosen.total:,}"),
        (f"{chosen.grain}s", ", ".join(names[:MOST]) + more),
    ]
