"""The notebooks: Python files in cells, which Jupyter (through jupytext) and sphinx-gallery read alike, and which run as they are."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

import real

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))
CELL = re.compile(r"^# %%(?P<kind>.*)$", re.MULTILINE)


def cells(text: str) -> list[tuple[str, str]]:
    """What a reader of the percent format sees: the kind of each cell, and its lines."""
    marks = [*CELL.finditer(text)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    first = [("code", text[: marks[0].start()])]
    return first + [
        ("markdown" if "[markdown]" in mark["kind"] else "code", text[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]


def test_there_is_one_for_each_instrument_that_is_used_most():
    assert [path.stem for path in NOTEBOOKS] == [
        *("circuit", "direction", "features", "lesion", "localize", "perturb", "probe", "sensitivity")
    ]
    page = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert [path.stem for path in NOTEBOOKS if f"examples/notebooks/{path.name}" not in page] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_made_of_cells_that_are_read_by_both(path):
    text = path.read_text(encoding="utf-8")
    title, underline = (ast.get_docstring(ast.parse(text)) or "").splitlines()[:2]
    assert title
    assert underline == "=" * len(title)
    kinds = {kind for kind, _ in cells(text)}
    assert kinds == {"code", "markdown"}
    for kind, body in cells(text):
        if kind == "markdown":
            assert all(line.startswith("#") for line in body.splitlines()), body
        else:
            compile(body, str(path), "exec")
    # Text stands in cells of its own: jupytext would show it as code, sphinx-gallery as text.
    assert not re.search(r"^# %%\n#", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 160


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_the_real_model(path, tmp_path, monkeypatch):
    if "smollm2" in path.read_text(encoding="utf-8") and real.smollm2() != "smollm2":
        pytest.skip("the notebook loads smollm2 by its name, and it is not installed")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
