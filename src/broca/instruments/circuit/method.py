"""The sentences of a circuit's fields that need more than their own value."""

from __future__ import annotations

from broca.page.words import count, number
from broca.specs.method import Choices

METHODS = {
    "eap": "the gradient of the margin at the text times what the counterfactual changes (edge attribution patching; Syed et al., 2023)",
    "eap-ig": "the mean of that gradient at {steps} along the inputs (EAP-IG; Hanna et al., 2024)",
    "ig-activations": "the mean of that gradient at {steps} along what each layer writes (Marks et al., 2024)",
    "exact": "the margin that one run without it loses",
}


def counterfactual(way: str, _: Choices) -> str:
    """What a patched edge carried."""
    ways = {
        "auto": "a text with another right answer",
        "own": "the item's own counterfactual",
        "exchange": "the text with both choices exchanged",
        "other": "another item of as many tokens",
    }
    return f"A patched edge carried what it carries in the run of {ways.get(way, f'the text perturbed ({way})')}."


def method(how: str, choices: Choices) -> str:
    """How edges were scored."""
    steps = ""
    if how in ("eap-ig", "ig-activations"):
        steps = f"{count(choices.field('steps'), 'point')} ({choices.field('rule')} rule)"
    again = choices.field("rescore")
    more = f"; the {count(again, 'highest edge')} were scored again by one run each" if again else ""
    return f"Each edge was scored by {METHODS[how].format(steps=steps)}{more}."


def ranking(by: str, choices: Choices) -> str:
    """Which edges the circuit has."""
    edges, percent, share = (choices.field(name) for name in ("edges", "percent", "faithful"))
    if edges is not None:
        size = number(edges)
    elif percent is not None:
        size = f"{number(percent)} % of all"
    else:
        size = f"so many as the smallest of the published sizes that alone keeps {share:.0%} of the margin in the items that choose"
    scores = "sizes of score" if by == "absolute" else "scores, of those that support the answer"
    return f"The circuit is made of the edges with the highest {scores}: {size}."


def draws(most: int, _: Choices) -> str:
    """What the circuit was compared with."""
    words = (
        f"It was compared with at most {count(most, 'random circuit')} of its size and layers, which ended when its rank was plain "
        "(Phipson & Smyth, 2010)."
    )
    return words if most else ""
