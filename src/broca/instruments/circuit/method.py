"""The sentences of a circuit's fields that need more than their own value."""

from __future__ import annotations

from collections.abc import Sequence

from broca.page.words import count, number
from broca.specs.method import Choices

METHODS = {
    "eap": "the gradient of the margin at the text times what the counterfactual changes (edge attribution patching; Syed et al., 2023)",
    "eap-ig": "the mean of that gradient at {steps} along the inputs (EAP-IG; Hanna et al., 2024)",
    "ig-activations": "the mean of that gradient at {steps} along what each layer writes (Marks et al., 2024)",
    "exact": "the margin that one run without it loses",
}


def items(name: str, choices: Choices) -> str:
    """On what edges were scored, and on what tested."""
    pairs = choices.result_part("pairs")
    if not pairs:
        return ""
    words = (
        f"{count(pairs['chose'], 'pair')} of {name} chose the circuit, and {number(pairs['tested'])}, of which no group is among those, "
        "tested it."
    )
    left = sum(n for each in pairs.get("left_out", {}).values() for n in each.values())
    return (
        f"{words} {count(left, 'item')} had no counterfactual of as many tokens, or none that answers tell apart."
        if left
        else words
    )


def margin(over: str, choices: Choices) -> str:
    """What was measured, of how many edges, and what that was."""
    against = (
        "that of the counterfactual's" if over == "counterfactual" else "the largest of those of the other choices"
    )
    words = f"The margin is the logit of the right answer's first token minus {against}"
    pairs, graph = choices.result_part("pairs"), choices.result_part("graph")
    if not pairs:
        return f"{words}."
    words += f": {pairs['margin']:.2f} in the model, {pairs['margin_patched']:.2f} with all {number(pairs['edges'])} edges patched."
    if graph.get("groups") != graph.get("heads"):
        words += " Heads that share a key and a value read them through one edge, not one a head as in MIB."
    if graph.get("norm_behind_heads"):
        words += " Behind the norms that follow its heads, each head's share is what the norm's scale in that run makes of it."
    return words


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
    scores = "sizes of score" if by == "absolute" else "scores as signed, those that support the answer first"
    return f"The circuit is made of the edges with the highest {scores}: {size}."


def paths(names: Sequence[str], choices: Choices) -> str:
    """How paths were patched."""
    if not names:
        return ""
    between = {"nothing": "nothing", "mlps": "MLPs alone"}[choices.field("through") or "nothing"]
    return (
        f"{count(len(names), 'path')} {'was' if len(names) == 1 else 'were'} patched by {'itself' if len(names) == 1 else 'themselves'} in the pairs "
        f"that test, with every part beside them as in the text's own run (Wang et al., 2023); {between} between their steps carried on what was heard."
    )


def draws(most: int, _: Choices) -> str:
    """What the circuit was compared with."""
    words = (
        f"It was compared with at most {count(most, 'random circuit')} of its size and layers, which ended when its rank was plain "
        "(Phipson & Smyth, 2010)."
    )
    return words if most else ""
