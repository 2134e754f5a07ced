"""The statements of reasoning trees as rows: what each is, what is to be read from attention, and what attention says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from broca.cache.cache import Cache
from broca.capture.head_features import Features, features
from broca.items import Tree, fingerprint
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.specs.pooling import Pooling
from broca.writing import words_in

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WORDS = 24
"""First words that a surface baseline knows, the most frequent ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Statements:
    """One row a statement, those of a tree together."""

    trees: tuple[Tree, ...]
    text: Ints
    """The tree of each row."""
    place: Ints
    """Where in its tree it stands."""
    height: Ints
    """Its reasoning step; 0 where it is not useful."""
    group: Ints
    """The theory of its tree."""
    said: tuple[str, ...]

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Statements:
        """The rows of trees; a tree without a group is a theory of its own."""
        count = [len(tree.statements) for tree in trees]
        names = [tree.cluster for tree in trees]
        order = {name: i for i, name in enumerate(dict.fromkeys(names))}
        return cls(
            trees=tuple(trees),
            text=np.repeat(np.arange(len(trees)), count),
            place=np.concatenate([np.arange(n) for n in count]),
            height=np.concatenate([np.array(tree.heights, dtype=np.int64) for tree in trees]),
            group=np.repeat([order[name] for name in names], count),
            said=tuple(said for tree in trees for said in tree.statement_texts),
        )

    @property
    def size(self) -> Ints:
        """How many statements the tree of each row has."""
        return np.bincount(self.text)[self.text]

    def target(self, name: str) -> tuple[NDArray[np.bool_], Ints]:
        """Which rows a target is about, and the class of each of these: "useful" of all, "step" of the useful ones."""
        if name == "useful":
            return np.ones(len(self.text), dtype=bool), (self.height > 0).astype(np.int64)
        rows = self.height > 0
        return rows, self.height[rows] - 1

    def surface(self) -> dict[str, Floats]:
        """What can be known of a statement without a model, ``(row, feature)`` by name.

        Its place; its length; and what it looks like: its kind where trees say so, its number or first word, and the words that it
        shares with the question and with the other statements.
        """
        place = np.column_stack([self.place, self.size - 1 - self.place, self.place / np.maximum(self.size - 1, 1)])
        words = [_words(said) for said in self.said]
        length = np.array(
            [[len(said), len(said.split()), len(set(own))] for said, own in zip(self.said, words, strict=True)]
        )
        position, spelled = place.astype(np.float64), length.astype(np.float64)
        looks = np.column_stack([position, spelled, self._word_overlap(words), self._looks()])
        return {"position": position, "length": spelled, "surface": looks}

    def _word_overlap(self, words: Sequence[Sequence[str]]) -> Floats:
        out = np.zeros((len(words), 2))
        for text in range(len(self.trees)):
            rows = np.flatnonzero(self.text == text).tolist()
            tree = self.trees[text]
            asked = set(_words(tree.text[slice(*tree.query)]))
            every = [set(words[row]) for row in rows]
            for row, own in zip(rows, every, strict=True):
                out[row] = len(own & asked), sum(len(own & other) for other in every if other is not own)
        return out

    def _looks(self) -> Floats:
        if all(said.isdecimal() for said in self.said):
            return np.array([float(said) for said in self.said])[:, None]
        kinds = [kind for tree in self.trees for kind in (tree.kinds or ("",) * len(tree.statements))]
        first = [said.split(maxsplit=1)[0].lower() if said.split() else "" for said in self.said]
        columns = []
        for labels in (kinds, first):
            values, inverse, count = np.unique(labels, return_inverse=True, return_counts=True)
            often = np.argsort(-count, kind="stable")[:WORDS] if len(values) > 1 else []
            columns += [inverse == value for value in often]
        return np.column_stack(columns).astype(np.float64) if columns else np.zeros((len(self.said), 0))

    def of_another(self) -> Ints | None:
        """The heights of another theory's tree with as many statements, in place of each one's own; None if there is none."""
        out = np.zeros_like(self.height)
        done = np.zeros(len(self.trees), dtype=bool)
        first = np.searchsorted(self.text, np.arange(len(self.trees)))
        sizes = np.bincount(self.text)
        group = self.group[first]
        for size in np.unique(sizes):
            same = np.flatnonzero(sizes == size)
            for i, text in enumerate(same):
                later = np.roll(same, -i - 1)[:-1]
                other = next((t for t in later if group[t] != group[text]), None)
                if other is not None:
                    rows = slice(first[text], first[text] + size)
                    out[rows] = self.height[first[other] : first[other] + size]
                    done[text] = True
        return out if done.all() else None


def _words(text: str) -> list[str]:
    return words_in(text.lower())


def looked_at(
    lm: LM,
    trees: Sequence[Tree],
    pooling: Pooling,
    *,
    chat: Chat,
    cache: Cache,
    progress: Callable[[int, int], None] | None = None,
    twin: tuple[str, Callable[[], LM]] | None = None,
) -> tuple[Floats, tuple[int, ...]]:
    """Attention from each question to each statement, ``(row, layer, head)`` unscaled, and the layers; remembered.

    Args:
        lm: the model.
        trees: what is shown.
        pooling: how.
        chat: whether a chat template is used.
        cache: what remembers.
        progress: called with (texts done, texts in all).
        twin: look at this one instead: its name, and how to make it where nothing is remembered.
    """
    plain = replace(pooling, scale="none")

    def compute() -> dict[str, NDArray[np.generic]]:
        found: Features = features(
            lm if twin is None else twin[1](),
            [tree.text for tree in trees],
            [tree.statements for tree in trees],
            queries=[tree.query for tree in trees],
            pooling=plain,
            names=[f"Tree {tree.id!r}" for tree in trees],
            chat=chat,
            progress=progress,
        )
        return {"values": found.values.astype(np.float32), "layers": np.array(found.layers)}

    found = cache(
        {
            "cell": "attention to statements",
            "trees": fingerprint([[tree.text, tree.statements, tree.query] for tree in trees]),
            "pooling": [plain.query, plain.span, plain.heads, *plain.order, plain.bos, plain.skip],
            "chat": chat,
            "twin": "" if twin is None else twin[0],
            "condition": list(lm.condition) if twin is None else [],
        },
        compute,
    )
    assert isinstance(found, dict)
    return found["values"].astype(np.float64), tuple(found["layers"].tolist())


def scale_by_text(values: Floats, text: Ints, pooling: Pooling) -> Floats:
    """``(row, layer, head)`` as the pooling scales them: by the largest of each text, or not at all."""
    if pooling.scale == "none":
        return values
    largest = np.full(int(text.max()) + 1, -np.inf)
    np.maximum.at(largest, text, values.reshape(len(values), -1).max(1))
    return values / np.where(largest > 0, largest, 1)[text][:, None, None]


def is_linear(pooling: Pooling) -> bool:
    """Whether the mean over heads may be taken last, whatever the order says."""
    return pooling.order[-1] == "heads" or (pooling.query != "max" and pooling.span != "max")
