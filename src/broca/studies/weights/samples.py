"""What weights are scored by: questions with their answers, texts, and windows of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broca.capture.objectives import Asked, ObjectiveName, text, without_bos
from broca.errors import StimulusError
from broca.items import Item, Stimulus
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.scoring import Likelihood
from broca.scoring.perplexity import Windows
from broca.stimuli.texts import texts
from broca.stimuli.wu2025 import cut

if TYPE_CHECKING:
    from broca.studies.sensitivity import Sensitivity


@dataclass(frozen=True, slots=True)
class Samples:
    """A set of samples, what is differentiated on them, and what they are called."""

    name: str
    asked: tuple[Asked, ...]
    objective: ObjectiveName


def of_items(spec: Sensitivity, lm: LM, items: Sequence[Item], n: int, name: str) -> Samples:
    """The first n items as questions with their answers."""
    own = list(items)[:n]
    questions = Likelihood(chat=spec.chat).questions(lm, own)
    found = (Asked(question, item.answer) for question, item in zip(questions, own, strict=True))
    return Samples(name, _bare(spec, found), spec.objective)


def texts_of(source: str, n: int, seed: int) -> tuple[Stimulus, ...]:
    """The first n texts of a source."""
    return texts(source, **_accepted(source, n=n, seed=seed))[:n]


def of_source(spec: Sensitivity, lm: LM) -> Samples:
    """Texts of a file instead of the task's own items: whole, or their last token."""
    tokens = lm.tokenize([stimulus.text for stimulus in spec.source_texts], chat=spec.chat)
    objective: ObjectiveName = spec.objective if spec.objective in ("full", "last-token") else "full"
    return Samples(str(spec.source), _bare(spec, map(text, tokens)), objective)


def of_texts(spec: Sensitivity, lm: LM, found: Sequence[Stimulus]) -> Samples:
    """Texts, each cut to `spec.window` tokens: at its start, or as published at a random place of a random text."""
    if spec.windows == "start":
        cut_at = Windows(spec.window).cut(lm, found)
        return Samples(spec.general, _bare(spec, (text(tokens) for _, tokens in cut_at if len(tokens) > 1)), "full")
    every = lm.tokenize([stimulus.text for stimulus in found])
    bare = [Tokens(t.ids[t.prefix :], t.text) for t in every]
    places = cut(lambda i: len(bare[i]), spec.n_general, documents=len(bare), window=spec.window, seed=spec.seed)
    rows = (Tokens(bare[i].ids[at : at + spec.window], bare[i].text) for i, at in places)
    return Samples(spec.general, tuple(map(text, rows)), "full")


def general_texts(spec: Sensitivity) -> tuple[tuple[Stimulus, ...], tuple[Stimulus, ...]]:
    """Texts to score weights by, and others to take perplexities of; halves where there are too few of both.

    Raises:
        StimulusError: if there are fewer than 2.
    """
    found = texts(spec.general, **_accepted(spec.general, n=spec.n_general + spec.n_read))
    if len(found) < 2:
        raise StimulusError(
            f"{spec.general!r} has {len(found)} text. Give 2 or more: some to score by, others to predict."
        )
    at = spec.n_general if len(found) > spec.n_general else (len(found) + 1) // 2
    return found[:at], found[at : at + spec.n_read]


def _accepted(source: str, **options: Any) -> Mapping[str, Any]:
    """Options of a source of texts: how many are asked of what makes them; a file gives what it has."""
    if source == "plain":
        return {"n": options["n"]}
    return {"seed": options["seed"]} if "seed" in options and source.endswith((".json", ".jsonl")) else {}


def _bare(spec: Sensitivity, found: Any) -> tuple[Asked, ...]:
    return tuple(map(without_bos, found)) if spec.bos == "without" else tuple(found)
