"""Values that texts hold, read strictly: JSON, and lists as Python prints them. Nothing is evaluated."""

from __future__ import annotations

import ast
import json
import re
import warnings
from pathlib import Path
from typing import Any, NoReturn

from broca.errors import StimulusError


def is_lines(text: str) -> bool:
    """Whether a text in JSON is several objects, one on each line."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines)


def parse_json(path: Path, text: str, *, first: int = 1) -> object:
    """The value that a JSON text holds, strictly: no field twice, no NaN, no half of a surrogate pair.

    Args:
        path: Where the text is from, for messages.
        text: One JSON value.
        first: The line of the file on which the text begins.

    Raises:
        StimulusError: The text is malformed; the message names the line.
    """

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError("an object has the same field twice")
        return value

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=fields, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is legal JSON and no text at all
    except json.JSONDecodeError as error:
        line = first + error.lineno - 1
        raise StimulusError(
            f"{path.name}, line {line}: malformed JSON ({error.msg} at column {error.colno})."
        ) from error
    except UnicodeEncodeError as error:
        raise StimulusError(f"{path.name}, line {first}: a text holds half of a surrogate pair. Repair it.") from error
    except (ValueError, RecursionError) as error:
        raise StimulusError(f"{path.name}, line {first}: malformed JSON ({error}).") from error
    return value


def literal(text: str) -> object:
    """What a text is in JSON, or, as pandas writes lists to CSV, in Python; None where it is neither. Nothing is evaluated."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    # Two texts without a comma between them are one to Python, and two to whoever printed an array of NumPy.
    return None if isinstance(value, list) and _TOUCHING.search(text) else value


_TOUCHING = re.compile(r"""(?<!\\)(['"])\s+(['"])""")
