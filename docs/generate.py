"""What the site shows of the code itself: the command line, every public name, and figures of shipped runs.

Everything is written into ``docs/made``, which is not kept; `make docs` calls it.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import broca
from broca.lazy import homes

GOLDEN = Path(__file__).parents[1] / "tests" / "parity" / "golden"
"""Small runs that the tests keep: their charts stand on the instruments' pages."""


def write(docs: Path) -> None:
    """Write ``made`` into the folder of the docs anew."""
    made = docs / "made"
    shutil.rmtree(made, ignore_errors=True)
    (made / "api").mkdir(parents=True)
    (made / "cli.md").write_text(command_line(), encoding="utf-8")
    rooms = sorted(rooms_of_broca())
    for room in rooms:
        (made / "api" / f"{room}.rst").write_text(api_page(room), encoding="utf-8")
    (made / "api.md").write_text(api_index(rooms), encoding="utf-8")
    figures(made / "figures")


def command_line() -> str:
    """Every command and option, from the commands themselves."""
    from broca.cli import app

    text = app.generate_docs(output_format="markdown", heading_level=1)
    head, _, rest = text.partition("**Commands**:")
    del head
    body = re.sub(r"(?m)^(\s*(?:\*|-)?\s*[^`\n]*?)<([A-Za-z])", r"\1&lt;\2", rest)
    return f"# Every command and option\n\nWritten from the commands; `broca COMMAND --help` prints the same.\n\n**Commands**:{body}"


def rooms_of_broca() -> Iterator[str]:
    """The packages that have public names."""
    root = Path(broca.__file__).parent
    for stub in root.rglob("__init__.pyi"):
        yield ".".join(("broca", *stub.parent.relative_to(root).parts))


def api_index(rooms: list[str]) -> str:
    """A page that leads to each room."""
    listed = "".join(f"api/{room}\n" for room in rooms)
    return (
        "# Every public name\n\nWhat `import broca` gives, and the rooms below it. Whatever stands here is kept as "
        f"[deprecation](../deprecation.md) says.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}```\n"
    )


def api_page(room: str) -> str:
    """The public names of a room, each with its signature and docstring; those of a room above are named and lead there."""
    package = import_module(room)
    summary = (inspect.getdoc(package) or "").splitlines()[0]
    parts = [f"{room}\n{'=' * len(room)}\n\n{_plain(summary)}\n"]
    above = homes(broca.__file__ or "") if room != "broca" else {}
    for name, home in homes(package.__file__ or "").items():
        value = getattr(package, name)
        if isinstance(value, ModuleType):
            parts.append(f"* ``{room}.{name}``: :doc:`{room}.{name}`")
        elif above.get(name) == home:
            parts.append(f"* ``{room}.{name}`` is :py:obj:`broca.{name}`")
        else:
            parts.append(_entry(room, name, home, value))
    return "\n".join(parts)


def _entry(room: str, name: str, home: str, value: object) -> str:
    kind = "class" if inspect.isclass(value) else "function" if inspect.isroutine(value) else "data"
    if kind == "data":
        said = "".join(f"   {line}\n" for line in _plain(attribute_text(home, name)).splitlines())
        return f"\n.. py:data:: {room}.{name}\n\n{said}"
    members = "   :members:\n" if kind == "class" and not hasattr(value, "model_fields") else ""
    return f"\n.. auto{kind}:: {room}.{name}\n{members}"


def attribute_text(module: str, name: str) -> str:
    """What stands below the assignment of a name in its module."""
    body = ast.parse(inspect.getsource(import_module(module))).body
    for node, after in pairwise(body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        named = any(isinstance(each, ast.Name) and each.id == name for each in targets)
        if named and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
    return ""


def figures(folder: Path) -> None:
    """The charts of the shipped runs, as SVG."""
    from broca.reports.build import report

    folder.mkdir()
    for run in sorted(GOLDEN.glob("*/*")):
        copy = folder / "run"
        shutil.copytree(run, copy)
        report(copy)
        for svg in sorted((copy / "figures").glob("*.svg")):
            shutil.copy(svg, folder / f"{run.parent.name}-{svg.name}")
        shutil.rmtree(copy)


_SPAN = re.compile(r"(``.+?``|`[^`\n]+`)")


def escape(lines: list[str]) -> None:
    """Change the lines of a docstring in place, so that nothing outside of backticks is markup."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith((":", "..")):
            # What napoleon made of Args, Returns and Raises: the field itself stays.
            head, mark, rest = re.match(r"(\s*:[^:]*:)?()(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
            lines[i] = f"{head or ''}{mark}{_plain(rest)}" if head else line
            continue
        bullet = re.match(r"\s*[*-] ", line)
        start = bullet.end() if bullet else 0
        lines[i] = line[:start] + _plain(line[start:])


def _plain(text: str) -> str:
    parts = _SPAN.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*|\\])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(\w)_(?!\w)", r"\1\\_", parts[i]).replace("`", "\\`")
    for i in range(1, len(parts), 2):
        # One pair of backticks is code here, as it is for readers.
        parts[i] = parts[i] if parts[i].startswith("``") else f"`{parts[i]}`"
    return "".join(parts)
