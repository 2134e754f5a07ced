"""Which functions of broca read what somebody else wrote, found in their text; and which of them the registered readers reach.

A function reads if it calls one of `CALLS` itself. It is registered if it runs when the registered readers read their own seeds.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import broca

ROOT = Path(broca.__file__).parent

CALLS = frozenset(
    {
        *(
            "parse_json",
            "read_json",
            "parse_toml",
            "read_tensors",
            "tensors_of",
            "tensor_header",
            "read_parquet",
            "plain_pickle",
        ),
        *("read_bytes", "read_text", "read_table", "read", "open", "safe_open", "connect", "ZipFile", "Image.open"),
        *(
            "json.load",
            "json.loads",
            "tomllib.load",
            "tomllib.loads",
            "csv.reader",
            "torch.load",
            "np.load",
            "pickle.load",
        ),
        *(
            "pickle.loads",
            "pl.read_parquet",
            "pl.read_csv",
            "pl.read_json",
            "pl.read_ipc",
            "ast.literal_eval",
            "ast.parse",
        ),
    }
)
"""By their last name, or with the module where that alone says nothing."""

Place = tuple[str, str]
"""A file below the package, and a function's qualified name."""


AMBIGUOUS = frozenset({"read"})
"""Names that mean this only where they are imported from one of `ROOMS`."""
ROOMS = ("broca.storage", "broca.models.torch_files", "broca.runs.files")


def reading() -> set[Place]:
    """Every function that reads."""
    return {
        (path.relative_to(ROOT).as_posix(), name)
        for path in sorted(ROOT.rglob("*.py"))
        for name in _of_file(ast.parse(path.read_text(encoding="utf-8")))
    }


def _of_file(tree: ast.Module) -> Iterator[str]:
    """The functions of a file that read."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ROOMS)
        for alias in node.names
    }
    yield from _functions(tree, CALLS - (AMBIGUOUS - imported))


def _functions(tree: ast.AST, calls: frozenset[str], before: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, calls, f"{before}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{before}{node.name}"
            if any(_reads(inner, calls) for inner in _own(node)):
                yield name
            yield from _functions(node, calls, f"{name}.<locals>.")
        elif not isinstance(node, ast.expr):
            yield from _functions(node, calls, before)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, without the functions in it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
            yield from _own(node)


def _reads(node: ast.AST, calls: frozenset[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    last = name.rpartition(".")[2]
    if last == "open" and any(_mode(argument) for argument in [*node.args, *(each.value for each in node.keywords)]):
        return False
    if last in AMBIGUOUS and "." in name:
        return False
    return last in calls or ".".join(name.split(".")[-2:]) in calls


def _mode(argument: ast.expr) -> bool:
    """Whether an argument says that a file is opened to be written."""
    text = argument.value if isinstance(argument, ast.Constant) else ""
    return isinstance(text, str) and text in ("w", "wb", "a", "ab", "x", "xb")


def reached() -> set[Place]:
    """Every function that runs while the registered readers read their seeds."""
    import broca.cli.execute
    import broca.instruments
    import broca.models.processing
    import broca.organisms.course
    import broca.runs
    import broca.scoring.answer_store
    import broca.stimuli.benchmarks
    from fuzz.campaign import Inputs
    from fuzz.readers import READERS

    seen: set[Place] = set()
    root = f"{ROOT.as_posix()}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(root):
            seen.add((frame.f_code.co_filename.removeprefix(root), frame.f_code.co_qualname))

    with tempfile.TemporaryDirectory() as folder:
        for name in READERS:
            inputs = Inputs(name, Path(folder))
            sys.setprofile(note)
            try:
                for content in inputs.seeds:
                    inputs.read(content)
            except broca.errors.BrocaError:
                pass
            finally:
                sys.setprofile(None)
    return seen
