"""What else differs between the sides of a contrast: length, openings and endings, and columns that were named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from broca.errors import StimulusError
from broca.evidence.maps import Floats
from broca.evidence.verdict import Guard
from broca.items import Contrast, Stimulus
from broca.models.tokens import Tokens
from broca.page.numbers import number, p_value
from broca.stats.mean_tests import welch_from_samples
from broca.stimuli.ends import APART, End, unlike_ends
from broca.stimuli.lengths import LengthMatch, lengths, plain

MARKED = 0.05
"""p from which a difference between the sides is none to speak of."""


def lengths_match(match: LengthMatch) -> Guard:
    """Marks a contrast whose sides differ in length, which any pooled activation can pick up."""
    worst = max(match.measures, key=lambda m: abs(m.t))
    if worst.p < MARKED:
        return Guard(
            "length match",
            "marked",
            f"The sides differ in {worst.measure} ({number(worst.percent, '+.1f')} %, {p_value(worst.p)}), so units that follow the "
            "length of a text can pass for selective ones. Match the sides in length, or regress it out (--lengths).",
        )
    return Guard("length match", "passed", match.sentence)


def ends_match(contrast: Contrast, tokens: tuple[Sequence[Tokens], Sequence[Tokens]], *, cut: bool) -> Guard:
    """Marks a contrast of which one side begins or ends in a way that the other does not.

    Args:
        contrast: the stimuli.
        tokens: of either side, as the model reads them.
        cut: whether the texts were cut, so that what they end with was not read.
    """
    end = unlike_ends(*([text.ids for text in side] for side in tokens))
    told = f"{len(end.parts)} tokens"
    if not cut:
        words = unlike_ends(*([plain(s.text).split() for s in side] for side in (contrast.positive, contrast.negative)))
        if words.apart >= min(APART, end.apart):
            end, told = words, repr(" ".join(map(str, words.parts)))
    return _ends_guard(end, told)


def _ends_guard(end: End, told: str) -> Guard:
    name = "openings and endings"
    whose, others = ("positive", "negative")[:: 1 - 2 * end.side]
    shares = f"{end.own:.0%} of the {whose} stimuli {end.where} with {told}, of the {others} ones {end.other:.0%}"
    if end.apart >= APART:
        text = (
            f"{shares}: units that follow these words can pass for selective ones. Give both sides the same openings and endings, or "
            "leave them out; they cannot be regressed out."
        )
        return Guard(name, "marked", text)
    return Guard(name, "passed", f"No opening or ending tells the sides apart: at most {shares}.")


def columns_match(contrast: Contrast, columns: Sequence[str]) -> tuple[Guard, ...]:
    """Whether the sides differ in the columns that were named; what they do is regressed out."""
    found = []
    for name in columns:
        a, b = ([_tag(contrast, s, name) for s in side] for side in (contrast.positive, contrast.negative))
        numbers = _numbers([*a, *b])
        if numbers is not None:
            p = float(welch_from_samples(numbers[: len(a)], numbers[len(a) :]).p)
            p = p if np.isfinite(p) else 1.0
        else:
            kinds = sorted({*a, *b})
            table = np.array([[side.count(kind) for kind in kinds] for side in (a, b)])
            p = float(stats.chi2_contingency(table).pvalue) if len(kinds) > 1 else 1.0  # type: ignore[attr-defined]
        text = f"The sides {'differ' if p < MARKED else 'do not differ'} in {name} ({p_value(p)}); it is regressed out."
        found.append(Guard(f"confound {name}", "marked" if p < MARKED else "passed", text))
    return tuple(found)


def covariates(
    contrast: Contrast, tokens: tuple[Sequence[Tokens], Sequence[Tokens]], *, length: bool, columns: Sequence[str]
) -> tuple[Floats, Floats] | None:
    """What is regressed out of the stimuli of either side, ``(stimulus, covariate)``: lengths, numbers, and words by class."""
    if not length and not columns:
        return None
    sides = (contrast.positive, contrast.negative)
    parts: list[NDArray[np.float64]] = []
    if length:
        parts.append(np.concatenate([lengths(side, [*map(len, of)]) for side, of in zip(sides, tokens, strict=True)]))
    for name in columns:
        values = [_tag(contrast, s, name) for side in sides for s in side]
        numbers = _numbers(values)
        kinds = sorted(set(values))
        parts.append(
            numbers[:, None] if numbers is not None else np.array([[v == k for k in kinds] for v in values], float)
        )
    table = np.concatenate(parts, axis=1)
    return table[: len(sides[0])], table[len(sides[0]) :]


def refusal(guards: Sequence[Guard], *, length: bool) -> str | None:
    """Why the map may be about something else, where a confound is marked that was not regressed out."""
    asked = {"openings and endings"} | (set() if length else {"length match"})
    return " ".join(guard.text for guard in guards if guard.state == "marked" and guard.name in asked) or None


def _tag(contrast: Contrast, stimulus: Stimulus, name: str) -> str:
    if name not in stimulus.tags:
        known = ", ".join(sorted({tag for s in (*contrast.positive, *contrast.negative) for tag in s.tags})) or "none"
        raise StimulusError(
            f"Stimulus {stimulus.id!r} of {contrast.name!r} has no column {name!r}. Name one that all have, or leave it out of "
            f"confounds. Columns: {known}."
        )
    return stimulus.tags[name]


def _numbers(values: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        found = np.array([float(value) for value in values])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None
