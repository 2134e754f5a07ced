"""Commands as text, to be typed: whole, and quoted for a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

YOURS = "YOUR_ITEMS.csv"
"""Stands for the reader's own items where there are none yet."""
YOUR_CONTRAST = "YOUR_CONTRAST.csv"
"""Stands for the reader's own contrast."""


def flag(name: str) -> str:
    """``--dose-draws`` for ``dose_draws``; ``--from`` for ``from_``, which is a word of Python's without its mark."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def command(name: str, *positional: object, options: Mapping[str, object] | None = None) -> str:
    """``broca NAME POSITIONAL --option value ...``; options that are None or empty are left out."""
    words = ["broca", *name.split(), *map(str, positional)]
    for option, value in (options or {}).items():
        words += _words(flag(option), value)
    return shlex.join(words)


def _words(option: str, value: object) -> list[str]:
    match value:
        case None:
            return []
        case bool():
            return [option if value else option.replace("--", "--no-", 1)]
        case dict():
            texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in value.items()}
            return [word for name, each in texts.items() for word in _words(f"{option}.{name}", each)]
        case list() | tuple():
            several = [str(each) for each in value]
            if not any(each.startswith("-") for each in several):
                return [option, *several] if several else []
            return [f"{option}={each}" for each in several]
        case _:
            text = str(value)
            return [f"{option}={text}"] if text.startswith("-") or not text else [option, text]


_ITEMS = {
    "belief": ("stories/belief", ("stories/photograph", "stories/reality")),
    "beliefs/stories": ("beliefs/false-belief", ("beliefs/photograph", "beliefs/memory")),
    "beliefs/outdated": ("beliefs/false-belief", ("beliefs/photograph", "beliefs/memory")),
}
"""Items that come with broca for what a contrast of ours is about, and others beside them."""


def items_for(contrast: str, *, organism: bool) -> dict[str, object]:
    """Options that name items for what a contrast is about: ours, or the reader's own.

    Args:
        contrast: its name.
        organism: whether the model is a shipped one, which knows only the words of its world.
    """
    items, others = _ITEMS.get("beliefs/stories" if contrast == "belief" and organism else contrast, (YOURS, ()))
    return {"items": items, "others": others}
