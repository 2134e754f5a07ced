"""Sentences against pronounceable non-words: a language contrast made from a grammar and syllables of our own.

Each list of non-words is made from one sentence by putting, for each of its words, a non-word of as many letters. So the
sides are matched in words, letters and positions exactly, and differ in what a language gives: words and syntax.
(They also differ in tokens, as non-words break into more of them: `length_match` with a tokenizer says by how much.)
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Annotated

import numpy as np
from pydantic import Field

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus
from broca.stimuli import paradigms
from broca.stimuli.arithmetic import Seed
from broca.tries import MOST, first, tries

ONSETS = (
    *"bdfghklmnprstvz",
    *(letter + "l" for letter in "bfgkpsv"),
    *(letter + "r" for letter in "bdfgkpt"),
    *("s" + letter for letter in "kmnpt"),
    "tw",
)
NUCLEI = ("a", "e", "i", "o", "u", "ai", "au", "ea", "oi", "oo", "ou")
CODAS = ("b", "f", "g", "v", "z", "lb", "lf", "lp", "mf", "nz", "rf", "rv", "zd")
"""Ends that English has but seldom uses, so that hardly any word is hit by accident."""
LAST_NUCLEI = ("u", "oi", "au")
"""Vowels that a non-word may end in, for the same reason."""

_NUCLEI_BY_LENGTH = {length: tuple(v for v in NUCLEI if len(v) == length) for length in (1, 2)}
_SYLLABLES_BY_LENGTH = {
    length: tuple(onset + nucleus for onset in ONSETS for nucleus in NUCLEI if len(onset + nucleus) == length)
    for length in (2, 3, 4)
}
_SYMBOL = re.compile(r"<([a-z-]+)>")


def language(
    *,
    n: Annotated[int, Field(ge=2, le=5000)] = 240,
    words: Annotated[int, Field(ge=9, le=15)] = 12,
    seed: Seed = 0,
) -> Contrast:
    """Sentences (positive) against lists of pronounceable non-words (negative), paired and in lower case.

    Args:
        n: Pairs. All sentences and all lists are unique.
        words: Words in each text; 12 as in the paradigm.
        seed: Of the draw; the first m pairs do not depend on n.
    """
    draw = np.random.default_rng(seed)
    sentences: list[Stimulus] = []
    lists: list[Stimulus] = []
    used: set[str] = set()
    few = f"The grammar has fewer than {n} different sentences of {words} words. Ask for fewer, or for about 12 words."
    for _ in tries(few, most=1000 * n + MOST):
        if len(sentences) == n:
            break
        sentence = _expand("<sentence>", draw).lower()
        split = sentence.split()
        if len(split) != words or sentence in used or _stutters(split):
            continue
        used.add(sentence)
        group = f"pair-{len(sentences) + 1}"
        sentences.append(Stimulus(f"{group}-sentence", sentence, group))
        lists.append(Stimulus(f"{group}-non-words", " ".join(_non_words(split, draw)), group))
    return Contrast(
        "language",
        tuple(sentences),
        tuple(lists),
        paired=True,
        source=f"Generated for this project: sentences of {words} words from a grammar, and lists of pronounceable "
        f"non-words matched to them word by word in letters. Paradigm: {paradigms.LANGUAGE}.",
    )


def non_word(letters: int, draw: np.random.Generator) -> str:
    """A pronounceable string of syllables (onset, nucleus, at the end a coda) that is not in the lexicon.

    Args:
        letters: Its length, at least 2.
        draw: Source of randomness.

    Raises:
        StimulusError: Fewer than 2 letters.
    """
    if letters < 2:
        raise StimulusError(f"A non-word of {letters} letters cannot be pronounced. Ask for 2 or more.")

    def spoken() -> str | None:
        coda = _one_of(CODAS, draw) if draw.random() < 0.8 else ""
        body = _body(letters - len(coda), draw)
        word = body + coda
        return word if body and word.endswith((*CODAS, *LAST_NUCLEI)) and word not in lexicon() else None

    return first(spoken, f"No non-word of {letters} letters can be pronounced.")


@cache
def lexicon() -> frozenset[str]:
    """All words of the grammar, and the English words that syllables could hit."""
    lines = _data("words.txt").splitlines()
    listed = {word for line in lines if not line.startswith("#") for word in line.split()}
    terminals = " ".join(_SYMBOL.sub(" ", part) for parts in _grammar().values() for part in parts)
    return frozenset(listed | set(terminals.lower().split()))


@cache
def _grammar() -> dict[str, list[str]]:
    return json.loads(_data("grammar.json"))


def _data(name: str) -> str:
    return resources.files("broca.stimuli").joinpath("data", name).read_text(encoding="utf-8")


def _expand(text: str, draw: np.random.Generator) -> str:
    return _SYMBOL.sub(lambda symbol: _expand(_one_of(_grammar()[symbol[1]], draw), draw), text)


def _one_of(choices: tuple[str, ...] | list[str], draw: np.random.Generator) -> str:
    return choices[int(draw.integers(len(choices)))]


def _stutters(words: list[str]) -> bool:
    """Whether a word longer than four letters comes twice: grammatical, and yet odd."""
    long = [word for word in words if len(word) > 4]
    return len(long) != len(set(long))


def _non_words(words: list[str], draw: np.random.Generator) -> list[str]:
    made: list[str] = []
    for word in words:

        def another(letters: int = len(word)) -> str | None:
            candidate = non_word(letters, draw)
            return None if candidate in made else candidate

        made.append(
            first(another, f"There are too few different non-words of {len(word)} letters. Ask for fewer words.")
        )
    return made


def _body(letters: int, draw: np.random.Generator) -> str:
    """Open syllables of `letters` letters in all, the first now and then without an onset; empty where none fit."""
    made = ""
    if letters == 1 or (letters > 2 and draw.random() < 0.15):
        made = _one_of(_NUCLEI_BY_LENGTH[1], draw)
    while (room := letters - len(made)) > 0:
        lengths = [length for length in _SYLLABLES_BY_LENGTH if room - length == 0 or room - length >= 2]
        if not lengths:
            return ""
        made += _one_of(_SYLLABLES_BY_LENGTH[lengths[int(draw.integers(len(lengths)))]], draw)
    return made
