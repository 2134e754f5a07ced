"""How alike two texts are in meaning: the cosine of their embeddings, beside that of texts which have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.items import Pair, fingerprint
from broca.models.embedding import Embedder
from broca.scoring.completions import Completion, cached_answers, hashes

SIMILARITY_SCHEMA = pl.Schema(
    {
        "row_id": pl.String,
        "kind": pl.String,
        "group": pl.String,
        "model": pl.String,
        "clean_hash": pl.String,
        "completion_hash": pl.String,
        "similarity": pl.Float64,
        "floor": pl.Float64,
        "identical": pl.Boolean,
        "truncated": pl.Boolean,
    }
)
"""One row a pair of texts.

`similarity` is the cosine, to 6 decimals, null where a text is empty; `floor` the same with the clean text of the next other
item, which shows what texts of this set have in common anyway; `truncated`: one of the two was too long for the model.
"""
CLEAN = "clean"


def similarities(
    embedder: Embedder, completions: Sequence[Completion], *, clean: str = CLEAN, cache: str | Path | None = None
) -> pl.DataFrame:
    """The table of `SIMILARITY_SCHEMA`: each completion against the clean one of the same row.

    Args:
        embedder: the model of sentences.
        completions: of all kinds, the clean one too.
        clean: the kind that others are compared with.
        cache: a file in which similarities are kept by the model's weights and the two texts.

    Raises:
        StimulusError: if a row has no clean completion, or there is nothing but clean ones.
        RunError: if the cache is no such file, or cannot be written.
    """
    base = {one.id: one for one in completions if one.kind == clean}
    others = [one for one in completions if one.kind != clean]
    alone = [one.id for one in others if one.id not in base]
    if not others or alone:
        what = f"{alone[0]!r} and {len(alone) - 1} more have" if alone else f"{len(completions)} completions have"
        raise StimulusError(
            f"{what} no partner: each completion is compared with the one of kind {clean!r} of the same row. Give both."
        )
    columns = hashes(others) | {"clean_hash": [fingerprint(base[one.id].text) for one in others]}
    after = dict(zip(base, [*list(base)[1:], *list(base)[:1]], strict=True))
    return _table(
        embedder,
        columns,
        [base[one.id].text for one in others],
        [one.text for one in others],
        [base[after[one.id]].text if len(base) > 1 else "" for one in others],
        cache=cache,
    )


def prompt_similarities(embedder: Embedder, pairs: Sequence[Pair], *, cache: str | Path | None = None) -> pl.DataFrame:
    """The table of `SIMILARITY_SCHEMA` for clean and perturbed prompts: did a perturbation leave the meaning as it was?

    Raises:
        StimulusError: if there are no pairs, or a pair and kind comes twice.
        RunError: if the cache is no such file, or cannot be written.
    """
    columns = hashes([Completion(pair.id, pair.kind, pair.clean, pair.perturbed, pair.cluster) for pair in pairs])
    columns["clean_hash"] = columns["prompt_hash"]
    clean = list(dict.fromkeys(pair.clean for pair in pairs))
    after = dict(zip(clean, [*clean[1:], *clean[:1]], strict=True))
    floor = [after[pair.clean] if len(clean) > 1 else "" for pair in pairs]
    return _table(
        embedder, columns, [pair.clean for pair in pairs], [pair.perturbed for pair in pairs], floor, cache=cache
    )


def similarity(
    embedder: Embedder, first: Sequence[str], second: Sequence[str], *, cache: str | Path | None = None
) -> list[float | None]:
    """The cosine of each text of `first` with its partner in `second`, to 6 decimals; None where one is empty.

    Raises:
        StimulusError: if there are not as many of each.
        RunError: if the cache is no such file, or cannot be written.
    """
    if len(first) != len(second):
        raise StimulusError(f"There are {len(first)} and {len(second)} texts. Give each a partner.")

    def answer(asked: list[tuple[Any, ...]]) -> list[float]:
        texts = list(dict.fromkeys(text for pair in asked for text in pair))
        place = {text: i for i, text in enumerate(texts)}
        values = embedder.embeddings(texts).astype(np.float64)
        a, b = (values[[place[pair[side]] for pair in asked]] for side in (0, 1))
        return [round(float(each), 6) for each in (a * b).sum(1)]

    said = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a.strip() and b.strip()]
    pairs = [(first[i], second[i]) for i in said]
    found: list[float | None] = [None] * len(first)
    for i, value in zip(
        said, cached_answers(["similarity", embedder.fingerprint], pairs, answer, cache=cache), strict=True
    ):
        found[i] = value
    return found


def _table(
    embedder: Embedder,
    columns: dict[str, list[str]],
    clean: Sequence[str],
    other: Sequence[str],
    unrelated: Sequence[str],
    *,
    cache: str | Path | None,
) -> pl.DataFrame:
    long = embedder.are_truncated([*clean, *other])
    n = len(other)
    values: dict[str, Any] = {
        "model": [embedder.name] * n,
        "similarity": similarity(embedder, clean, other, cache=cache),
        "floor": similarity(embedder, unrelated, other, cache=cache),
        "identical": [a == b for a, b in zip(clean, other, strict=True)],
        "truncated": [a or b for a, b in zip(long[:n], long[n:], strict=True)],
    }
    return pl.DataFrame({name: (columns | values)[name] for name in SIMILARITY_SCHEMA}, schema=SIMILARITY_SCHEMA)
