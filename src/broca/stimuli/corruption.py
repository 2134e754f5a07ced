"""Corrupted prompts: one statement negated, all of them shuffled, or one more put in; and where, on record.

What does not depend on the statement that was touched must not change. Choices, answer and edges stay those of the intact
tree, for comparison: with a useful statement negated, the answer no longer follows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Span, Tree
from broca.registry import unknown
from broca.tries import first
from broca.writing import words_in

How = Literal["negate-useful", "negate-useless", "shuffle", "insert"]
_COPULA = re.compile(r"\b(is|are|was|were)( not)?\b")
_OPENERS = frozenset(
    {"a", "all", "an", "every", "everything", "if", "no", "nobody", "some", "someone", "something", "the"}
)


@dataclass(frozen=True, slots=True)
class CorruptedTree:
    """A tree with one thing changed."""

    tree: Tree
    how: How
    index: int | None
    """The statement that was negated or put in, in the new tree; None after shuffling."""
    before: tuple[int | None, ...]
    """Of each statement of the new tree, which one it was; None for one that was put in."""


def corrupt(tree: Tree, how: How, *, seed: int = 0, others: Sequence[Tree] = ()) -> CorruptedTree:
    """A corrupted copy of `tree`.

    Args:
        tree: left as it is.
        how: negate a statement that the answer rests on, or one that it does not; put the statements into another order;
            or put in one that has nothing to do with the answer.
        seed: of the choice, drawn anew for each tree.
        others: where a statement to put in is taken from: trees of other groups.

    Raises:
        StimulusError: if nothing can be changed that way: see `can`.
        UnknownName: if `how` is none of these.
    """
    if how not in get_args(How):
        raise unknown("Corruption", how, get_args(How))
    rng = np.random.default_rng([seed, *tree.id.encode()])
    said = list(tree.statement_texts)
    same: list[int | None] = list(range(len(said)))
    if how == "shuffle":
        if len(said) < 2:
            raise StimulusError(f"Tree {tree.id!r} has one statement, so there is no other order. Leave it out.")

        def another() -> list[int] | None:
            order = rng.permutation(len(said)).tolist()
            return None if order == same else order

        order = first(another, f"Every order drawn for tree {tree.id!r} is its own.")
        return CorruptedTree(_rebuilt(tree, [said[i] for i in order], order), how, None, tuple(order))
    if how == "insert":
        text, at = _irrelevant(tree, others, rng), int(rng.integers(len(said) + (tree.query not in tree.statements)))
        said.insert(at, text)
        same.insert(at, None)
        return CorruptedTree(_rebuilt(tree, said, same), how, at, tuple(same))
    wanted = [i for i in range(len(said)) if tree.useful[i] == (how == "negate-useful") and negate(said[i]) is not None]
    if not wanted:
        raise StimulusError(
            f"Tree {tree.id!r} has no {how.removeprefix('negate-')} statement that can be negated. Leave it out."
        )
    index = wanted[rng.integers(len(wanted))]
    said[index] = negate(said[index]) or ""
    return CorruptedTree(_rebuilt(tree, said, same), how, index, tuple(same))


def can(tree: Tree, how: How, *, others: Sequence[Tree] = ()) -> bool:
    """Whether `corrupt` can do this to `tree`."""
    try:
        corrupt(tree, how, others=others)
    except StimulusError:
        return False
    return True


def negate(statement: str) -> str | None:
    """The statement that denies this one; None where there is none, as for a number.

    A rule's conclusion is denied, not its condition. Where a verb other than *to be* would have to be bent, the whole is
    denied in front.
    """
    if not re.search(r"[A-Za-z]{2}", statement):
        return None
    head, then, tail = statement.rpartition(" then ")
    found = list(_COPULA.finditer(tail))
    if found:
        last = found[-1]
        verb = last[1] if last[2] else f"{last[1]} not"
        return f"{head}{then}{tail[: last.start()]}{verb}{tail[last.end() :]}"
    first, space, rest = statement.partition(" ")
    return f"It is not true that {first.lower() if first.lower() in _OPENERS else first}{space}{rest}"


def _irrelevant(tree: Tree, others: Sequence[Tree], rng: np.random.Generator) -> str:
    """A statement of another group that shares no telling word with what the answer rests on.

    A number must be larger than those that are useful, so that it changes no rank that counts.
    """
    elsewhere = [other for other in others if other.cluster != tree.cluster]
    pool = list(
        dict.fromkeys(said for other in elsewhere for said in other.statement_texts if said not in tree.statement_texts)
    )
    useful = [said for said, counts in zip(tree.statement_texts, tree.useful, strict=True) if counts]
    if all(said.isdecimal() for said in tree.statement_texts):
        pool = [said for said in pool if said.isdecimal() and int(said) > max(map(int, useful))]
    else:
        common = _common(pool)
        about = {word for text in (*useful, tree.text[slice(*tree.query)]) for word in _words(text)}
        pool = [said for said in pool if not (_words(said) - common) & about and _words(said) - common]
    if not pool:
        raise StimulusError(
            f"No statement of the {len(elsewhere)} trees of other groups is irrelevant to tree {tree.id!r}. Give more others."
        )
    return pool[rng.integers(len(pool))]


def _words(text: str) -> set[str]:
    return set(words_in(text.lower()))


def _common(texts: Sequence[str]) -> set[str]:
    """Words in more than a quarter of the texts: those that tell nothing."""
    counts = Counter(word for text in texts for word in _words(text))
    return {word for word, count in counts.items() if count > len(texts) / 4}


def _rebuilt(tree: Tree, said: Sequence[str], before: Sequence[int | None]) -> Tree:
    """The tree with these statements in its places; what stands between and around them stays.

    Args:
        tree: the intact one.
        said: the statements, one more than there were or as many.
        before: which of the tree's each of them is; None for a new one.
    """
    starts, ends = zip(*tree.statements, strict=True)
    gaps = [tree.text[a:b] for a, b in zip(ends[:-1], starts[1:], strict=True)]
    gaps += [gaps[0] if gaps else " "] * (len(said) - len(starts))
    text, spans = tree.text[: starts[0]], []
    for statement, gap in zip(said, (*gaps, ""), strict=True):
        spans.append((len(text), len(text) + len(statement)))
        text += statement + gap
    new = {old: i for i, old in enumerate(before) if old is not None} | {CONCLUSION: CONCLUSION}
    return replace(
        tree,
        id=f"{tree.id}/corrupted",
        text=text + tree.text[ends[-1] :],
        statements=tuple(spans),
        query=_move_query(tree, spans, len(text) - ends[-1]),
        edges=tuple((new[source], new[target]) for source, target in tree.edges),
        kinds=tuple("inserted" if old is None else tree.kinds[old] for old in before) if tree.kinds else (),
    )


def _move_query(tree: Tree, spans: Sequence[Span], by: int) -> Span:
    """Where the query is now: at the last statement if it was that one, else as far after it as before."""
    if tree.query == tree.statements[-1]:
        return spans[-1]
    start, end = tree.query
    if start < tree.statements[-1][1]:
        raise StimulusError(f"The query of tree {tree.id!r} stands among its statements, so these cannot be moved.")
    return start + by, end + by
