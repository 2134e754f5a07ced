"""Numbers within sentences: what is not defined is said to be so, and never printed as ``nan``."""

from __future__ import annotations

import math

UNDEFINED = "undefined"
NO_INTERVAL = "(no interval: fewer than two groups)"
"""What stands for limits that resampling groups cannot give."""


def is_known(value: float | None) -> bool:
    """Whether there is such a number: it is neither None nor NaN."""
    return value is not None and not math.isnan(value)


def number(value: float | None, form: str = ".2f") -> str:
    """A number in some format, such as ``.2f``, ``+.1f`` or ``.0%``, with a minus sign where it is negative."""
    if value is None or math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = format(value, form)
    return f"−{text[1:]}" if text.startswith("-") else text


def limits(low: float | None, high: float | None, form: str = ".2f") -> str:
    """An interval: ``[0.10, 0.25]``, or why there is none."""
    if not is_known(low) or not is_known(high):
        return NO_INTERVAL
    return f"[{number(low, form)}, {number(high, form)}]"


def p_value(p: float | None) -> str:
    """``p = 0.021``."""
    return f"p = {p:.2g}" if p is not None and not math.isnan(p) else f"p is {UNDEFINED}"
