"""PyTorch hooks are registered in one room."""

import ast
from pathlib import Path

import broca

ROOT = Path(broca.__file__).parent


def _registers(tree: ast.AST) -> list[int]:
    """The lines that name a method which registers a hook."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("register_") and node.attr.endswith("hook")
    ]


def test_only_the_room_of_hooks_registers_any():
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in ROOT.rglob("*.py")
        for line in _registers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert any(place.startswith("models/hooks/") for place in found)
    assert not {place for place in found if not place.startswith("models/hooks/")}
