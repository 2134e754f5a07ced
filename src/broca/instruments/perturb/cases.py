"""Pairs whose answer turned, made ready to be patched: tokens of both texts, which belong together, and what may come next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.instruments.perturb.stimuli import StudyTexts, Way, source_of
from broca.interventions.patching import Case
from broca.items import Item, Pair, Span
from broca.models.lm import LM
from broca.models.questions import Question
from broca.models.tokens import Chat, Tokens
from broca.scoring.likelihood import Likelihood
from broca.stimuli.alignment import Alignment, align

CLASSES = ("prefix", "edited", "boundary", "suffix", "operands", "answer")
"""Classes of tokens that are patched. The prefix is the same in both runs, so nothing there may have an effect: a check. The
boundary is the token right behind the edited word, where a reader of letters first knows that the word has ended. The suffix is
what stands behind it and is neither operand nor answer; the answer is the last token of the text, with what a chat template puts
behind it and what both answers begin with."""
RANDOM = "random"
"""As many tokens as the edited word has, drawn from the others that both texts have: a control of position."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, eq=False)
class FlippedPair:
    """A pair that was right when clean and wrong when perturbed."""

    pair: Pair
    case: Case
    aligned: Alignment
    right: str
    wrong: str

    @property
    def group(self) -> str:
        return self.pair.cluster


@dataclass(frozen=True, slots=True)
class Left:
    """How many pairs turned, and why some of them are not patched."""

    turned: int
    used: int
    same_start: int
    """The two answers have the same first tokens all the way, or the texts cut them differently."""
    beyond: int
    """More than were asked for."""


def flipped_pairs(
    lm: LM, texts: StudyTexts, answers: pl.DataFrame, *, way: Way, chat: Chat, most: int, seed: int
) -> tuple[tuple[FlippedPair, ...], Left]:
    """The pairs that turned, at most so many, kinds in turn.

    The right answer is that of the data where the model chose it, else what it said of the clean text; the wrong one is what it
    said of the perturbed text.

    Args:
        lm: the model.
        texts: what was shown.
        answers: what was said, `ANSWERS`.
        way: how it was said.
        chat: whether the chat template was used.
        most: cases at most.
        seed: of the choice among more.
    """
    said = {row["id"]: row for row in answers.filter(pl.col("kind") != "control").iter_rows(named=True)}
    broken = [
        pair
        for pair in texts.pairs
        if said[source_of(pair)]["correct"] and not said[pair.id]["correct"] and said[pair.id]["said"]
    ]
    shown = lm.tokenize([pair.perturbed for pair in broken], chat=chat)
    # Two kinds may make the same mistake, or mistakes that the tokenizer takes for the same.
    broken = list({tokens.ids: pair for tokens, pair in zip(shown, broken, strict=True)}.values())
    chosen = _in_turn(broken, most, seed)
    strings = [(said[source_of(pair)]["said"], said[pair.id]["said"]) for pair in chosen]
    clean, perturbed = (
        _questions(lm, chosen, strings, chat=chat, perturbed=side, choices=way == "choices") for side in (False, True)
    )
    made = []
    for pair, both, *questions in zip(chosen, strings, clean, perturbed, strict=True):
        case = _case(pair, *questions, seed=seed)
        if case is not None:
            made.append(FlippedPair(pair, *case, *both))
    return tuple(made), Left(len(broken), len(made), len(chosen) - len(made), len(broken) - len(chosen))


def _in_turn(broken: Sequence[Pair], most: int, seed: int) -> list[Pair]:
    """At most so many pairs, as many of each kind as there are; sources of a kind in random order."""
    order = np.random.default_rng([seed, 5]).permutation(len(broken))
    by_kind: dict[str, list[Pair]] = {}
    for i in order:
        by_kind.setdefault(broken[i].kind, []).append(broken[i])
    rounds = max(map(len, by_kind.values()), default=0)
    found = [some[i] for i in range(rounds) for _, some in sorted(by_kind.items()) if i < len(some)][:most]
    return sorted(found, key=lambda pair: pair.id)


def _questions(
    lm: LM, pairs: Sequence[Pair], strings: Sequence[tuple[str, str]], *, chat: Chat, perturbed: bool, choices: bool
) -> list[Question]:
    items = [
        Item(pair.id, pair.perturbed if perturbed else pair.clean, both, 0)
        for pair, both in zip(pairs, strings, strict=True)
    ]
    return Likelihood(chat=chat, join=None if choices else "").questions(lm, items)


