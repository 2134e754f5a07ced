"""Run every benchmark, print one table, write ``results/*.json`` and the table in README.md.

``make bench``, or ``python benchmarks/run.py [overhead ancestor memory peers tokens circuits directions] [--threads 2] [--rounds 5]``. The peers are
installed from the package index into ``benchmarks/.venv`` the first time; the rest takes under ten minutes on two quiet
cores. Figures are ratios of ways that took turns in one process, so they travel better than seconds do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PARTS = ("overhead", "ancestor", "memory", "peers", "tokens", "circuits", "directions")
PEERS = ("nnsight==0.8.1", "transformer-lens==4.3.0")
HEAD = ("benchmark", "what", "model", "value", "target", "met")
MARKS = ("<!-- figures -->", "<!-- end of figures -->")
TORCH = "torch==2.13.0"
"""First and pinned: an unpinned one would pull a build with CUDA."""


def peers_python() -> Path:
    """The interpreter that has the peers beside this checkout of broca; made if absent."""
    python, done = HERE / ".venv" / "bin" / "python", HERE / ".venv" / "installed"
    wanted = " ".join((TORCH, *PEERS))
    if done.exists() and done.read_text() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", HERE / ".venv"], check=True)
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-c",
        HERE.parent / "constraints.txt",
    ]
    subprocess.run([*install, TORCH], check=True)
    subprocess.run([*install, "-e", HERE.parent, *PEERS], check=True)
    done.write_text(wanted)
    return python


def measure(part: str, more: list[str]) -> float:
    """Run one benchmark in a process of its own; returns seconds."""
    python = peers_python() if part == "peers" else Path(sys.executable)
    start = time.perf_counter()
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([python, HERE / f"{part}.py", *more], check=True, env=os.environ | quiet)
    return time.perf_counter() - start


def figures(parts: list[str]) -> list[tuple[str, ...]]:
    """Benchmark, what, model, value, target, met: as they stand in the results."""
    found = []
    for part in parts:
        result = json.loads((HERE / "results" / f"{part}.json").read_text())
        for row in result["rows"]:
            bound = "" if row["bound"] is None else f"{'≤' if row['side'] == 'at most' else '≥'} {row['bound']:g}"
            met = {None: "", True: "yes", False: "no"}[row["met"]]
            note = f" ({row['note']})" if row["note"] else ""
            found.append((part, row["what"] + note, row["model"], f"{row['value']:.3g} {row['unit']}", bound, met))
        for size, errors in result.get("failures", {}).items():
            found += [(part, f"{way}: {error}", size, "", "", "") for way, error in errors.items()]
    return found


def table(parts: list[str]) -> Table:
    shown = Table(*HEAD, title="Benchmarks")
    before = ""
    for row in figures(parts):
        if before not in ("", row[0]):
            shown.add_section()
        before = row[0]
        shown.add_row(*row, style="red" if row[-1] == "no" else None)
    return shown


def into_readme() -> None:
    """Put the figures of all results into the README, between its marks."""
    done = [part for part in PARTS if (HERE / "results" / f"{part}.json").exists()]
    rows = [HEAD, ("---",) * len(HEAD), *figures(done)]
    cells = [[cell.strip().replace("|", r"\|") for cell in row] for row in rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    path = HERE / "README.md"
    head, rest = path.read_text().split(MARKS[0])
    path.write_text(f"{head}{MARKS[0]}\n{lines}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}. There are {', '.join(PARTS)}.")
    parts, console = given.parts or list(PARTS), Console()
    for part in parts:
        seconds = measure(part, ["--threads", str(given.threads), "--rounds", str(given.rounds)])
        console.print(f"{part}: {seconds:.0f} s")
    console.print(table(parts))
    into_readme()


if __name__ == "__main__":
    main()
