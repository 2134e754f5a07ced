"""Commands that give runs to others and take theirs, through the hub."""

from __future__ import annotations

from pathlib import Path

from broca.cli import terminal
from broca.cli.options import RUNS
from broca.page.shell import command


def push(run: Path, name: str, *, public: bool = False) -> None:
    """Put a finished run into a dataset repository of the hub, with a card made from it.

    Files are checked first, and searched for keys and tokens of this machine.

    Args:
        run: Directory of the run.
        name: The repository, user/name; it is made where there is none.
        public: Let everybody see a repository that is made for it.
    """
    from broca.runs.sharing.push import push as give

    with terminal.err.status(f"sharing {run}"):
        where = give(run, name, private=not public)
    terminal.following({"shared": where}, command("pull", name))


def pull(name: str, *, to: Path | None = None, out: Path = RUNS) -> None:
    """Take a run from the hub, each file checked, and write its report here.

    Args:
        name: The repository, user/name, or user/name@revision.
        to: Directory of the run; in the folder of runs, called as the repository, where it is left out.
        out: Folder of runs.
    """
    from broca.reports.build import report
    from broca.runs.sharing.pull import pull as take

    with terminal.err.status(f"taking {name}"):
        run = take(name, to, out=out)
    terminal.following({"run": str(run), "report": str(report(run))}, command("run", run))
