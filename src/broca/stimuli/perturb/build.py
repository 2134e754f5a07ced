"""Many texts, many kinds: pairs in a matched design, with promises checked and a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item, Pair, Stimulus
from broca.stimuli.perturb.checks import Pairs, Tally, broken, real_word, report
from broca.stimuli.perturb.draws import ONE_WORD, CleanText, PerturbedText, can, check_kinds, draw, prepare
from broca.stimuli.perturb.kinds import KINDS, Kind, Severity
from broca.stimuli.perturb.styles import STYLES, apply_style
from broca.stimuli.perturb.words import ANY_WORD, Choice

Matched = Literal["order", "strict"]
"""``order``: each kind edits the first words, in an order common to all, that it can; words that all kinds can edit come
first. ``strict``: only words that all kinds can edit, so that every kind edits the very same ones; a text without enough of
them is left out, and counted."""

Violations = Literal["refuse", "mark"]
"""What happens to a perturbed text that breaks a promise: it is left out and counted, or kept with the tag ``broken``."""

_RAREST_FIRST = ("drop-mark", "homophone", "homonym", "misspelling", "excess-mark", "merge")


def build_pairs(
    sources: Iterable[Stimulus | Item],
    kinds: Sequence[str],
    *,
    severity: Severity = ONE_WORD,
    seed: int = 0,
    choice: Choice = ANY_WORD,
    matched: Matched = "order",
    violations: Violations = "refuse",
    answers: Mapping[str, str] = MappingProxyType({}),
) -> Pairs:
    """Pairs of each text with its variant of each kind, text by text.

    Of an item, the prompt is perturbed, its choices are protected wherever they stand, and the right one is the pair's
    answer. Pairs keep the group and tags of their text; the tag ``marks`` holds ``real-word`` where that applies.

    Args:
        sources: clean texts.
        kinds: names of `KINDS` and `STYLES`.
        severity: of the kinds that edit words.
        seed: of every draw.
        choice: which words may be edited.
        matched: how kinds share words.
        violations: what happens where a promise is broken.
        answers: of texts that are no items, by their ids; protected like an item's choices.

    Raises:
        UnknownName: if a kind is not known.
        StimulusError: if no kind or no text is given, two have the same name, a text is a chat, or nothing could be made.
    """
    check_kinds(kinds)
    if not kinds or len(set(kinds)) < len(kinds):
        raise StimulusError(f"The kinds are {list(kinds)}. Give one or more, each once.")
    tallies = {kind: Tally() for kind in kinds}
    pairs: list[Pair] = []
    seen: set[str] = set()
    for source in sources:
        if source.id in seen:
            raise StimulusError(f"Two texts have the id {source.id!r}. Make ids unique.")
        seen.add(source.id)
        ready = _match_words(_prepare(source, seed, choice, answers.get(source.id, "")), kinds, matched)
        for kind in kinds:
            pair = _pair(source, ready, kind, severity=severity, tally=tallies[kind], violations=violations)
            if pair is not None:
                pairs.append(pair if isinstance(source, Item) else replace(pair, answer=answers.get(source.id, "")))
    if not pairs:
        raise StimulusError(
            f"None of {len(seen)} texts could be perturbed in any of {list(kinds)}. Give texts with words outside of what is "
            "protected, allow shorter words, or ask for less."
        )
    return Pairs(tuple(pairs), report(tallies))


def _prepare(source: Stimulus | Item, seed: int, choice: Choice, answer: str) -> CleanText:
    text = source.prompt if isinstance(source, Item) else source.text
    if not isinstance(text, str):
        raise StimulusError(f"{source.id!r} is a chat. Perturb its turns as plain texts.")
    return prepare(text, seed=seed, choice=choice, protect=source.choices if isinstance(source, Item) else [answer])


def _match_words(ready: CleanText, kinds: Sequence[str], matched: Matched) -> CleanText:
    editing = sorted((KINDS[kind] for kind in kinds if kind in KINDS), key=lambda kind: kind.name not in _RAREST_FIRST)
    if len(editing) < 2:
        return ready
    shared = [word for word in ready.words if all(can(word, kind) for kind in editing)]
    if matched == "order":
        shared += [word for word in ready.words if word not in shared]
    return replace(ready, words=tuple(shared))


def _pair(
    source: Stimulus | Item, ready: CleanText, name: str, *, severity: Severity, tally: Tally, violations: Violations
) -> Pair | None:
    tally.counts["asked"] += 1
    kind = KINDS.get(name)
    try:
        made = (
            draw(ready, kind, severity)
            if kind
            else PerturbedText(*apply_style(ready.text, name, ready.protected, ready.seed))
        )
    except StimulusError:
        tally.counts["impossible"] += 1
        return None
    faults = _faults(ready, made, kind, tally)
    if faults and violations == "refuse":
        tally.counts["refused"] += 1
        return None
    tally.counts["made"] += 1
    tally.measure(ready.text, made.text)
    tags = dict(source.tags) | ({"broken": ", ".join(faults)} if faults else {})
    if kind is not None:
        marked = real_word(ready.text, made.text)
        tags |= {"marks": "real-word"} if marked else {}
        tally.counts["real_word"] += marked
        tally.counts["first_word"] += any(edit.word == ready.words[0].index for edit in made.edits)
    answer = source.choices[source.answer] if isinstance(source, Item) else ""
    return Pair(f"{source.id}/{name}", ready.text, made.text, made.edits, name, source.group, answer, tags)


def _faults(ready: CleanText, made: PerturbedText, kind: Kind | None, tally: Tally) -> tuple[str, ...]:
    faults = broken(
        ready.text,
        made.text,
        made.edits,
        protected=ready.protected,
        spaces=kind is None or kind.spaces,
        distance=None if kind is None else kind.distance,
    )
    tally.counts.update(faults)
    return faults


ALL = (*KINDS, *STYLES)
"""Every kind and style."""
