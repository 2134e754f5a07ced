"""What perturbation probes read: activations of pairs at aligned points, and features of the same tokens that know no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from broca.capture.places import at_places
from broca.instruments.perturb.cases import offsets_in
from broca.items import Pair
from broca.models.lm import LM
from broca.models.tokens import Chat, Tokens
from broca.sites import Site
from broca.stats.telling import Rows, random_embeddings, token_counts
from broca.stimuli.alignment import align
from broca.stimuli.edits import edited_words

Point = Literal["edited", "suffix", "answer"]
POINTS: tuple[Point, ...] = ("edited", "suffix", "answer")
"""The last piece of the edited word, the first token after it, the last token of the text."""
Split = Literal["rows", "wording", "word"]
SPLITS: tuple[Split, ...] = ("rows", "wording", "word")
"""Folds of rows, as published; of wordings, so that no sentence is in two; of edited words, so that none was seen."""
BASELINES = ("token", "text", "count")
"""Random embeddings of the token at the place; of all tokens of the text, averaged; and how many they are."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Pairs of one kind: tokens, places and activations. Rows are clean, perturbed, clean, ... of the pairs that have the point."""

    lm: LM
    pairs: tuple[Pair, ...]
    sites: tuple[Site, ...]
    chat: Chat = "never"

    @cached_property
    def tokens(self) -> tuple[Tokens, ...]:
        """Clean, perturbed, clean, ..."""
        return tuple(
            self.lm.tokenize([text for pair in self.pairs for text in (pair.clean, pair.perturbed)], chat=self.chat)
        )

    @cached_property
    def points(self) -> tuple[Mapping[str, tuple[int, int]], ...]:
        """Of each pair, the clean and perturbed position of each point that it has."""
        found = []
        for pair, clean, perturbed in zip(self.pairs, self.tokens[::2], self.tokens[1::2], strict=True):
            found.append(
                align(pair, offsets_in(pair, clean, pair.clean), offsets_in(pair, perturbed, pair.perturbed)).points
            )
        return tuple(found)

    @cached_property
    def activations(self) -> dict[Site, NDArray[np.float32]]:
        """``(text, point, unit)``; those of a missing point are of the last token, and never read."""
        places = []
        for i, tokens in enumerate(self.tokens):
            points = self.points[i // 2]
            places.append([points[name][i % 2] if name in points else len(tokens) - 1 for name in POINTS])
        return at_places(self.lm, self.tokens, self.sites, places)

    def having(self, point: str) -> NDArray[np.int64]:
        """Rows of `tokens` whose pair has the point."""
        kept = [i for i, points in enumerate(self.points) if point in points]
        return np.asarray([row for i in kept for row in (2 * i, 2 * i + 1)], np.int64)

    def rows(self, point: str, x: NDArray[Any], split: str) -> Rows:
        """Features of the rows that have the point, with what a split keeps together."""
        at = self.having(point)
        return Rows(x, at % 2, at // 2, self._groups(split)[at])

    def features(self, point: Point, site: Site) -> NDArray[np.float32]:
        """``(row, unit)``."""
        return self.activations[site][self.having(point), POINTS.index(point)]

    def at(self, point: Point) -> list[int]:
        """The token id of each row at the point."""
        return [self.tokens[row].ids[self.points[row // 2][point][row % 2]] for row in self.having(point)]

    def baselines(self, point: Point, seed: int) -> dict[str, NDArray[Any]]:
        """Features that know no model, by `BASELINES`."""
        whole = [self.tokens[row].ids for row in self.having(point)]
        return {
            "token": random_embeddings([(one,) for one in self.at(point)], seed=seed),
            "text": random_embeddings(whole, seed=seed),
            "count": token_counts(whole),
        }

    def _groups(self, split: str) -> NDArray[Any]:
        if split == "rows":
            return np.arange(2 * len(self.pairs))
        names = [_word(pair) if split == "word" else pair.cluster for pair in self.pairs]
        return np.asarray(names, dtype=object).astype(str).repeat(2)


def _word(pair: Pair) -> str:
    """The first edited word of the clean text, in lower case; what stands between words where none is edited."""
    start, end = edited_words(pair)[0]
    return pair.clean[start:end].lower() or f"between {pair.clean[max(0, start - 1) : end + 1]!r}"
