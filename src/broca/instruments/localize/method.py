"""The sentences of a localizer's fields that need more than their own value."""

from __future__ import annotations

from typing import Any

from broca.page.words import count, enumeration, finite, grain_word, number
from broca.specs.method import Choices

POOLS = {"last": "its value at the last token", "mean": "its mean over the tokens of the stimulus, padding left out"}
BOS = {"with": "Special tokens before the text counted.", "without": "Special tokens before the text did not count."}
MAGNITUDES = {
    "signed": "Activations were compared with their sign.",
    "abs-of-mean": "The absolute value of each pooled activation was compared.",
    "mean-of-abs": "Absolute activations were pooled and compared.",
}
TESTS = {
    "unit": "Positive and negative stimuli were compared unit by unit with Welch’s t (Welch, 1947).",
    "head": "Positive and negative stimuli were compared head by head with a cross-validated linear-discriminant t.",
    "group": "Positive and negative stimuli were compared key-value group by key-value group with a cross-validated linear-discriminant t.",
}
ALPHA = "p values of the map were adjusted over all that were alive, with the false discovery rate held at {} (Benjamini & Hochberg, 1995)."
SIDES = {
    "top": "with the largest t",
    "bottom": "with the smallest t",
    "both": "with the largest |t|",
    "middle": "in the middle of the ranking",
    "random": "drawn at random",
}


def pooling(pool: str, choices: Choices) -> str:
    """How the tokens of a stimulus became one value."""
    each = "head" if choices.field("grain") == "head" else "unit"
    return f"Each {each} was summarised by {POOLS[pool]}."


def sinks(left_out: int | None, _: Choices) -> str:
    """Which tokens never counted."""
    return f"The first {count(left_out, 'further token')} were left out." if finite(left_out) and left_out else ""


def cut(tokens: int | None, _: Choices) -> str:
    """How long stimuli were."""
    return f"Stimuli were cut to {count(tokens, 'token')}." if finite(tokens) else ""


def arrangements(most: int, _: Choices) -> str:
    """What decided the rung *selective*."""
    return (
        f"Whether the selection is selective was decided by {count(most, 'arrangement')} of the groups of stimuli at most, with the "
        "largest statistic over all places (Westfall & Young, 1993) and the bound on true discoveries that they calibrate "
        "(Blain et al., 2022)."
        if finite(most) and most
        else ""
    )


def further(also: list[str], _: Choices) -> str:
    """Which other stimuli the map was held against."""
    return (
        f"The same was done with other stimuli ({enumeration(list(map(str, also)))}), and the maps compared."
        if also
        else ""
    )


def twins(most: int, _: Choices) -> str:
    """What the map was compared with."""
    return (
        f"The same was done in at most {count(most, 'untrained twin')} of the model (same config, fresh weights), as many as decided, "
        "and in one whose weights were put in random order."
        if finite(most) and most
        else ""
    )


def selection(select: Any, choices: Choices) -> str:
    """What was selected, and from how many."""
    given, found = select if isinstance(select, dict) else {}, choices.result_part("selection")
    unit = grain_word(found.get("grain"))
    size, share = found.get("k", given.get("count")), found.get("percent", given.get("percent"))
    if not finite(size) and not finite(share):
        return ""
    side, within = found.get("side") or given.get("side"), given.get("within")
    whole = count(size, unit) if finite(size) else f"the {unit}s"
    words = [whole + (f" ({number(share)} %)" if finite(share) else ""), SIDES.get(str(side), "")]
    among = {"layer": " within each layer", "model": " over all layers"}.get(str(within), "")
    chosen = " ".join(filter(None, words)) + among
    sentences = [f"{chosen[:1].upper()}{chosen[1:]} {'was' if size == 1 else 'were'} selected."]
    if finite(dead := found.get("n_dead")) and finite(found.get("n_alive")):
        units = count(found.get("n_units"), unit)
        some = f"Of the {units}, {number(dead)} never varied and could not be selected."
        sentences.append(some if dead else f"None of the {units} was dead.")
    if finite(protected := found.get("n_protected")) and protected:
        sentences.append(f"{number(protected)} with massive activations were kept from being selected.")
    return " ".join(sentences)
