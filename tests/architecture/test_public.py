"""The public face: what `import broca` gives, its types, and a docstring for each name."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import broca

HOMES = broca._HOMES
STUB = Path(broca.__file__).with_suffix(".pyi")


def test_the_stub_lists_what_is_loaded_on_first_use():
    lines = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert {line.names[0].name: line.module for line in lines} == HOMES
    assert all(line.names[0].name == line.names[0].asname for line in lines)


@pytest.mark.parametrize("name", HOMES)
def test_every_public_name_says_what_it_is(name):
    value = getattr(broca, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return  # a value, which has no docstring of its own
    assert len(inspect.getdoc(value) or "") > 10


def test_what_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="nonsense"):
        broca.nonsense  # noqa: B018
