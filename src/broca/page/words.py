"""Numbers and texts as a reader sees them: true minus signs, honest dashes, and no character that hides.

Prompts and model outputs come from anywhere. `visible` shows what would otherwise act on a page (control characters, marks that
turn the direction of writing, lone surrogates); the escaping of whoever shows a text does the rest.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

DASH = "–"
"""What stands where there is no number."""


def finite(value: object) -> bool:
    """Whether `value` is a number that can be shown."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    """Three significant digits; whole numbers whole, with thousands apart; a dash for None and NaN."""
    if not finite(value):
        return DASH
    if float(value).is_integer() and abs(value) < 1e15:
        return _minus(f"{int(value):,}")
    # Never an exponent for what can be read without one.
    return _minus(f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}")


def tenths(value: Any) -> str:
    """One decimal, for numbers in a grid."""
    return _minus(f"{round(value, 1) or 0.0:.1f}") if finite(value) else DASH


def column(value: Any, digits: int = 3) -> str:
    """As many digits as its neighbours in a column: 2.20 beside 2.12."""
    if not finite(value) or abs(value) >= 10**digits:
        return number(value, digits)
    return _minus(f"{value:#.{digits}g}".rstrip("."))


def percent(value: Any) -> str:
    """A share of 1 as a percentage with one decimal."""
    return f"{100 * value:.1f} %" if finite(value) else DASH


def points(value: Any) -> str:
    """A difference of shares in percentage points, with its sign and one decimal."""
    if not finite(value):
        return DASH
    rounded = round(100 * value, 1)
    return _minus(f"{rounded:+.1f}") if rounded else "0.0"


def p_value(value: Any) -> str:
    """``p = 0.021``, ``p < 0.001``; empty without one."""
    if not finite(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def grain_word(grain: object) -> str:
    """One of what was selected, by the grain of the selection: a unit where nothing else is known."""
    return {"head": "head", "group": "key-value group", "weight": "weight", "feature": "feature"}.get(
        str(grain), "unit"
    )


def count(n: Any, one: str, many: str = "") -> str:
    """``1 unit``, ``1,024 units``."""
    return f"{number(n)} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``8 s``, ``4 minutes``, ``2.5 hours``: rounded, as one tells a time to come."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def two_digits(n: float) -> str:
    """A large number in two digits: ``940``, ``38,000``, ``1.2 M``, ``340 M``."""
    if n >= 9.95e5:
        return f"{n / 1e6:.1f} M" if n < 9.95e6 else f"{float(f'{n / 1e6:.2g}'):,.0f} M"
    return f"{float(f'{n:.2g}'):,.0f}" if n >= 1000 else f"{n:.0f}"


def enumeration(values: Sequence[str]) -> str:
    """``a, b and c``."""
    return values[0] if len(values) == 1 else ", ".join(values[:-1]) + (" and " + values[-1] if values else "")


def as_text(value: Any) -> str:
    """Any plain value in one line."""
    if value is None or (isinstance(value, str | Mapping | Sequence) and not value):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value, 4)
    if isinstance(value, str) and not value.strip():
        return repr(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items())
    return ", ".join(map(as_text, value)) if isinstance(value, list | tuple) else str(value)


def leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a nested mapping with its dotted name; lists stay whole."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from leaves(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _minus(text: str) -> str:
    return text.replace("-", "−")


FORMS: Mapping[str, Callable[[Any], str]] = {
    "number": number,
    "column": column,
    "column2": lambda value: column(value, 2),
    "percent": percent,
    "points": points,
    "tenths": tenths,
    "p": p_value,
}
"""How a number is written, by name."""


def cell_text(value: Any, form: str = "number") -> str:
    """What stands in a cell: texts as they are, numbers in their form."""
    if isinstance(value, str):
        return value
    return as_text(value) if isinstance(value, bool | list | tuple | Mapping) else FORMS[form](value)


_KEPT = "\n\t"


def visible(text: str) -> str:
    """`text` with each control, direction and unpaired character written out, as in ⟨U+202E⟩."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c in _KEPT or not _hides(c) else f"⟨U+{ord(c):04X}⟩" for c in text)


def _hides(character: str) -> bool:
    # Cc control, Cf format (direction marks, zero width), Cs surrogate, Zl and Zp line and paragraph separators,
    # Cn unassigned (non-characters among them). Joiners inside emoji and Indic words are wanted.
    return character not in "\u200c\u200d" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}
