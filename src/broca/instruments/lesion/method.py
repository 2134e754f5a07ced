"""The sentences of a causal test's fields that need more than their own value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broca.page.words import as_text, count, enumeration, finite, grain_word, number
from broca.specs.method import Choices

FILLS = {
    "zero": "zero",
    "mean": "its mean over other stimuli",
    "noise": "Gaussian noise with its mean and spread",
    "resample": "its value on another stimulus",
}


def _many(choices: Choices) -> str:
    """What was lesioned, in the plural."""
    return f"{grain_word(choices.result_part('selection').get('grain'))}s"


def fills(names: Sequence[str], _: Choices) -> str:
    """What lesioned units were held at."""
    return f"What was lesioned was held at {enumeration([FILLS[name] for name in names])}." if names else ""


def sides(names: Sequence[str], choices: Choices) -> str:
    """Which ends of the ranking were lesioned."""
    ranked = names and choices.field("localizer") is not None
    return f"Lesioned were the ends of the ranking called {enumeration(list(map(str, names)))}." if ranked else ""


def percent(share: float, choices: Choices) -> str:
    """How much was lesioned."""
    if choices.field("localizer") is None:
        return ""
    doses = choices.field("doses")
    more = f", and besides {as_text(doses)} %" if doses else ""
    return f"The claim is about {as_text(share)} % of the {_many(choices)}{more}."


def sizes(times: Sequence[float], choices: Choices) -> str:
    """Which other sizes were lesioned."""
    if not times or choices.field("localizer") is None:
        return ""
    words = enumeration([f"{number(size)} times" for size in times])
    return f"Selections of {words} that size were lesioned too, where they differ in number."


def draws(most: int, choices: Choices) -> str:
    """What the lesion was compared with."""
    if not most:
        return ""
    match, doses = choices.field("match"), choices.field("doses")
    alike = f", matched on {enumeration(list(map(str, match)))}" if match else ""
    rest = ", drawn from those that were not selected" if choices.field("among") == "rest" else ""
    fewer = choices.field("dose_draws")
    also = f" ({number(fewer)} at each further dose)" if finite(fewer) and doses else ""
    return (
        f"The lesion was compared with at most {count(most, 'random draw')}{also} of as many {_many(choices)}{alike}{rest}, each another choice; "
        "they ended when the rank of the lesion among all of them was plain, and where too few choices match, the match was loosened as "
        "the rung says. The empirical p counts the observed effect among the draws (Phipson & Smyth, 2010)."
    )


def others(names: Sequence[str], _: Choices) -> str:
    """What else was scored."""
    return f"Beside it stood {enumeration(list(map(str, names)))}." if names else ""


def pilot(names: Sequence[str], _: Choices) -> str:
    """What tested nothing."""
    return f"What shares a group or a text with {enumeration(list(map(str, names)))} was left out." if names else ""


def n_items(most: int | None, _: Choices) -> str:
    """How many items were scored."""
    return f"At most {number(most)} items of each were scored." if most else ""


def scorer(how: Any, _: Choices) -> str:
    """How answers were judged."""
    kind = how.get("kind") if isinstance(how, dict) else how
    return f"Answers were scored by {as_text(kind)}." if kind else ""


def bootstrap(samples: int, _: Choices) -> str:
    """How the loss was tested, and its interval made."""
    return (
        "The loss was tested by flipping signs of groups of items (Fisher, 1935), positions and answers weighed equally, and against other "
        "abilities as the share lost of what each had above chance and in log-odds, groups shuffled. Beside that stand cells that are paired "
        "by item (their p by the same flips), with 95 % intervals from "
        f"{count(samples, 'bootstrap sample')}. The intact model had to answer more items than chance and than each shortcut would."
    )
