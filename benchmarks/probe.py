"""What attention features cost beside the bare forward pass, and how long the neighbours of a probe take.

GPT-2-small shape, random weights, float32; ways take turns in one process:

* lists: features of 1,024 lists of 16 numbers (question: the last token; statements: numbers; every head kept), texts in, features
  out, against the bare sdpa forward pass over the same batches (last logits only, no cache);
* long: one text of 1,024 tokens with 16 statements and a question of 24 tokens, against sdpa and against eager with
  `output_attentions`; also the bytes that each keeps, and how far the rows differ;
* neighbours: out-of-fold predictions of 24,000 rows of 19 features, 8 neighbours, 5 grouped folds, L1 and L2.

``python benchmarks/probe.py``: about ten minutes on a quiet core; ``--lists 64 --rows 6000 --rounds 2`` takes one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from ground import Row, arguments, interleaved, ratio, settle, write
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, logging

from broca.capture.head_features import PRESETS, features
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.wiring.dissection import dissect
from broca.stats.probing import Classifier, folds, predictions, waiting
from broca.stimuli.trees import trees

NAME = "GPT-2 small"
LONG, STATEMENTS, QUESTION = 1024, 16, 24


def reader(attention: str) -> LM:
    words = Tokenizer(WordLevel({str(n): n for n in range(512)} | {"<unk>": 512}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = fresh({"model_type": "gpt2"}, attention=attention)
    return LM(model, PreTrainedTokenizerFast(tokenizer_object=words), dissect(model), name=NAME)


def bare(lm: LM, texts: list[str]) -> None:
    for _ in lm.each(lm.tokenize(texts), lm.next_logits):
        pass


def on_lists(lm: LM, n: int, rounds: int) -> list[Row]:
    shown = trees("kth", k=2, m=16, n=n)
    texts, spans, queries = ([getattr(t, name) for t in shown] for name in ("text", "statements", "query"))

    def seen() -> None:
        features(lm, texts, spans, queries=queries, pooling=PRESETS["heads"])

    ways: dict[str, Callable[[], Any]] = {"bare": lambda: bare(lm, texts), "features": seen}
    seconds = interleaved(ways, rounds)
    return [
        Row(f"bare sdpa forward, {n} lists of 16", NAME, statistics.median(seconds["bare"]), "s"),
        Row(
            f"features / bare, {n} lists of 16",
            NAME,
            ratio(seconds["features"], seconds["bare"]),
            "x",
            1.15,
            "at most",
        ),
    ]


def long_text() -> tuple[str, list[tuple[int, int]], tuple[int, int]]:
    numbers = np.random.default_rng(0).integers(0, 512, LONG).astype(str).tolist()
    ends = np.cumsum([len(number) + 1 for number in numbers])
    cuts = np.linspace(0, LONG - QUESTION, STATEMENTS + 1).astype(int)
    place = [(int(ends[a - 1]) if a else 0, int(ends[b - 1]) - 1) for a, b in pairwise(cuts)]
    return " ".join(numbers), place, (int(ends[LONG - QUESTION - 1]), int(ends[-1]) - 1)


def on_a_long_text(lm: LM, eager: LM, rounds: int) -> list[Row]:
    text, spans, query = long_text()
    how = PRESETS["llama-code"]
    batch = next(iter(eager.batches(eager.tokenize([text]))))
    kept: dict[str, Any] = {}

    def maps() -> None:
        kept["eager"] = eager.call(batch, output_attentions=True, logits_to_keep=1).attentions

    def seen() -> None:
        kept["features"] = features(lm, [text], [spans], queries=[query], pooling=how)

    seconds = interleaved({"bare": lambda: bare(lm, [text]), "features": seen, "eager": maps}, rounds)
    own = kept["features"].of(0)
    whole = torch.stack(kept["eager"])[:, 0].double().numpy()
    rows = whole[:, :, LONG - QUESTION :].max(2).mean(1)
    cuts = np.linspace(0, LONG - QUESTION, STATEMENTS + 1).astype(int)
    by_hand = np.stack([rows[:, a:b].mean(1) for a, b in pairwise(cuts)], -1)
    stored = sum(each.nbytes for each in kept["eager"]) / own.nbytes
    return [
        Row("bare sdpa forward, 1,024 tokens", NAME, statistics.median(seconds["bare"]), "s"),
        Row(
            "features / bare, 1,024 tokens",
            NAME,
            ratio(seconds["features"], seconds["bare"]),
            "x",
            1.15,
            "at most",
        ),
        Row(
            "eager maps / features, time",
            NAME,
            ratio(seconds["eager"], seconds["features"]),
            "x",
            1.5,
            "at least",
        ),
        Row("eager maps / features, bytes kept", NAME, stored, "x", 500, "at least"),
        Row("largest difference from eager", NAME, float(np.abs(own[:, 0] - by_hand).max()), "", 1e-6, "at most"),
    ]


def neighbours(n: int) -> list[Row]:
    draw = np.random.default_rng(0)
    x, group = draw.dirichlet(np.ones(19), n), np.repeat(np.arange(n // 16 + 1), 16)[:n]
    y = draw.integers(0, 2, n)
    rows = []
    for distance in ("l2", "l1"):
        start = time.process_time()
        votes = waiting(x, folds(n, group), Classifier(distance=distance))  # type: ignore[arg-type]
        predictions(votes(y[None], 2))
        seconds = time.process_time() - start
        rows.append(Row(f"kNN of {n:,} x 19 rows, {distance.upper()}, CPU", "–", seconds, "s", 5, "at most"))
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lists", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=24_000)
    given = parser.parse_args()
    load = settle(given.threads)
    logging.set_verbosity_error()
    rows = neighbours(given.rows)
    lm = reader("sdpa")
    rows += on_a_long_text(lm, reader("eager"), given.rounds)
    rows += on_lists(lm, given.lists, given.rounds)
    for row in rows:
        print(row)
    write("probe", rows, load=load)


if __name__ == "__main__":
    main()
