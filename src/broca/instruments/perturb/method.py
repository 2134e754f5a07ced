"""The sentences of a perturbation study's fields that need more than their own value."""

from __future__ import annotations

from collections.abc import Sequence

from broca.page.words import count, finite
from broca.specs.method import Choices


def items(name: str, choices: Choices) -> str:
    """What was put to the model."""
    task = choices.result_part("task")
    texts, controls = task.get("texts"), task.get("controls")
    beside = (
        f", and {count(controls, 'valid control')} with the same change in the number of tokens" if controls else ""
    )
    return (
        f"{count(texts, 'text') if finite(texts) else 'Texts'} of {name} were asked clean, and perturbed (the same words edited where a kind "
        f"can){beside}. Conditions are compared by item, wordings are resampled, and p values are Holm-corrected over kinds."
    )


def kinds(names: Sequence[str], _: Choices) -> str:
    """How texts were perturbed, where kinds were named."""
    return f"Kinds of perturbation: {', '.join(map(str, names))}." if names else ""


def cases(most: int, choices: Choices) -> str:
    """Which runs were patched."""
    task = choices.result_part("task")
    if not most or not finite(task.get("used")):
        return ""
    counted = task.get("counted")
    enough = f" ({counted} had lost enough to count)" if finite(counted) else ""
    patched = (
        f"Of {count(task.get('turned'), 'answer')} that turned, {task.get('used')} were patched{enough}: the logit difference is that of the "
        "right answer and of what the model said of the perturbed text, at the first token in which they differ, after what they share."
    )
    spared, agreement = task.get("spared"), task.get("agreement")
    reused = (
        f" Recorded blocks and cached tokens spared {spared:.0%} of the work of whole passes." if finite(spared) else ""
    )
    return f"{patched}{reused}{f' {agreement}' if agreement else ''}"
