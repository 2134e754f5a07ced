"""What small models can do of the abilities in natural language: `python benchmarks/abilities.py smollm2`.

Every ability in both wordings, and its control, by likelihood in float32. Writes ``results/abilities.json``, ability by
ability, and the table of ``docs/abilities.md`` from it; what is there of a model already is not measured again, unless with ``--again``.
About twenty minutes on two cores for 135 million parameters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from broca import LM, Likelihood, benchmark
from broca.evidence.survey import survey
from broca.stimuli.natural import ABILITIES
from broca.stimuli.natural.controls import RECALLED

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results" / "abilities.json", HERE.parent / "docs" / "abilities.md"
MARKS = ("<!-- what models can do -->", "<!-- end -->")
CONTROLS = {ability: control for control, ability in RECALLED.items()}


def measured(lm: LM, name: str, wording: int, n: int) -> dict[str, Any]:
    """One row of `survey`."""
    items = benchmark(name, wording=wording, n=n)
    return survey(items, Likelihood()(lm, items)).row(0, named=True)


def measure(model: str, called: str, n: int, *, again: bool) -> None:
    """All rows of a model that are not there yet, each written when it is there."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    own = results.setdefault(called, {})
    if again:
        own.clear()
    wanted = [(name, wording) for name in ABILITIES for wording in (1, 2)] + [(name, 1) for name in RECALLED]
    left = [(name, wording) for name, wording in wanted if f"{name} {wording}" not in own]
    lm = LM.load(model, dtype="float32") if left else None
    for name, wording in left:
        assert lm is not None
        own[f"{name} {wording}"] = measured(lm, name, wording, n)
        print(name, wording, own[f"{name} {wording}"]["accuracy"], flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def table() -> str:
    """The table of the page: a part for each model."""
    parts = []
    for model, own in json.loads(RESULTS.read_text()).items():
        gates = [own[f"{name} 1"]["gate"] == "open" for name in ABILITIES]
        head = "| ability | n | accuracy | in the second wording | chance | best shortcut | gate | control |"
        rows = [_row(name, own) for name in ABILITIES]
        told = f"`{model}`: {sum(gates)} of {len(gates)} pass the gate (float32, 95 % intervals by groups)."
        parts.append("\n".join([told, "", head, "|---|---|---|---|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _row(name: str, own: dict[str, Any]) -> str:
    one, two = own[f"{name} 1"], own[f"{name} 2"]
    control = own.get(f"{CONTROLS.get(name)} 1")
    shortcut = f"{one['scores']:.2f} ({one['shortcut']})"
    cells = (
        f"`{name}`", str(one["n"]), _share(one), _share(two), f"{one['chance']:.2f}", shortcut, one["gate"],
        _share(control) if control else "",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _share(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def write() -> None:
    """The page with its table."""
    text = PAGE.read_text()
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="none: write the page alone")
    parser.add_argument("--name", help="what the page calls it")
    parser.add_argument("--n", type=int, default=240, help="items of each")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    if given.model:
        measure(given.model, given.name or given.model, given.n, again=given.again)
    write()


if __name__ == "__main__":
    main()
