"""What weights are scored by: questions with their answers, texts, and windows of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from broca.capture.objectives import AnsweredQuestion, ObjectiveName, text, without_bos
from broca.items import Item, Stimulus
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.scoring.likelihood import likelihood_of
from broca.scoring.windows import Windows
from broca.stimuli.draws import draw_windows

if TYPE_CHECKING:
    from broca.instruments.sensitivity.spec import Sensitivity


@dataclass(frozen=True, slots=True)
class Samples:
    """A set of samples, what is differentiated on them, and what they are called."""

    name: str
    asked: tuple[AnsweredQuestion, ...]
    objective: ObjectiveName


def of_items(spec: Sensitivity, lm: LM, items: Sequence[Item], n: int, name: str) -> Samples:
    """The first n items as questions with their answers."""
    own = list(items)[:n]
    questions = likelihood_of(spec.scorer, spec.chat).questions(lm, own)
    found = (AnsweredQuestion(question, item.answer) for question, item in zip(questions, own, strict=True))
    return Samples(name, _bare(spec, found), spec.objective)


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
    # one at a time: the published pool is a shard of hundreds of thousands of texts, of which few are looked at
    bare = cache(lambda i: lm.tokenize([found[i].text])[0].bare)
    places = draw_windows(
        lambda i: len(bare(i)), spec.n_general, documents=len(found), window=spec.window, seed=spec.seed
    )
    rows = (Tokens(bare(i).ids[at : at + spec.window], bare(i).text) for i, at in places)
    return Samples(spec.general, tuple(map(text, rows)), "full")


def _bare(spec: Sensitivity, found: Any) -> tuple[AnsweredQuestion, ...]:
    return tuple(map(without_bos, found)) if spec.bos == "without" else tuple(found)
