"""Guards: checks that run by themselves, so that a number that means nothing is never reported as if it did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl
import torch
from scipy.stats import binomtest

from broca.errors import GuardError
from broca.evidence.verdict import Guard
from broca.interventions.lesion import Keep, Lesion
from broca.interventions.steer import Steer
from broca.interventions.weights import WeightMask
from broca.items import Item
from broca.models.force import Intervention
from broca.models.limits import pads, shift, tolerance
from broca.models.lm import LM
from broca.models.tokens import SIDES, Side, Tokens
from broca.models.weight_hashes import weight_hash
from broca.page.numbers import p_value
from broca.scoring import Likelihood, Permuted
from broca.scoring.likelihood import Join
from broca.stimuli.blind_rules import baselines, mention_index
from broca.units import UnitMask


def probe(lm: LM, items: Sequence[Item], chat: str) -> list[Tokens]:
    """A few prompts of different lengths."""
    step = max(1, len(items) // 8)
    tokens = lm.tokenize([item.content for item in items[::step][:8]], chat=chat)  # type: ignore[arg-type]
    # Pictures of other shapes make another batch.
    return [one for one in tokens if one.key == tokens[0].key]


def identity(lm: LM, mask: UnitMask, tokens: Sequence[Tokens]) -> Guard:
    """Holding every selected unit at its own value must change no bit.

    Raises:
        GuardError: if it does: then the hooks themselves alter the model.
    """
    before = lm.all_logits(tokens)
    with lm.under(Lesion(mask, Keep())):
        kept = lm.all_logits(tokens)
    after = lm.all_logits(tokens)
    if not torch.equal(before, kept) or not torch.equal(before, after):
        raise GuardError(
            "Holding the selected units at their own values changed the logits, so the lesion would measure the hook. "
            "Is the model deterministic? Report this model's class."
        )
    return Guard(
        "identity", "passed", "Holding the units at their own values changes no bit, and nothing stays behind."
    )


def restoration(lm: LM, mask: WeightMask, tokens: Sequence[Tokens]) -> Guard:
    """Masking weights and restoring them must leave every bit as it was.

    Raises:
        GuardError: if it does not.
    """
    before, hashed = lm.all_logits(tokens), weight_hash(lm.model)
    with lm.under(mask):
        lm.all_logits(tokens)
    if weight_hash(lm.model) != hashed or not torch.equal(before, lm.all_logits(tokens)):
        raise GuardError(
            "Weights, or logits, are not what they were before a mask was in force. Report this model's class."
        )
    return Guard(
        "identity", "passed", "After the mask every weight, and every logit of the probes, is bit for bit what it was."
    )


def no_steering(lm: LM, steer: Steer, tokens: Sequence[Tokens]) -> Guard:
    """Steering at dose 0 must change no bit, and at its own dose leave nothing behind.

    Raises:
        GuardError: if it does: then the hooks themselves alter the model.
    """
    before = lm.all_logits(tokens)
    with lm.under(steer.at_dose(0.0)):
        kept = lm.all_logits(tokens)
    with lm.under(steer):
        lm.all_logits(tokens)
    if not torch.equal(before, kept) or not torch.equal(before, lm.all_logits(tokens)):
        raise GuardError(
            "Steering at dose 0, or having steered, changes the logits, so a dose would measure the hook. Is the model deterministic? "
            "Report this model's class."
        )
    return Guard("identity", "passed", "Dose 0 changes no bit, and nothing stays behind.")


def effect(lm: LM, change: Intervention, tokens: Sequence[Tokens]) -> Guard:
    """An intervention that changes no logit is a no-op, and is reported as one."""
    before = lm.all_logits(tokens)
    with lm.under(change):
        difference = float((lm.all_logits(tokens) - before).abs().max())
    if difference == 0:
        return Guard("effect", "marked", "The intervention changes no logit at all: it is a no-op on these prompts.")
    return Guard("effect", "passed", f"The intervention changes next-token logits (by up to {difference:.2g}).")


def padding(lm: LM) -> Guard:
    """A text's logits must not depend on its neighbours in the batch: where they do, only texts of one length share one."""
    bad: list[Side] = [side for side in SIDES if not pads(lm, side)]
    text = f"Batching moves no logit by more than {tolerance(lm.dtype):g}, on either padding side."
    if bad:
        text = (
            f"Padding on the {' and the '.join(bad)} would move this model's logits by up to {max(shift(lm, side) for side in bad):.2g}, "
            "so only texts of one length share a batch."
        )
    return Guard("padding", "passed", text)


OPENING = "Use another prompt format (--chat, --shots), an easier level (--options.level easy) or other items"
"""What may open a closed gate."""


