"""How well the two sides of a contrast are matched in length.

A localizer that pools over tokens finds length wherever the sides differ in it: a coordinate that is large at the
first token alone contributes c / n_tokens. So every report states the match.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from broca.items import Contrast, Stimulus, Text
from broca.page.numbers import number, p_value


@dataclass(frozen=True, slots=True)
class LengthDifference:
    """One measure of length on both sides of a contrast."""

    measure: str
    """``characters``, ``words`` or ``tokens``."""
    positive: float
    """Mean length of the positive stimuli."""
    negative: float
    """Mean length of the negative stimuli."""
    percent: float
    """(positive - negative) / negative, in percent."""
    t: float
    """Welch's t, positive minus negative; infinite where neither side varies and the means differ."""
    p: float
    """Two-sided, with Welch-Satterthwaite degrees of freedom."""
    d: float
    """Cohen's d with the root mean of the two variances; infinite where t is."""


@dataclass(frozen=True, slots=True)
class LengthMatch:
    """The length match of a contrast, by measure."""

    contrast: str
    measures: tuple[LengthDifference, ...]

    def __getitem__(self, measure: str) -> LengthDifference:
        return next(m for m in self.measures if m.measure == measure)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per measure."""
        return pl.DataFrame([asdict(m) for m in self.measures])

    @property
    def sentence(self) -> str:
        """The match in words, for a method section."""
        parts = [
            f"{m.positive:.1f} against {m.negative:.1f} {m.measure} ({number(m.percent, '+.1f')} %, d = {number(m.d, '+.2f')}, {p_value(m.p)})"
            for m in self.measures
        ]
        return f"Mean length of positive against negative stimuli: {'; '.join(parts)}."


def length_match(contrast: Contrast, tokens: Callable[[str], int] | Sequence[int] | None = None) -> LengthMatch:
    """Compare the lengths of the two sides of a contrast.

    Args:
        contrast: The stimuli; of a chat, the contents of all messages count.
        tokens: Gives the number of tokens of one text, e.g. ``lambda text: len(tokenizer(text).input_ids)``; or how many there
            are of each stimulus, positive ones first.

    Returns:
        The match in characters, in words (split at white space) and, where asked for, in tokens.
    """
    measures: dict[str, Callable[[str], int]] = {"characters": len, "words": lambda text: len(text.split())}
    if callable(tokens):
        measures["tokens"] = tokens
    sides = [[plain(stimulus.text) for stimulus in side] for side in (contrast.positive, contrast.negative)]
    found = [
        _difference(name, *([measure(text) for text in side] for side in sides)) for name, measure in measures.items()
    ]
    if tokens is not None and not callable(tokens):
        found.append(_difference("tokens", tokens[: len(sides[0])], tokens[len(sides[0]) :]))
    return LengthMatch(contrast.name, tuple(found))


def lengths(stimuli: Sequence[Stimulus], tokens: Sequence[int]) -> NDArray[np.float64]:
    """Characters, words and tokens of each stimulus, ``(stimulus, 3)``; tokens are given."""
    texts = [plain(stimulus.text) for stimulus in stimuli]
    table = [(len(text), len(text.split()), n) for text, n in zip(texts, tokens, strict=True)]
    return np.array(table, np.float64)


def plain(text: Text) -> str:
    """A prompt as one string; of a chat, the contents of its messages, one to a line."""
    return text if isinstance(text, str) else "\n".join(message.content for message in text)


def _difference(measure: str, positive: Sequence[int], negative: Sequence[int]) -> LengthDifference:
    """Welch (1947), with Satterthwaite's degrees of freedom; by hand, because lengths may be constant."""
    x, y = np.asarray(positive, dtype=float), np.asarray(negative, dtype=float)
    gap = float(x.mean() - y.mean())
    a, b = float(x.var(ddof=1)) / x.size, float(y.var(ddof=1)) / y.size
    if a + b == 0:
        t = d = math.copysign(math.inf, gap) if gap else 0.0
        p = 0.0 if gap else 1.0
    else:
        t = gap / math.sqrt(a + b)
        freedom = (a + b) ** 2 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))
        p = float(2 * special.stdtr(freedom, -abs(t)))
        d = gap / math.sqrt((a * x.size + b * y.size) / 2)
    mean = float(y.mean())
    percent = 100 * gap / mean if mean else (math.copysign(math.inf, gap) if gap else 0.0)
    return LengthDifference(measure, float(x.mean()), mean, percent, t, p, d)
