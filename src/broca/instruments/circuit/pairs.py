"""Items beside their counterfactuals, token by token, and why some items have none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from broca.errors import StimulusError
from broca.interventions.circuit import Counterfactuals
from broca.interventions.plant import text_key
from broca.items import Item
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.lm import LM
from broca.models.questions import Question
from broca.page.words import count
from broca.scoring import Likelihood
from broca.stimuli.counterfactuals import Counterfactual, exchange, is_kind, own_counterfactual, perturb_item

ENOUGH = 8
"""Pairs, below which nothing is scored."""
SAME = "their answers begin with the same token"
TWICE = "the same text is shown by another"
UNEQUAL = "their counterfactual has another number of tokens"
LACKING = "they have no counterfactual of as many tokens"
NAMED = 3
"""Items that are named among those left out for one reason."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedItems:
    """Some items of one ability, each with its pair; what was left out, by why."""

    items: tuple[Item, ...]
    pairs: tuple[CounterfactualPair, ...]
    shown: Mapping[str, tuple[int, ...]]
    """Counterfactual ids of every text that a scorer shows, by `text_key`."""
    left: Mapping[str, tuple[str, ...]]
    """The items that were left out, by why."""

    @property
    def left_out(self) -> dict[str, int]:
        """How many were, by why."""
        return {why: len(names) for why, names in self.left.items()}

    def warnings(self, ability: str) -> tuple[str, ...]:
        """What was left out, in words."""
        return tuple(
            f"{count(len(names), 'item')} of {ability} left out: {why} ({_some(names)})."
            for why, names in self.left.items()
        )

    def part(self, index: Iterable[Any]) -> PairedItems:
        """Some of them."""
        some = [int(i) for i in index]
        return replace(self, items=tuple(self.items[i] for i in some), pairs=tuple(self.pairs[i] for i in some))


def pair_items(
    lm: LM, items: Sequence[Item], way: str, scorer: Likelihood, seed: int, *, choices: bool = False
) -> PairedItems:
    """The items that have a counterfactual of as many tokens, and answers that differ from the first token on.

    Args:
        lm: the model, whose tokens count.
        items: of one ability.
        way: see `broca.instruments.circuit.spec.Circuit.counterfactual`.
        scorer: how the items are shown.
        seed: of all draws.
        choices: whether the margin is taken over the best of the other choices.

    Raises:
        StimulusError: if fewer than eight are left, saying why.
    """
    # Two items may show the same text: which counterfactual is meant would be open.
    shown = {item.content: item for item in reversed(items)}
    left = {TWICE: [item.id for item in items if shown[item.content] is not item], SAME: [], UNEQUAL: [], LACKING: []}
    asked = scorer.questions(lm, list(shown.values()))
    known = dict(zip((item.id for item in shown.values()), asked, strict=True))
    kept, pairs, texts = [], [], dict[str, tuple[int, ...]]()
    for item in (each for each in items if shown[each.content] is each):
        first = [option[0] for option in known[item.id].options]
        if len(set(first)) < len(item.choices):
            left[SAME].append(item.id)
            continue
        pair, unequal = _pair(lm, item, way, scorer, seed)
        pair = pair or _from_another_item(item, items, known, way, seed)
        if pair is None:
            left[UNEQUAL if unequal else LACKING].append(item.id)
            continue
        kept.append(item)
        pairs.append(replace(pair, others=tuple(first[: item.answer] + first[item.answer + 1 :])) if choices else pair)
        for ids in (pair.clean.ids, known[item.id].shared.ids):
            texts[text_key(ids)] = pair.counterfactual.ids[: len(ids)]
    found = PairedItems(tuple(kept), tuple(pairs), texts, {why: tuple(names) for why, names in left.items() if names})
    if len(pairs) < ENOUGH:
        why = "; ".join(f"{n}: {what}" for what, n in found.left_out.items()) or "there are no more"
        raise StimulusError(
            f"{len(pairs)} of {len(items)} items have a counterfactual whose edges can be patched, and {ENOUGH} are the fewest ({why}). "
            "Give items that bring one of as many tokens (columns counterfactual and counterfactual_answer), or another --counterfactual."
        )
    return found


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def counterfactuals(groups: Sequence[PairedItems]) -> Counterfactuals:
    """Those of all texts."""
    return Counterfactuals({key: ids for group in groups for key, ids in group.shown.items()})


def _candidates(item: Item, way: str, seed: int) -> list[Counterfactual]:
    """What an item's counterfactual may be, the first choice first."""
    if is_kind(way):
        return [found] if (found := perturb_item(item, way, seed)) else []
    made = {"own": own_counterfactual(item), "exchange": exchange(item, seed)}
    return [found for name, found in made.items() if found is not None and way in (name, "auto")]


def _pair(lm: LM, item: Item, way: str, scorer: Likelihood, seed: int) -> tuple[CounterfactualPair | None, bool]:
    """The item beside another text, and whether there was one of another number of tokens."""
    unequal = False
    for other in _candidates(item, way, seed):
        both = (item.choices[item.answer], other.answer)
        if both[0].strip() == both[1].strip():
            continue
        asked = [
            Item(item.id, item.prompt, both, 0),
            Item(item.id, other.text, both, 0),
        ]
        try:
            clean, counter = scorer.questions(lm, asked)
        except StimulusError:
            continue
        unequal |= len(clean.shared) != len(counter.shared)
        if clean.options == counter.options:
            found = _checked_pair(item, clean, counter, clean.options[0][0], clean.options[1][0])
            if found is not None:
                return found, unequal
    return None, unequal


def _checked_pair(item: Item, clean: Question, counter: Question, right: int, wrong: int) -> CounterfactualPair | None:
    try:
        return CounterfactualPair(clean.shared, counter.shared, right, wrong, item.id, item.cluster)
    except StimulusError:
        return None


def _from_another_item(
    item: Item, items: Sequence[Item], known: Mapping[str, Question], way: str, seed: int
) -> CounterfactualPair | None:
    """The item beside another of its ability with as many tokens, whose answer begins otherwise."""
    if way not in ("auto", "other"):
        return None
    own = known[item.id]
    right = own.options[item.answer][0]
    for i in np.random.default_rng([seed, *item.id.encode()]).permutation(len(items)):
        other = items[i]
        theirs = known.get(other.id)
        if theirs is None or len(theirs.shared) != len(own.shared):
            continue
        wrong = theirs.options[other.answer][0]
        found = _checked_pair(item, own, theirs, right, wrong)
        if found is not None:
            return found
    return None
