"""Where texts come from that weights are scored by, or that perplexities are taken of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broca.errors import StimulusError
from broca.items import Stimulus
from broca.stimuli.benchmarks import BENCHMARKS
from broca.stimuli.texts import PLAIN, texts


def texts_of(source: str, n: int, seed: int) -> tuple[Stimulus, ...]:
    """The first n texts of a source."""
    return texts(source, **_source_options(source, n=n, seed=seed))[:n]


def general_texts(
    source: str, *, n: int, n_read: int, random: bool, read_from: str | None, joined: bool
) -> tuple[tuple[Stimulus, ...], tuple[Stimulus, ...]]:
    """Texts to score weights by, and others to take perplexities of; halves where there are too few of both.

    Random windows are drawn from all texts that are not kept for perplexities, cuts from the start of the first `n`.

    Args:
        source: of the texts.
        n: how many to score by, where windows are cut from their start.
        n_read: how many to take perplexities of.
        random: whether windows are drawn from all over the texts.
        read_from: another source of texts to take perplexities of.
        joined: whether all texts of that source are joined into one.

    Raises:
        StimulusError: if there are fewer than 2, or none with a word to take perplexities of.
    """
    found = texts(source, **_source_options(source, n=n + n_read))
    if read_from is not None:
        return found if random else found[:n], _read(read_from, n_read, joined=joined)
    if len(found) < 2:
        raise StimulusError(f"{source!r} has {len(found)} text. Give 2 or more: some to score by, others to predict.")
    wanted = len(found) - n_read if random else n
    at = wanted if 0 < wanted < len(found) else (len(found) + 1) // 2
    return found[:at], found[at : at + n_read]


def _read(source: str, n: int, *, joined: bool) -> tuple[Stimulus, ...]:
    """The texts of another source: all of them, blank ones too, where they are joined; else the first n that say something."""
    if source == PLAIN:
        return texts(source, n=n)
    if source in BENCHMARKS:
        return texts(source)[: None if joined else n]
    found = texts(source, empty="keep" if joined else "drop")
    if not nonblank(found):
        raise StimulusError(f"{source!r} has no text with a word in it. Give texts to take perplexities of.")
    return found if joined else found[:n]


def nonblank(found: Sequence[Stimulus]) -> tuple[Stimulus, ...]:
    """The texts that say something."""
    return tuple(each for each in found if not isinstance(each.text, str) or each.text.strip())


def _source_options(source: str, **options: Any) -> Mapping[str, Any]:
    """Options of a source of texts: how many are asked of what makes them; a file gives what it has."""
    if source == "plain":
        return {"n": options["n"]}
    return {"seed": options["seed"]} if "seed" in options and source.endswith((".json", ".jsonl")) else {}
