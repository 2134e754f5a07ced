"""What carries induction in `induction`: every edge patched by itself, every head held at zero, and where the heads look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from broca.cache.cache import Progress, silent
from broca.capture.edges import score_exactly
from broca.interventions.lesion import Lesion
from broca.items import Item
from broca.models.attention import attention_rows
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.scoring.likelihood import Likelihood
from broca.stimuli.induction import induction
from broca.units import UnitMask

N, WORDS, SEED = 200, 12, 7
"""Lists on which the truth is measured, their words, and their seed: no study draws it by default."""


def truth(path: Path, *, progress: Progress = silent) -> dict[str, Any]:
    """Of the intact model the mean margin in logits; of each edge what patching it alone costs; of each head accuracy without it.

    An edge is patched from the same list, in which the words before the right one and before the other choice are exchanged the first
    time: see `broca.stimuli.induction`.

    Args:
        path: the model's directory.
        progress: told what is done, how much of it, and how much there is.
    """
    lm = LM.load(str(path), dtype="float32", device="cpu")
    items = induction(n=N, words=WORDS, seed=SEED)
    graph, pairs = circuit_parts(lm).graph, [beside(lm, item) for item in items]
    costs = []
    for done in range(graph.n_edges):
        progress("patching edges", done, graph.n_edges)
        costs.append(float(score_exactly(lm, pairs, [done]).mean()))
    progress("patching edges", graph.n_edges, graph.n_edges)
    clean, counter = (lm.all_logits([getattr(p, side) for p in pairs]).numpy() for side in ("clean", "counterfactual"))
    rows, right, wrong = np.arange(N), [p.right for p in pairs], [p.wrong for p in pairs]
    return {
        "margin": float((clean[rows, right] - clean[rows, wrong]).mean()),
        "margin of the counterfactual": float((counter[rows, right] - counter[rows, wrong]).mean()),
        "edges": {graph.name(edge): round(cost, 4) for edge, cost in enumerate(costs)},
        "accuracy": _heads(lm, items),
        "attention": _looks(lm, pairs),
    }


def beside(lm: LM, item: Item) -> CounterfactualPair:
    """The item beside the counterfactual that it brings."""
    right, foil = item.choices[item.answer].strip(), item.choices[1 - item.answer].strip()
    clean, counter = lm.tokenize([str(item.prompt), item.tags["counterfactual"]], chat="never")
    first, second = (lm.tokenizer.convert_tokens_to_ids(word) for word in (right, foil))
    return CounterfactualPair(clean, counter, first, second, item.id, item.cluster)


def _heads(lm: LM, items: tuple[Item, ...]) -> dict[str, float]:
    """Accuracy intact, and with each head at zero."""
    found = {"nothing": float(Likelihood()(lm, items)["correct"].mean())}  # type: ignore[arg-type]
    for layer in range(lm.anatomy.n_layers):
        for head in range(lm.anatomy.n_heads):
            mask = UnitMask.of({f"{layer}.z": [head]}, n=lm.anatomy.n_heads, grain="head")
            with lm.under(Lesion(mask)):
                found[f"{layer}.{head}"] = float(Likelihood()(lm, items)["correct"].mean())  # type: ignore[arg-type]
    return found


def _looks(lm: LM, pairs: list[CounterfactualPair]) -> dict[str, dict[str, float]]:
    """Of each head the mean attention of words of the second time to the word before them, and to the one behind their first copy."""
    sums: dict[str, list[float]] = {}
    for pair in pairs:
        rows = attention_rows(lm, lm.pad_batch([pair.clean]), rows=(tuple(range(len(pair.clean))),))
        for layer, seen in rows.items():
            for head, weights in enumerate(seen[0].double().numpy()):
                n = WORDS
                second = range(n + 1, len(pair.clean))  # BOS stands before the list
                found = sums.setdefault(f"{layer}.{head}", [0.0, 0.0, 0.0])
                found[0] += sum(float(weights[at, at - 1]) for at in second)
                found[1] += sum(float(weights[at, at - n + 1]) for at in second)
                found[2] += len(second)
    return {name: {"previous": round(a / n, 4), "induction": round(b / n, 4)} for name, (a, b, n) in sums.items()}
