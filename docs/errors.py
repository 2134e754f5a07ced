"""Write docs/errors.md: what each kind of error means, from the classes of `broca.errors`.

`make tables` runs it; a test says so when the page is not what it would write.
"""

from __future__ import annotations

import re
from pathlib import Path

from broca.errors import BrocaError, kinds

PAGE = Path(__file__).with_name("errors.md")
_HEAD = """# Errors

Every message says what was given, what would be right, and what to do, and ends with the short name of its kind in brackets. `broca explain
SHORT` prints what stands here, offline. In Python each is a class of `broca.errors`, and `BrocaError` catches them all.

A message without a short name is a fault of broca's own, or of Python's or the disk's (`OSError`): please report it with its traceback.

| short name | class | a kind of | exit code |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    found = kinds()
    rows = "".join(
        f"| [{short}](#{short}) | `{kind.__name__}` | {_parent(kind)} | {kind.exit_code} |\n"
        for short, kind in found.items()
    )
    return _HEAD + rows + "".join(_section(kind) for kind in found.values())


def _parent(kind: type[BrocaError]) -> str:
    return f"`{kind.__bases__[0].__name__}`" if kind is not BrocaError else ""


def _section(kind: type[BrocaError]) -> str:
    said = f"\n## {kind.short}\n\n`{kind.__name__}`: {kind.__doc__}\n\n**Causes.** {kind.cause}\n\n**What to do.** {kind.remedy}\n"
    return re.sub(r"\bdocs/([\w-]+)\.md", r"[\1](\1.md)", said)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
