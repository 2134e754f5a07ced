"""Every kind of perturbation by name, and what each promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from broca.errors import StimulusError
from broca.stimuli.perturb import letters
from broca.stimuli.perturb.letters import Spot, Spots
from broca.stimuli.perturb.lists import homophones, misspellings
from broca.stimuli.perturb.words import Word

Family = Literal["letters", "looks", "spaces", "marks", "words", "ancestral"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to perturb a word."""

    name: str
    spots: Spots
    family: Family
    spaces: bool = False
    """Whether white space may change."""
    distance: int | None = 1
    """Optimal string alignment distance of one edit; None where it varies."""
    words: int | None = None
    """How many words this kind edits, whatever severity is asked for; None where severity decides."""


@dataclass(frozen=True, slots=True)
class Severity:
    """How much is perturbed: give exactly one."""

    words: int | None = None
    """One edit in each of this many words."""
    edits: int | None = None
    """This many edits in all, wherever they fall."""
    rate: float | None = None
    """One edit in this share of the words that the kind can edit, rounded, and in one at least."""

    def __post_init__(self) -> None:
        given = [one for one in (self.words, self.edits, self.rate) if one is not None]
        if len(given) != 1:
            raise StimulusError(f"{self} gives {len(given)} of words, edits and rate. Give exactly one.")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise StimulusError(f"rate is {self.rate}. Give a share of the words above 0 and up to 1.")
        if self.rate is None and given[0] < 1:
            raise StimulusError(f"{self} asks for no edit. Give at least 1.")


def _homophone(word: Word) -> list[Spot]:
    return letters.replace_listed(homophones(), word)


def _misspelling(word: Word) -> list[Spot]:
    return letters.replace_listed(misspellings(), word)


_MAIN = letters.several(letters.transpose, letters.delete, letters.duplicate, letters.substitute)
_QWERTY = "qwerty"

_ALL: Sequence[Kind] = (
    Kind("keyboard", letters.ON_KEYBOARDS[_QWERTY], "letters"),
    *(Kind(f"keyboard-{name}", spots, "letters") for name, spots in letters.ON_KEYBOARDS.items() if name != _QWERTY),
    Kind("transpose", letters.transpose, "letters"),
    Kind("delete", letters.delete, "letters"),
    Kind("insert", letters.insert, "letters"),
    Kind("duplicate", letters.duplicate, "letters"),
    Kind("substitute", letters.substitute, "letters"),
    Kind("vowels", letters.vowels, "letters", distance=None),
    Kind("shuffle", letters.shuffle, "letters", distance=None),
    Kind("case", letters.case, "looks"),
    Kind("homoglyph", letters.homoglyph, "looks"),
    Kind("zero-width", letters.zero_width, "looks"),
    Kind("ocr", letters.ocr, "looks", distance=None),
    Kind("leet", letters.leet, "looks"),
    Kind("split", letters.split, "spaces", spaces=True),
    Kind("merge", letters.merge, "spaces", spaces=True),
    Kind("stray-stop", letters.stray_stop, "marks", spaces=True),
    Kind("drop-mark", letters.dropped_punctuation, "marks"),
    Kind("excess-mark", letters.excess_punctuation, "marks", distance=None),
    Kind("repeat-word", letters.repeat, "words", spaces=True, distance=None),
    Kind("homophone", _homophone, "words", distance=None),
    Kind("misspelling", _misspelling, "words", distance=None),
    # the nine kinds of Error Mech Analysis, which a language model wrote; here they are drawn
    Kind("main", _MAIN, "ancestral"),
    Kind("swap", letters.transpose, "ancestral"),
    Kind("missing", letters.delete, "ancestral"),
    Kind("repeated", letters.duplicate, "ancestral"),
    Kind("two", _MAIN, "ancestral", words=2),
    Kind("three", _MAIN, "ancestral", words=3),
    Kind("grammar", letters.grammar, "ancestral", spaces=True, distance=None),
    Kind("punctuation", letters.stray_stop, "ancestral", spaces=True),
    Kind("homonym", _homophone, "ancestral", distance=None),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""The kinds that edit words. Styles, which edit no word, are in `broca.stimuli.perturb.styles`."""

ANCESTRAL = tuple(kind.name for kind in _ALL if kind.family == "ancestral")
"""The kinds of the published files, by their names there."""
