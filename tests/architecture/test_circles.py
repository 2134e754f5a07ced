"""No module leads back to itself through what it imports, wherever in it the import stands."""

import ast
from collections import defaultdict
from pathlib import Path

import broca

ROOT = Path(broca.__file__).parent
MODULES = {
    ".".join(("broca", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def _targets(node: ast.AST) -> set[str]:
    """What one statement imports; of a package its own file only where a name is no module of it."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & MODULES.keys()
    if isinstance(node, ast.ImportFrom) and not node.level:
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        return {name if name in MODULES else node.module for name in names} & MODULES.keys()
    return set()


def imports() -> dict[str, set[str]]:
    """Each module, and what it imports anywhere in its text: at its top, in a function, for its types."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found[name] |= _targets(node) - {name}
    return found


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The modules that are left once everything is taken away that nothing leads to, or that leads nowhere."""
    left = {name: set(targets) for name, targets in graph.items()}
    while True:
        reached = set().union(*left.values()) if left else set()
        kept = {
            name: targets & left.keys() for name, targets in left.items() if targets & left.keys() and name in reached
        }
        if kept == left:
            return set(left)
        left = kept


def test_no_imports_go_in_circles():
    graph = imports()
    assert len(graph) > 300
    assert circles(graph) == set()


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}
