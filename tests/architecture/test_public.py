"""The public face: what `import broca` and its named rooms give, their types, and a docstring for each name."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import broca
from broca.lazy import homes

ROOT = Path(broca.__file__).parent
ROOMS = sorted(".".join(("broca", *stub.parent.relative_to(ROOT).parts)) for stub in ROOT.rglob("__init__.pyi"))
NAMES = [(room, name, home) for room in ROOMS for name, home in homes(import_module(room).__file__).items()]

READ = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    dir(import_module(name))
    heavy = {"torch", "transformers"} & sys.modules.keys()
    assert not heavy, f"{name} imports {heavy}"
"""


def test_no_room_needs_torch_before_something_is_asked_of_it():
    done = subprocess.run(
        [sys.executable, "-c", READ, *ROOMS, "broca.specs"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_a_stub_lists_what_its_room_loads_on_first_use(room):
    package = import_module(room)
    tree = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    lines = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.name == alias.asname for line in lines for alias in line.names)
    assert [alias.name for line in lines for alias in line.names] == list(homes(package.__file__))
    assert dir(package) == sorted(homes(package.__file__))


@pytest.mark.parametrize(("room", "name", "home"), NAMES, ids=[f"{room}.{name}" for room, name, _ in NAMES])
def test_every_public_name_says_what_it_is(room, name, home):
    value = getattr(import_module(room), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__ == home, "a stub says where a thing is defined"
        assert len(inspect.getdoc(value) or "") > 10
    else:
        assert value is getattr(import_module(home), name)


@pytest.mark.parametrize("room", ROOMS[1:])
def test_no_public_name_is_hidden_by_a_module_of_that_name(room):
    folder = Path(import_module(room).__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert homes(import_module(room).__file__).keys() & modules == set()


def test_what_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="nonsense"):
        broca.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="nonsense"):
        broca.stats.nonsense  # noqa: B018
