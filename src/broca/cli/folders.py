"""Commands on runs that are there: which they are, and whether they are as written."""

from __future__ import annotations

from pathlib import Path

from broca.cli import terminal
from broca.cli.options import RUNS
from broca.errors import RunError, SpecError
from broca.page.shell import command


def runs(folder: Path = RUNS, *, html: bool = False) -> None:
    """List the runs in a folder.

    Args:
        folder: Folder of runs.
        html: Write a page that opens offline, too: sortable, with what differs between them and how alike they are.
    """
    from broca.runs import list_runs

    found = list_runs(folder)
    terminal.runs(found)
    finished = found.filter(found["status"] == "finished")
    after = command("report", finished["path"][-1]) if len(finished) else command("demo")
    where = {}
    if html:
        from broca.reports.overview import overview

        where["page"] = str(overview(folder))
    terminal.following(where, after)


def diff(one: Path, two: Path) -> None:
    """Say how two finished runs differ: choices, verdicts, maps and selections.

    Args:
        one: Directory of a run.
        two: Directory of another.
    """
    from broca.cli.printing import everything
    from broca.runs import open_run
    from broca.runs.comparison import blocks

    everything("", blocks(open_run(one), open_run(two)))


def verify(*paths: Path) -> None:
    """Check that what is kept is what was written.

    Args:
        paths: Runs, folders of runs, captures, stores of answers, mask files.
    """
    from broca.runs.verify import verify as looked

    if not paths:
        raise SpecError(
            "verify was given nothing. Give a run, a folder of runs, a capture, a store of answers or a mask."
        )
    damaged = 0
    for path in paths:
        for found in looked(path):
            damaged += bool(found.wrong)
            state = (
                "damaged" if found.wrong else f"as written ({found.files} files)" if found.files > 1 else "as written"
            )
            terminal.out.print(f"{found.path}  {found.kind}  {state}", markup=False, soft_wrap=True)
            for text in found.wrong:
                terminal.out.print(f"    {text}", markup=False, soft_wrap=True)
    if damaged:
        raise RunError(f"{damaged} of what was looked at {'is' if damaged == 1 else 'are'} not as written.")