def _case(pair: Pair, clean: Question, perturbed: Question, *, seed: int) -> tuple[Case, Alignment] | None:
    """The case, and its alignment; None where the two answers cannot be told apart by one token."""
    if clean.options != perturbed.options:
        return None
    right, wrong = clean.options
    n = next((i for i, (a, b) in enumerate(zip(right, wrong, strict=False)) if a != b), None)
    if n is None:
        return None
    offsets = [
        offsets_in(pair, question.shared, text) for question, text in ((clean, pair.clean), (perturbed, pair.perturbed))
    ]
    aligned = align(pair, *offsets, operands=operands_of(pair))
    starts = [len(question.shared) for question in (clean, perturbed)]
    asked = tuple((starts[0] + i, starts[1] + i) for i in range(n))
    places = _places(aligned, asked)
    places[RANDOM] = _random(aligned, places, np.random.default_rng([seed, *pair.id.encode()]))
    tokens = [
        replace(question.shared, ids=question.shared.ids + right[:n], offsets=None) for question in (clean, perturbed)
    ]
    case = Case(tokens[1], tokens[0], {name: sides for name, sides in places.items() if all(sides)}, right[n], wrong[n])
    return case, aligned


def offsets_in(pair: Pair, tokens: Tokens, text: str) -> list[Span]:
    """The characters of the text itself that each token covers; a chat template's are none of it."""
    if tokens.offsets is None:
        raise StimulusError("This tokenizer reports no character offsets, so tokens cannot be aligned. Use a fast one.")
    start = tokens.text.find(text)
    if start < 0:
        raise StimulusError(f"Pair {pair.id!r}: the chat template changes the text, so its tokens cannot be aligned.")
    end = start + len(text)
    return [
        (max(a, start) - start, min(b, end) - start) if a < end and start < b else (0, 0) for a, b in tokens.offsets
    ]


def operands_of(pair: Pair) -> list[Span]:
    """The numbers of the clean text."""
    return [found.span() for found in _NUMBER.finditer(pair.clean)]


Sides = tuple[tuple[int, ...], tuple[int, ...]]


def _places(aligned: Alignment, asked: Sequence[tuple[int, int]]) -> dict[str, Sides]:
    """Clean and perturbed positions of every class of tokens; those that both answers begin with belong to the answer."""
    end = aligned.points["edited"][0] if "edited" in aligned.points else None
    behind = next(((i, j) for i, j in aligned.matched if end is not None and i == end + 1), None)
    text = [i for i, own in enumerate(aligned.clean) if own != "special"]
    after = dict.fromkeys(range(text[-1] + 1, len(aligned.clean)), "answer")
    kinds = {"between": "suffix"} | after | ({behind[0]: "boundary"} if behind and behind[0] not in after else {})
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in CLASSES}
    for i, j in aligned.matched:
        own = aligned.clean[i]
        name = kinds.get(i) or kinds.get(own, own)
        if name in found:
            found[name].append((i, j))
    found["answer"] += asked
    return {name: aligned.positions("edited") if name == "edited" else _sides(found[name]) for name in CLASSES}


def _sides(pairs: Sequence[tuple[int, int]]) -> Sides:
    return tuple(i for i, _ in pairs), tuple(j for _, j in pairs)


def _random(aligned: Alignment, places: Mapping[str, Sides], draw: np.random.Generator) -> Sides:
    """Tokens that both have, as many as the edited word has in the perturbed text; those behind it, where there are enough."""
    wanted = max(1, min(map(len, places["edited"])))
    taken = set(places["boundary"][0])
    behind = [
        (i, j) for i, j in aligned.matched if aligned.clean[i] in ("between", "suffix", "operands") and i not in taken
    ]
    before = [(i, j) for i, j in aligned.matched if aligned.clean[i] == "prefix"]
    pool = behind if len(behind) >= wanted else [*behind, *before]
    picked = draw.permutation(len(pool))[:wanted]
    return _sides(sorted(pool[i] for i in picked))


def table(cases: Sequence[FlippedPair]) -> pl.DataFrame:
    """One row a case: what turned, and how many of its tokens are matched."""
    rows = [
        {"id": one.pair.id, "kind": one.pair.kind, "group": one.group, "clean": one.pair.clean, "perturbed": one.pair.perturbed,
         "right": one.right, "wrong": one.wrong, "coverage": one.aligned.coverage, "tokens_clean": len(one.aligned.clean),
         "tokens_perturbed": len(one.aligned.perturbed)}
        for one in cases
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=CASES)


CASES = {"id": pl.String, "kind": pl.String, "group": pl.String, "clean": pl.String, "perturbed": pl.String, "right": pl.String,
         "wrong": pl.String, "coverage": pl.Float64, "tokens_clean": pl.Int64, "tokens_perturbed": pl.Int64}  # fmt: skip
