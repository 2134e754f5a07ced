"""Directions planted in random models of several architectures: two words write an axis into the stream that two answers are read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from ground import tokenizer

from broca.instruments.direction.spec import DirectionTest
from broca.items import Item
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring import Likelihood
from certificate.maps import WORDS
from certificate.parts import Kept, generator
from certificate.planted import ARCHITECTURES, GROUPS, PLAN
from certificate.random_models import Rng, contrast_of, write
from certificate.rows import Row, share
from certificate.studies import Outcome

SIGNS, ANSWERS = ("silver", "window"), (" river", " stone")
"""Words that write the axis, and what is read from it."""
OTHER_SIGNS, OTHER_ANSWERS = ("garden", "candle"), (" lamp", " wheel")
"""Of the other ability, along an axis of its own."""
FILLERS = [
    word for word in WORDS if word not in {*SIGNS, *OTHER_SIGNS} and f" {word}" not in {*ANSWERS, *OTHER_ANSWERS}
]
SIZES = tuple(0.5 * 1.25**step for step in range(20))
"""Of an axis, in norms of a word's embedding: the first at which the intact model answers as often as the plan has it is planted."""
INITIALIZER = 0.04
"""Standard deviation of weights: with larger ones blocks write so much that a random vector of an axis' norm moves answers as the axis does,
and nothing would be planted."""


def _items(rng: Rng, name: str, signs: Sequence[str], answers: Sequence[str], groups: int) -> list[Item]:
    """A sentence that ends in a sign, which says the answer; sentences of a group begin alike."""
    made = []
    for group in range(groups):
        begins = " ".join(rng.choice(FILLERS, 3))
        for i in range(PLAN.items):
            answer, turned = int(rng.integers(2)), int(rng.integers(2))
            text = f"{begins} {rng.choice(FILLERS)} {i} {signs[answer]}"
            made.append(Item(f"{name}{len(made)}", text, tuple(answers[:: -1 if turned else 1]), answer ^ turned, name, f"{name} {group}"))  # fmt: skip
    return made


def _plant(lm: LM, at: torch.Tensor, signs: Sequence[str], answers: Sequence[str], size: float) -> None:
    """Write one word as the middle of both and the axis between two answers' rows of the unembedding, the other as the middle without it."""
    embedding = lm.model.get_input_embeddings().weight
    first, second = (tokenizer()(word).input_ids[1] for word in answers)  # behind the beginning of the text
    read = lm.model.get_output_embeddings().weight
    axis = read[first] - read[second]
    step = size * at.norm(dim=1).mean() * axis / axis.norm()
    tokens = [tokenizer()(f"x {word}").input_ids[-1] for word in signs]
    # Words differ in much else, and a difference of means would be most of that.
    middle = at[tokens].mean(0)
    for token, sign in zip(tokens, (1, -1), strict=True):
        embedding[token] = middle + sign * step


@torch.no_grad()
def build(architecture: str, rng: Rng) -> tuple[LM, list[Item], list[Item]]:
    """The model with two planted axes, and the items of both abilities: twice the recommended groups of the own one, half of which choose."""
    lm = LM.wrap(
        fresh(ARCHITECTURES[architecture] | {"initializer_range": INITIALIZER}, int(rng.integers(1 << 31))),
        tokenizer(),
        name=architecture,
    )
    own = _items(rng, "own", SIGNS, ANSWERS, 2 * GROUPS)
    other = _items(rng, "other", OTHER_SIGNS, OTHER_ANSWERS, GROUPS)
    at = lm.model.get_input_embeddings().weight.clone()
    for items, signs, answers in ((own, SIGNS, ANSWERS), (other, OTHER_SIGNS, OTHER_ANSWERS)):
        for size in SIZES:
            _plant(lm, at, signs, answers, size)
            if Likelihood()(lm, items)["correct"].mean() >= PLAN.intact:
                break
    return lm, own, other


def states(architecture: str, k: int) -> dict[str, str]:
    """What a study of the planted axis finds."""
    rng = generator(f"direction {architecture}", k)
    lm, own, other = build(architecture, rng)
    sides = [[f"{' '.join(rng.choice(FILLERS, 4))} {sign}" for _ in range(40)] for sign in SIGNS]
    with TemporaryDirectory() as name:
        files = [
            write(items, Path(name) / f"{items[0].ability}.jsonl", group=[item.group for item in items])
            for items in (own, other)
        ]
        spec = DirectionTest(
            contrast=contrast_of(*sides), items=files[0], others=(files[1],), n_items=None, doses=(-1.0, -0.5, 0.0, 0.5, 1.0), n_text=4,
            perplexity_limit=1.3, permutations=39, twins=0, dose_draws=0, max_new_tokens=0, n_bootstrap=500, seed=k,
        )  # fmt: skip
        return {rung.name: rung.state for rung in spec.run(lm).verdict.rungs}


def rows(kept: Kept, n: int) -> list[Row]:
    """What is found of planted axes, in each architecture and in all."""
    found = {name: kept(f"planted direction {name}", n, lambda k, name=name: states(name, k)) for name in ARCHITECTURES}
    every = [each for some in found.values() for each in some]
    told = f"a direction, {len(ARCHITECTURES)} architectures, {GROUPS} groups of {PLAN.items}"
    places = [Outcome(each["causal"], each["specific"], 0).place for each in every]
    made = [
        share("planted", told, [each[rung] for each in every], claim=rung, bound=0.8, side="at least")
        for rung in ("selective", "reliable")
    ]
    return [
        *made,
        share("planted", told, places, claim="causal and specific", bound=0.8, side="at least"),
        share("planted", told, places, of="undecided", bound=0.15),
    ]
