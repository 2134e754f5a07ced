"""Run the stories of ``examples/gallery`` and ``examples/notebooks``, and write each as a page with what it printed and drew.

`make gallery` runs them all, ``python docs/gallery.py NAME ...`` some; `make docs` shows what was recorded and runs nothing. A story is a script in
the percent format: cells begin with ``# %%``, those with ``# %% [markdown]`` hold text in comments. The last expression of a cell is
shown: a chart as a picture, a table and anything else as text.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDERS = (HERE.parent / "examples" / "gallery", HERE.parent / "examples" / "notebooks")
PAGES = HERE / "gallery"
LINES = 40
"""Lines of an output that are shown."""


def stories() -> dict[str, Path]:
    """Every story, by name."""
    return {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.py"))}


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Each cell of a script: "text" or "code", and what it holds. A docstring at its head is a title, underlined, and text."""
    first, *rest = re.split(r"(?m)^# %%", text)
    if first.strip():
        tree = ast.parse(first)
        if said := ast.get_docstring(tree):
            title, _, more = re.sub(r"\n=+\n", "\n", said).partition("\n")
            yield "text", f"# {title.strip()}\n\n{more.strip().replace('``', '`')}"
            first = "\n".join(first.splitlines()[tree.body[0].end_lineno :])
        if first.strip():
            yield "code", first.strip()
    for part in rest:
        head, _, body = part.partition("\n")
        if "[markdown]" in head or "[md]" in head:
            yield "text", re.sub(r"(?m)^# ?", "", body).strip().replace("``", "`")
        elif body.strip():
            yield "code", body.strip()


def page(path: Path, folder: Path) -> str:
    """A story run from top to bottom, as Markdown; its pictures are written into a folder."""
    parts, names = [], {"__name__": "__main__", "__file__": str(path)}
    for kind, body in cells(path.read_text(encoding="utf-8")):
        if kind == "text":
            parts.append(body)
            continue
        printed, value = run_cell(body, names)
        parts.append(f"```{{code-block}} python\n{body}\n```")
        if printed.strip():
            parts.append(f"```text\n{_cut(printed)}\n```")
        if value is not None:
            parts.append(shown(value, f"{path.stem}-{len(parts)}", folder))
    made = f"*Written by `make gallery` from `{path.relative_to(HERE.parent).as_posix()}`: run it, or open it as a notebook (jupytext).*"
    return "\n\n".join([parts[0], made, *parts[1:]]) + "\n"


def run_cell(code: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line where that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102 - our own stories
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None  # noqa: S307
    return out.getvalue(), value


def shown(value: Any, name: str, folder: Path) -> str:
    """A value as Markdown: charts as pictures, anything else as its text."""
    if (hasattr(value, "to_dict") and hasattr(value, "mark_line")) or type(value).__module__.startswith("altair"):
        from broca.reports.drawing import draw

        figure = draw(value, name, alt_text=name, caption="")
        (folder / f"{name}.svg").write_text(figure.svg, encoding="utf-8")
        return f"![{name.replace('-', ' ')}](gallery/{name}.svg)".replace("gallery/", "")
    return f"```text\n{_cut(str(value))}\n```"


def _cut(text: str) -> str:
    lines = text.rstrip().splitlines()
    return "\n".join(lines if len(lines) <= LINES else [*lines[:LINES], f"… and {len(lines) - LINES} more lines"])


def main(names: list[str]) -> None:
    """Write the pages of some stories, or of all."""
    logging.getLogger("broca").setLevel(logging.ERROR)
    PAGES.mkdir(exist_ok=True)
    known = stories()
    for name in names or known:
        with tempfile.TemporaryDirectory() as folder:
            back = Path.cwd()
            os.chdir(folder)
            try:
                made = page(known[name], PAGES)
            finally:
                os.chdir(back)
        (PAGES / f"{name}.md").write_text(made, encoding="utf-8")
        print(f"{name}.md")


if __name__ == "__main__":
    main(sys.argv[1:])
