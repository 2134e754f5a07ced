"""Probes of trees whose useful statements are a matter of lots, or of a model that learned nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from broca.instruments.probe.spec import Probe
from broca.items import Item
from broca.models.lm import LM
from certificate.maps import WORDS
from certificate.random_models import ITEMS, Rng, as_said, model, questions, write
from certificate.runs import BOTH, DRAWS, RunCase, once


def _trees(*, lots: bool) -> Any:
    """Useful is one word by lot, or the one that comes first in the alphabet."""

    def made(rng: Rng, folder: Path) -> tuple[Probe, LM]:
        lm, rows, n = model(rng), [], 96
        for i in range(n):
            words = [str(word) for word in rng.choice(WORDS, 8, replace=False)]
            useful = rng.permutation(8)[:2] if lots else np.argsort(words)[:2]
            first, last = (int(each) + 1 for each in useful)
            row = {
                "id": f"{i}",
                "statements": words,
                "edges": [[first, last], [last, "conclusion"]],
                "question": " is",
                "choices": words,
            }
            rows.append(row | {"answer": 0})
        items = [
            Item(row["id"], f"{' '.join(row['statements'])} is", tuple(f" {w}" for w in row["choices"]), 0)
            for row in rows
        ]
        for row, item in zip(rows, as_said(lm, items), strict=True):
            row["answer"] = item.answer
        path = folder / "trees.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        other = write(as_said(lm, questions(rng, ITEMS, "other")), folder / "other.jsonl")
        spec = Probe(
            task=str(path), others=(other,), n=48, n_items=32, draws=DRAWS, maps=False, permutations=19, pooling="heads", percent=10,
        )  # fmt: skip
        return spec, lm

    return made


CASES = (
    RunCase("labels by lot", once(_trees(lots=True)), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("an untrained model", once(_trees(lots=False)), ("learned", BOTH)),
)  # fmt: skip
