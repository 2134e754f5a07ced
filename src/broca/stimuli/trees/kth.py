"""The k-th smallest number of a list: the task on which reasoning trees were first read from attention (Hou et al., 2023).

The k smallest numbers are useful; the k-th of them takes the others as its premises, and is the answer.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Tree
from broca.stimuli.options import Count, Seed
from broca.stimuli.trees.prompts import join_statements

POOL = 512
"""Numbers of the published recipe."""
LIMIT = 100_000
_AT_ONCE = 2**22
"""Numbers that are sorted at once: memory does not grow with the number of lists."""


def kth(
    *,
    k: int = 2,
    m: int = 16,
    n: Count = 1024,
    seed: Seed = 0,
    pool: Count | None = None,
    paper_compat: bool = False,
    tokenizer: Any = None,
) -> tuple[Tree, ...]:
    """Lists of numbers, and nothing else; what comes next is the `k`-th smallest.

    The same seed gives the same lists for every `k`. The query is the last number, from which the answer is read.

    Args:
        k: from 1. With 1 the answer is the only useful number, so there is one height.
        m: numbers in a list.
        n: lists.
        seed: of the lists.
        pool: so many numbers are drawn from: those from 0 up; with a tokenizer those that are one token each. 512 when
            None, or as many as the tokenizer has.
        paper_compat: repeats as in the published recipe: drawn with replacement, the answer without its space before it
            and, of equal numbers, the first one alone useful. Otherwise no number comes twice in a list.
        tokenizer: of the model that will read the lists.

    Raises:
        StimulusError: if `k` or `m` do not fit, or there are too few numbers.
    """
    if not 1 <= k <= m or n < 1 or (pool is not None and pool < 1):
        raise StimulusError(f"k={k}, m={m}, n={n}, pool={pool}. Give 1 <= k <= m, and n and pool of 1 or more.")
    numbers = np.array(range(pool or POOL) if tokenizer is None else single_tokens(tokenizer, pool or POOL))
    if len(numbers) < (1 if paper_compat else m):
        raise StimulusError(_too_few(len(numbers), k, m, of_tokenizer=tokenizer is not None))
    rng = np.random.default_rng(seed)
    drawn = draw_indices(rng, len(numbers), m, n, repeats=paper_compat)
    return tuple(
        list_tree([int(number) for number in numbers[row]], k, f"kth-{k}/{seed}/{i}", paper_compat=paper_compat)
        for i, row in enumerate(drawn)
    )


def _too_few(n: int, k: int, m: int, *, of_tokenizer: bool) -> str:
    """Why no list can be drawn from n numbers, and what helps."""
    if not of_tokenizer:
        return f"There are {n} numbers to draw from, and a list needs {m} different ones. Make the pool larger."
    have = f"In this tokenizer {f'only {n}' if n else 'no'} numbers are one token each with the space before them, and a list needs {m}"
    if n < max(k, 2):
        return f"{have}: no m helps. Take another task, such as rules, or a file of trees."
    return f"{have}. Give an m of at most {n}."


def draw_indices(rng: np.random.Generator, size: int, m: int, n: int, *, repeats: bool = False) -> np.ndarray:
    """Indices below `size`, ``(n, m)``; none comes twice in a row unless `repeats`."""
    if repeats:
        return rng.integers(size, size=(n, m))
    rows = max(1, _AT_ONCE // size)
    parts = [rng.random((min(rows, n - at), size)).argsort(axis=1)[:, :m] for at in range(0, n, rows)]
    return np.concatenate(parts) if parts else np.zeros((0, m), np.int64)


def list_tree(numbers: list[int], k: int, name: str, *, paper_compat: bool = False) -> Tree:
    """The tree of one list.

    Where numbers repeat, useful are the first `k` by value and then place; with `paper_compat`, for each rank up to the
    `k`-th the first place of the next lower number that is no repeat, so that fewer than `k` may be useful.
    """
    order = sorted(range(len(numbers)), key=lambda place: (numbers[place], place))[:k]
    if paper_compat:
        order = list(dict.fromkeys(numbers.index(numbers[place]) for place in order))
    *smaller, last = order
    text, spans = join_statements([str(number) for number in numbers])
    values = list(dict.fromkeys(numbers))
    return Tree(
        id=name,
        text=text,
        statements=spans,
        query=spans[-1],
        edges=(*((place, last) for place in smaller), (last, CONCLUSION)),
        choices=tuple(f"{'' if paper_compat else ' '}{value}" for value in values),
        answer=values.index(numbers[last]),
        group=name,
        kinds=("number",) * len(numbers),
        tags={"task": "kth", "k": str(k), "m": str(len(numbers))},
    )


def single_tokens(tokenizer: Any, size: int = POOL) -> list[int]:
    """The first `size` numbers from 0 up that the tokenizer has as one token, both at the start of a text and after a space.

    Args:
        tokenizer: a transformers tokenizer.
        size: how many at most.
    """
    spelled = (
        re.fullmatch(r"\W?(0|[1-9]\d*)", entry) or re.fullmatch(r"Ġ(0|[1-9]\d*)", entry)
        for entry in tokenizer.get_vocab()
    )
    known = sorted({int(match[1]) for match in spelled if match and int(match[1]) <= LIMIT})
    found: list[int] = []
    for number in known:
        ids = tokenizer(f"{number} {number}", add_special_tokens=False)["input_ids"]
        if len(ids) == 2 and getattr(tokenizer, "unk_token_id", None) not in ids:
            found.append(number)
        if len(found) == size:
            break
    return found
