"""What weights are scored by: questions with their answers, texts, and windows of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from broca.capture.objectives import Asked, ObjectiveName, text, without_bos
from broca.errors import StimulusError
from broca.items import Item, Stimulus
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.scoring.likelihood import likelihood_of
from broca.scoring.perplexity import Windows
from broca.stimuli.benchmarks import BENCHMARKS
from broca.stimuli.texts import PLAIN, texts
from broca.stimuli.wu2025 import cut

if TYPE_CHECKING:
    from broca.instruments.sensitivity.spec import Sensitivity


@dataclass(frozen=True, slots=True)
class Samples:
    """A set of samples, what is differentiated on them, and what they are called."""

    name: str
    asked: tuple[Asked, ...]
    objective: ObjectiveName


def of_items(spec: Sensitivity, lm: LM, items: Sequence[Item], n: int, name: str) -> Samples:
    """The first n items as questions with their answers."""
    own = list(items)[:n]
    questions = likelihood_of(spec.scorer, spec.chat).questions(lm, own)
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
    # one at a time: the published pool is a shard of hundreds of thousands of texts, of which few are looked at
    bare = cache(lambda i: lm.tokenize([found[i].text])[0].bare)
    places = cut(lambda i: len(bare(i)), spec.n_general, documents=len(found), window=spec.window, seed=spec.seed)
    rows = (Tokens(bare(i).ids[at : at + spec.window], bare(i).text) for i, at in places)
    return Samples(spec.general, tuple(map(text, rows)), "full")


def general_texts(spec: Sensitivity) -> tuple[tuple[Stimulus, ...], tuple[Stimulus, ...]]:
    """Texts to score weights by, and others to take perplexities of; halves where there are too few of both.

    Random windows are drawn from all texts that are not kept for perplexities, cuts from the start of the first `n_general`.

    Raises:
        StimulusError: if there are fewer than 2, or none with a word to take perplexities of.
    """
    found = texts(spec.general, **_accepted(spec.general, n=spec.n_general + spec.n_read))
    if spec.perplexity_source is not None:
        return found if spec.windows == "random" else found[: spec.n_general], _read(spec, spec.perplexity_source)
    if len(found) < 2:
        raise StimulusError(
            f"{spec.general!r} has {len(found)} text. Give 2 or more: some to score by, others to predict."
        )
    wanted = len(found) - spec.n_read if spec.windows == "random" else spec.n_general
    at = wanted if 0 < wanted < len(found) else (len(found) + 1) // 2
    return found[:at], found[at : at + spec.n_read]


def _read(spec: Sensitivity, source: str) -> tuple[Stimulus, ...]:
    """The texts of another source: all of them, blank ones too, where they are joined; else the first `n_read` that say something."""
    joined = spec.reading.texts == "joined"
    if source == PLAIN:
        return texts(source, n=spec.n_read)
    if source in BENCHMARKS:
        return texts(source)[: None if joined else spec.n_read]
    found = texts(source, empty="keep" if joined else "drop")
    if not nonblank(found):
        raise StimulusError(f"{source!r} has no text with a word in it. Give texts to take perplexities of.")
    return found if joined else found[: spec.n_read]


def nonblank(found: Sequence[Stimulus]) -> tuple[Stimulus, ...]:
    """The texts that say something."""
    return tuple(each for each in found if not isinstance(each.text, str) or each.text.strip())


def _accepted(source: str, **options: Any) -> Mapping[str, Any]:
    """Options of a source of texts: how many are asked of what makes them; a file gives what it has."""
    if source == "plain":
        return {"n": options["n"]}
    return {"seed": options["seed"]} if "seed" in options and source.endswith((".json", ".jsonl")) else {}


def _bare(spec: Sensitivity, found: Any) -> tuple[Asked, ...]:
    return tuple(map(without_bos, found)) if spec.bos == "without" else tuple(found)
