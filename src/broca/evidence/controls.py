"""Controls within the own ability: answers that collapse, halves that would be called two abilities, words that others share."""

from __future__ import annotations

from broca.evidence.ability_scores import AbilityScores
from broca.stats.collapse import collapse as collapse_of
from broca.stats.halves import halves
from broca.stats.specificity import specificity_test


def shares_answers(own: AbilityScores, other: AbilityScores) -> bool:
    """Whether at least half of the other ability's items are answered with words that answer the own ones."""
    words = set(own.classes)
    return 2 * sum(word in words for word in other.classes) >= len(other.classes)


def collapse(own: AbilityScores, *, alpha: float) -> str | None:
    """Why a lesion whose answers all fall on one option or position is no loss of an ability; None where they do not."""
    said = own.predicted.tolist()
    words = [None if at < 0 else item.choices[at].strip() for item, at in zip(own.items, said, strict=True)]
    places = [None if at < 0 else at for at in said]
    for what, given, right in (("option", words, own.classes), ("position", places, own.positions)):
        found = collapse_of(given, right, groups=own.groups, alpha=alpha)
        if found.collapsed:
            value = "none that can be read" if found.value is None else f"one {what}"
            return (
                f"Under the lesion {found.given:.0%} of the answers are {value}, right for {found.right:.0%}: it collapses answers, "
                "whatever the ability."
            )
    return None


def negative_control(own: AbilityScores, *, smallest_share: float, alpha: float, seed: int) -> str | None:
    """Which half of the own ability would be called an ability of its own; None where none would.

    The halves are those of slim and wide intact margin, of the answers, and of their positions. These ways to part it together err at
    `alpha`: each is given an equal share (Bonferroni).
    """
    parted = halves(own.intact_margin, {"answer": own.classes, "position": own.positions}, own.groups)
    level = alpha / max(1, len(parted))
    for what, first in parted.items():
        a, b = own.part(first), own.part(~first)
        for one, two in ((a, b), (b, a)):
            found = specificity_test(one, two, smallest_share=smallest_share, alpha=level, seed=seed)
            if found.state == "passed":
                return f"Negative control: the lesion would be specific to one half of {own.name} itself, parted by {what}."
    return None
