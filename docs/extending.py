"""Writes `extending.md` from the files of `tests/architecture/stranger`, which a test installs and runs."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
STRANGER = HERE.parent / "tests" / "architecture" / "stranger"

_HEAD = """# Adding to broca from another package

Nothing of broca is edited for it. What follows is shown in full: a test installs these files as a distribution of their own, and runs them
(`tests/architecture/test_stranger.py`).

```toml
# pyproject.toml of the other package
[project.entry-points."broca.instruments"]
norms = "norms"

[project.entry-points."broca.benchmarks"]
evenness = "parts.evenness:evenness"

[project.entry-points."broca.scorers"]
confident = "parts.confident:Confident"
```

An instrument's command, its help, its spec in TOML, its run directory (which a kill does not cost), its verdict, its terminal summary and
its report exist then. A benchmark is known wherever items are named (`--items evenness`), a scorer wherever a spec names one
(`scorer = {kind = "confident"}`). An intervention and a reducer need no entry: they are handed over in Python, to `lm.under(...)` and to
`capture(...)`.

With a module `cost.py` beside its spec an instrument says what it will cost before it starts, and stops there with `--dry-run`:
`broca.specs.cost` says what the module holds. Without one it says that it does not know.
"""
_PARTS = (
    ("An instrument: one folder", ("norms/__init__.py", "norms/spec.py", "norms/run.py", "norms/tables.py", "norms/blocks.py")),
    ("An intervention", ("parts/layer_off.py",)),
    ("A scorer", ("parts/confident.py",)),
    ("A benchmark", ("parts/evenness.py",)),
    ("A reducer", ("parts/largest.py",)),
)  # fmt: skip


def text() -> str:
    """The page."""
    out = [_HEAD]
    for title, files in _PARTS:
        out.append(f"## {title}\n")
        out += [
            f"`{name}`\n\n```python\n{(STRANGER / name).read_text(encoding='utf-8').rstrip()}\n```\n" for name in files
        ]
    return "\n".join(out)


if __name__ == "__main__":
    (HERE / "extending.md").write_text(text(), encoding="utf-8")