def gate(rows: pl.DataFrame, items: Sequence[Item], ability: str, *, alpha: float, stop: bool) -> Guard:
    """The intact model must have the ability that is to be localized: accuracy above chance, one-sided binomial.

    Raises:
        GuardError: if it has not, and `stop`.
    """
    correct = int(rows["correct"].sum())
    chance = sum(1 / len(item.choices) for item in items) / len(items)
    p = float(binomtest(correct, len(rows), min(chance, 1.0), alternative="greater").pvalue) if chance < 1 else 0.0
    items_of = f"{len(rows)} {ability} item{'s' if len(rows) > 1 else ''}"
    text = f"The intact model answers {correct / len(rows):.1%} of {items_of} (chance {chance:.1%}, {p_value(p)})"
    if p <= alpha:
        return Guard("gate", "passed", f"{text}.")
    few = too_few(len(rows), chance, alpha)
    text += f". {few}" if few else ": it does not have the ability, so there is nothing to localize."
    if stop:
        raise GuardError(
            f"{text} {OPENING}: broca score MODEL --all lists the abilities that a model has. gate='mark' goes on regardless."
        )
    return Guard("gate", "marked", text)


def too_few(n: int, chance: float, alpha: float) -> str:
    """That n items cannot show an ability, though all of them were answered, and how many could; nothing where n could."""
    if not 0 < chance < 1 or chance**n <= alpha:
        return ""
    enough = math.ceil(math.log(alpha) / math.log(chance))
    return f"So few cannot tell whether it has the ability: {enough} are the least that can."


def shortcut(rows: pl.DataFrame, abilities: Mapping[str, Sequence[Item]], *, alpha: float) -> Guard:
    """The intact model must answer more items than each shortcut does: one-sided binomial, the shortcut's share given.

    Shortcuts that say the same to everything are held against the own ability. Those that read the order of mentions are
    held against every item that mentions an option, of the other abilities too: a model that takes the first option
    mentioned gets all false beliefs right, and then it gets what was seen last wrong.

    Args:
        rows: of the intact model.
        abilities: the items of each ability, the own one first.
        alpha: level of the test.
    """
    own, correct = next(iter(abilities)), dict(zip(rows["ability"] + "/" + rows["id"], rows["correct"], strict=True))
    said = baselines(abilities[own]).filter(pl.col("baseline").str.starts_with("majority"))
    mine = [correct[f"{own}/{item.id}"] for item in abilities[own]]
    found = [(name, share, mine) for name, share in said.select("baseline", "accuracy").iter_rows()]
    every = [(item, correct[f"{ability}/{item.id}"]) for ability, items in abilities.items() for item in items]
    for name, last in (("first-mentioned", False), ("last-mentioned", True)):
        picks = [
            (pick == item.answer, right)
            for item, right in every
            if (pick := mention_index(item, last=last)) is not None
        ]
        if picks:
            found.append((name, sum(hit for hit, _ in picks) / len(picks), [right for _, right in picks]))
    tests = [
        (float(binomtest(sum(right), len(right), min(share, 1.0), alternative="greater").pvalue), name, share, right)
        for name, share, right in found
    ]
    p, name, share, right = max(tests, key=lambda test: test[0])
    text = (
        f"The closest shortcut ({name}) scores {share:.1%} of {len(right)} items, the intact model {sum(right) / len(right):.1%} "
        f"({p_value(p)})"
    )
    if p <= alpha:
        return Guard("shortcut", "passed", f"{text}.")
    return Guard(
        "shortcut",
        "marked",
        f"{text}: these items do not tell the ability from the shortcut. Add items on which {name} fails, or more of them.",
    )


_JOINS: Mapping[Join, str] = {
    "space": "with a space",
    "nothing": "with nothing",
    "own": "with white space of their own",
    "template": "by the chat template",
    "given": "with what was given",
}


def joins(lm: LM, items: Sequence[Item], scorer: object) -> tuple[Guard, ...]:
    """How choices were joined to their prompts, where choices are what is scored: what stands there moves every score.

    Choices of one item that follow white space and others that do not are read as words and as parts of words.
    """
    asking = scorer.scorer if isinstance(scorer, Permuted) else scorer
    if not isinstance(asking, Likelihood):
        return ()
    found = asking.joins(lm, items)
    count = Counter(join for own in found for join in own)
    told = ", ".join(
        f"{how} {count[join]}" for join, how in _JOINS.items() if count[join] or join in ("space", "nothing")
    )
    text = f"Choices joined to their prompts {told}."
    mixed = sum("nothing" in own and len(set(own)) > 1 for own in found)
    if not mixed:
        return (Guard("join", "passed", text),)
    text += f" Of {mixed} items some choices stand behind white space and others do not, so they are not on a par. Give a join."
    return (Guard("join", "marked", text),)
