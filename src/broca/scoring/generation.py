"""Scoring by generation: what does the model write, and is it one of the choices?"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
import regex

from broca.errors import StimulusError
from broca.items import Item, Text
from broca.scoring.prompts import beside, cued, letters, list_choices, one_prompt
from broca.scoring.rows import INVALID, Outcome, rows
from broca.specs.fields import Chat
from broca.writing import WORD_CHARACTER, clusters

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.models.rendering import TokenizerText

_EDGES = string.punctuation + string.whitespace + "“”‘’«»„…–—。，"


@dataclass(frozen=True, slots=True)
class Generation:
    """The choice that the generated text names; invalid where it names none.

    Text and choices are compared in Unicode's NFC form, so that a tokenizer that composes accents is not marked down.
    """

    max_new_tokens: int = 1
    match: Literal["exact", "first-word", "first-piece", "letter", "contains"] = "exact"
    """How a text names a choice:

    * exact: it is the choice.
    * first-word: its first word, without punctuation around it, is the choice's first word.
    * first-piece: what stands before its first white space, without ``. , ' " ;``, is that of the choice, as Wu et al.
      (2025) compare: a text that begins with another mark names nothing.
    * letter: its first word is the choice's letter; the choices are then listed under letters in the prompt.
    * contains: exactly one choice stands in it, as whole words (in scripts that have case); a choice within another
      found one does not count.
    """
    case: Literal["lower", "exact"] = "lower"
    """Compare in lower case, or as written. On letters this has moved accuracies by more than 20 points."""
    strip: bool = True
    """Leave white space around text and choices out of the comparison."""
    chat: Chat = "auto"
    cue: str | None = None
    """What opens the answer. None: "Answer:" where options are listed under letters, nothing elsewhere."""
    temperature: float = 0.0
    """0 is greedy. Sampled texts depend on `seed` and on the batch size."""
    seed: int | None = None
    kind: Literal["generation"] = field(default="generation", kw_only=True)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise StimulusError(f"max_new_tokens is {self.max_new_tokens}. Give at least 1.")
        if self.temperature < 0 or (self.temperature and self.seed is None):
            raise StimulusError(
                f"temperature {self.temperature} with seed {self.seed} cannot be repeated. Give temperature 0, or one "
                "above 0 and a seed."
            )

    def __call__(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA`, one an item.

        Raises:
            StimulusError: if an item's choices cannot be told apart by `match`, or it is too long.
        """
        self.check(items)
        prompts = self.prompts(lm, items)
        sampled = {"do_sample": True, "temperature": self.temperature} if self.temperature else {}
        texts = lm.generate(prompts, max_new_tokens=self.max_new_tokens, seed=self.seed, **sampled)
        lm.assert_fired()
        return rows(items, self.read(items, texts))

    def check(self, items: Sequence[Item]) -> None:
        """Refuse items that could never be marked.

        Raises:
            StimulusError: if an item's choices cannot be told apart by `match`, or have contexts of their own.
        """
        one_prompt(items)
        for item in items:
            self._keys(item)

    def prompt_parts(self, item: Item) -> tuple[Text, str, str | None]:
        """What an item's prompt is made of: a text, the cue that opens the answer, and what parts the two (None: as a person writes).

        Its pictures are not part of it.
        """
        if self.match == "letter":
            cue = "Answer:" if self.cue is None else self.cue
            return list_choices(item, cue), cue, "\n"
        return item.prompt, self.cue or "", None

    def read(self, items: Sequence[Item], texts: Sequence[str]) -> list[Outcome]:
        """What each text says in answer to its item."""
        return [
            Outcome(self._find_choice(text, self._keys(item)), text) for item, text in zip(items, texts, strict=True)
        ]

    def prompts(self, lm: LM, items: Sequence[Item]) -> list[TokenizerText]:
        """The prompts as the tokenizer gets them.

        Raises:
            StimulusError: if one leaves no room for an answer.
        """
        asked = [(beside(item, text), cue, gap) for item in items for text, cue, gap in [self.prompt_parts(item)]]
        prompts = [cued(lm, text, chat=self.chat, cue=cue, gap=gap) for text, cue, gap in asked]
        for item, tokens in zip(items, lm.tokenize(prompts) if lm.context else [], strict=False):
            n = len(tokens)
            # The last token written is never read.
            if lm.context is not None and n + self.max_new_tokens - 1 > lm.context:
                raise StimulusError(
                    f"Item {item.id!r}: {n} tokens and {self.max_new_tokens} new ones do not fit the model's "
                    f"{lm.context} positions. Shorten the prompt; nothing is truncated silently."
                )
        return prompts

    def _keys(self, item: Item) -> tuple[str, ...]:
        """What a text is compared with, one string a choice."""
        keys = tuple(map(self._plain, letters(item) if self.match == "letter" else item.choices))
        if self.match in _FIRST:
            keys = tuple(map(_FIRST[self.match], keys))
        if len(set(keys)) < len(keys) or not all(key.strip() for key in keys):
            raise StimulusError(
                f"Item {item.id!r}: its choices {item.choices} cannot be told apart by match={self.match!r}, "
                f"case={self.case!r}. Use another match or case, or score by likelihood."
            )
        return keys

    def _plain(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        text = text.strip() if self.strip else text
        return text.lower() if self.case == "lower" else text

    def _find_choice(self, text: str, keys: Sequence[str]) -> int:
        text = self._plain(text)
        if self.match == "contains":
            found = _keys_in(text, keys)
            return found[0] if len(found) == 1 else INVALID
        said = text if self.match == "exact" else _FIRST.get(self.match, _first_word)(text)
        return keys.index(said) if said in keys else INVALID


def _first_word(text: str) -> str:
    words = (word.strip(_EDGES) for word in text.split())
    return next((word for word in words if word), "")


def _first_piece(text: str) -> str:
    return re.sub(r"""[.,'";]""", "", next(iter(text.split()), ""))


_FIRST = {"first-word": _first_word, "first-piece": _first_piece}


def _keys_in(text: str, keys: Sequence[str]) -> list[int]:
    """Which keys stand in the text as whole words, and not only inside a longer one that does."""
    found: list[int] = []
    taken: list[tuple[int, int]] = []
    for i in sorted(range(len(keys)), key=lambda i: -len(keys[i])):
        spans = [match.span() for match in regex.finditer(_whole(keys[i]), text)]
        free = [(a, b) for a, b in spans if not any(start <= a and b <= end for start, end in taken)]
        if free:
            found.append(i)
            taken += free
    return found


def _whole(key: str) -> str:
    """A pattern for `key` that starts and ends with a word where `key` does."""
    letters = clusters(key)
    before = "" if _joins(letters[0]) else f"(?<!{WORD_CHARACTER})"
    after = "" if _joins(letters[-1]) else f"(?!{WORD_CHARACTER})"
    return f"{before}{regex.escape(key)}(?!\\p{{M}}){after}"


def _joins(cluster: str) -> bool:
    """Whether other letters may stand beside it: punctuation, and scripts without case, many of which have no spaces."""
    return not regex.match(WORD_CHARACTER, cluster) or unicodedata.category(cluster[0]) == "Lo"
