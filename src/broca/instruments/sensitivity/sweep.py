"""The fractions that a sensitivity study masks, read from a text."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import numpy as np

from broca.errors import SpecError

MOST_FRACTIONS = 10_000
"""In a sweep: each is a mask that is scored."""


def swept(text: str, *, published: bool = False) -> tuple[float, ...]:
    """The fractions of ``start:stop:step``, stop included.

    Args:
        text: three numbers, or numbers with commas between.
        published: as `numpy.arange(start, stop + step, step)` has them: one more than meant, some with rounding noise.

    Raises:
        SpecError: if the text is of another form, or a fraction is not from 0 to 1.
    """
    parts = text.split(":") if ":" in text else text.split(",")
    try:
        numbers = [Decimal(part.strip()) for part in parts]
    except InvalidOperation as error:
        raise SpecError(
            f"{text!r} is no sweep. Write START:STOP:STEP, such as 0:5e-5:2e-6, or numbers with commas."
        ) from error
    if not all(number.is_finite() for number in numbers):
        raise SpecError(f"{text!r} is no sweep: fractions are numbers from 0 to 1.")
    if ":" in text:
        if len(numbers) != 3 or numbers[2] <= 0 or numbers[1] < numbers[0]:
            raise SpecError(f"{text!r} is no sweep. Write START:STOP:STEP with a step above 0: 0:5e-5:2e-6.")
        start, stop, step = numbers
        if (stop - start) / step > MOST_FRACTIONS:
            raise SpecError(f"{text!r} has more than {MOST_FRACTIONS:,} fractions. Give a larger step.")
        if published:
            found = [float(m) for m in np.arange(float(start), float(stop) + float(step), float(step))]
        else:
            found = [float(start + i * step) for i in range(int((stop - start) / step) + 1)]
    else:
        found = [float(number) for number in numbers]
    if not all(0 <= m <= 1 for m in found):
        raise SpecError(f"{text!r} has fractions outside of 0 to 1. 1e-5 is a thousandth of a percent of the weights.")
    return tuple(found)
