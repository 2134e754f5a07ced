"""Whole runs where nothing is there: a spec is executed into a directory, and the verdict that lies in it is counted.

The models are random and tiny, so that nothing in them is learned; items are answered as the model answers them, so that there is an
ability to lose. What is claimed of them is a matter of lots: sides of a contrast, labels of a tree, which items are the own ability's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ground import tokenizer

from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.instruments.perturb.spec import Perturb
from broca.instruments.probe.spec import Probe
from broca.instruments.sensitivity.spec import Sensitivity
from broca.interventions.plant import output_weights
from broca.items import Contrast, Item, Stimulus
from broca.models.build import fresh
from broca.models.lm import LM
from broca.runs import open_run, run
from broca.scoring import Likelihood
from certificate.maps import WORDS
from certificate.parts import NOMINAL, Kept, generator
from certificate.rows import Row, share

Rng = np.random.Generator
CONFIG = {
    "model_type": "llama", "vocab_size": 1024, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 8, "intermediate_size": 96, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
"""24 heads: more than the 20 without which no rank among them is at .05."""
DRAWS = 40
ITEMS = 32


@dataclass(frozen=True, slots=True)
class RunCase:
    """Runs of a kind, and which of their rungs would be false."""

    instrument: str
    name: str
    made: Callable[[Rng, Path], tuple[Any, LM]]
    """Of a generator and a folder for files: what is run, on which model."""
    false: tuple[str, ...]


def model(rng: Rng, spread: float = 0.2) -> LM:
    """A random one, its weights so widely spread."""
    return LM.wrap(
        fresh({**CONFIG, "initializer_range": spread}, int(rng.integers(1 << 31))), tokenizer(), name="random"
    )


def sentence(rng: Rng, n: int = 6) -> str:
    """Words in any order."""
    return " ".join(rng.choice(WORDS, n))


def as_said(lm: LM, asked: Sequence[Item]) -> list[Item]:
    """The items with what the model says as the right answer."""
    said = Likelihood()(lm, asked)["predicted"].to_list()
    return [replace(item, answer=answer) for item, answer in zip(asked, said, strict=True)]


def questions(rng: Rng, n: int, ability: str = "") -> list[Item]:
    """Of different texts, with two choices each."""
    pairs = [rng.choice(WORDS, 2, replace=False) for _ in range(n)]
    return [
        Item(f"{ability}{i}", f"{i} {sentence(rng)} is", (f" {a}", f" {b}"), 0, ability)
        for i, (a, b) in enumerate(pairs)
    ]


def write(items: Sequence[Item], path: Path, **more: Sequence[Any]) -> str:
    """The items as a file that a study reads."""
    rows = [
        {"id": item.id, "prompt": item.prompt, "choices": list(item.choices), "answer": item.answer}
        | {name: values[i] for name, values in more.items()}
        for i, item in enumerate(items)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def abilities(lm: LM, rng: Rng, folder: Path, *, said: bool = True) -> tuple[str, str]:
    """Files of two abilities that differ by lot alone; right answers by lot too where not as the model says."""
    items = questions(rng, 2 * ITEMS)
    items = as_said(lm, items) if said else [replace(item, answer=int(rng.integers(2))) for item in items]
    own, other = folder / "own.jsonl", folder / "other.jsonl"
    return write(items[:ITEMS], own), write(items[ITEMS:], other)


def _contrast(
    positive: Sequence[str], negative: Sequence[str], groups: Sequence[Sequence[str]] | None = None
) -> Contrast:
    named = groups or [[""] * len(positive), [""] * len(negative)]
    sides = [
        tuple(Stimulus(f"{side}{i}", text, group) for i, (text, group) in enumerate(zip(texts, own, strict=True)))
        for side, texts, own in zip("ab", (positive, negative), named, strict=True)
    ]
    return Contrast("by lot", *sides, source="by lot")


def _localized(contrast: Callable[[Rng], Contrast], *, pool: str = "last", grain: str = "unit") -> Any:
    def made(rng: Rng, folder: Path) -> tuple[CausalTest, LM]:
        lm = model(rng)
        own, other = abilities(lm, rng, folder)
        shown: dict[str, Any] = {"grain": grain, "pool": pool, "sites": "*.z" if grain == "head" else "*.mlp_act"}
        localizer = Localize(contrast=contrast(rng), permutations=99, twins=19, **shown)
        percent = 10.0
        return CausalTest(localizer=localizer, items=own, others=(other,), percent=percent, draws=DRAWS), lm

    return made


def _lots(rng: Rng) -> Contrast:
    return _contrast(*([sentence(rng) for _ in range(40)] for _ in "ab"))


def _templates(rng: Rng) -> Contrast:
    """Ten of each side, by lot, with six fillings each."""
    shapes = [sentence(rng) for _ in range(20)]
    sides = [[f"{shape} {word}" for shape, word in product(some, WORDS[:6])] for some in (shapes[:10], shapes[10:])]
    return _contrast(*sides, [[f"{side}{i // 6}" for i in range(60)] for side in "ab"])


def _opening(rng: Rng) -> Contrast:
    begins = sentence(rng, 3)
    a, b = ([sentence(rng) for _ in range(40)] for _ in "ab")
    return _contrast([f"{begins} {text}" for text in a], b)


def _weights(*, said: bool) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Sensitivity, LM]:
        lm = model(rng)
        own, other = abilities(lm, rng, folder, said=said)
        spec = Sensitivity(
            task=own, others=(other,), gate="mark", draws=DRAWS, sweep="0.01", sweep_draws=0, nulls=("matrix",), n_general=12, n_read=8,
            window=24, reading={"length": 24}, sizes=(), twins=19,
        )  # fmt: skip
        return spec, lm

    return made


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


def _patched(change: Callable[[LM], None] | None = None) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Perturb, LM]:
        lm = model(rng, 0.4)
        if change is not None:
            change(lm)
        asked = [replace(item, prompt=f"{i} {sentence(rng, 2)}") for i, item in enumerate(questions(rng, 140))]
        asked = [replace(item, answer=int(rng.integers(2))) for item in asked]
        spec = Perturb(
            items=write(asked, folder / "own.jsonl"), n=140, kinds=("keyboard", "delete", "homoglyph"), words=2, controls=False,
            compare=0, cases=48, patterns="none", draws=DRAWS, percent=10,
        )  # fmt: skip
        return spec, lm

    return made


def _clone(lm: LM) -> None:
    """Every head of a layer is its first one."""
    width = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    with torch.no_grad():
        for block in lm.model.model.layers:
            for name in ("q_proj", "k_proj", "v_proj"):
                weight = getattr(block.self_attn, name).weight
                weight.copy_(weight[:width].repeat(len(weight) // width, 1))
            weight = block.self_attn.o_proj.weight
            weight.copy_(weight[:, :width].repeat(1, weight.shape[1] // width))


def _silence(lm: LM) -> None:
    """No head writes anything that is seen."""
    with torch.no_grad():
        for site in lm.anatomy.sites("z"):
            output_weights(lm, site).mul_(1e-4)


BOTH = "causal and specific"
CASES = (
    RunCase("localize", "sides by lot", _localized(_lots), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("localize", "sides by lot, heads", _localized(_lots, grain="head"), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("localize", "templates by lot", _localized(_templates), ("selective", "learned", "causal", "specific", BOTH)),
    RunCase("localize", "an opening", _localized(_opening, pool="mean"), ("selective", "learned", "causal", "specific", BOTH)),
    RunCase("sensitivity", "own items by lot", _weights(said=True), ("learned", "specific", BOTH)),
    RunCase("sensitivity", "right answers by lot", _weights(said=False), ("selective", "learned", "causal", "specific", BOTH)),
    RunCase("probe", "labels by lot", _trees(lots=True), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("probe", "an untrained model", _trees(lots=False), ("learned", BOTH)),
    RunCase("perturb", "an untrained model", _patched(), ("learned",)),
    RunCase("perturb", "heads that are one and the same", _patched(_clone), ("learned", "causal", BOTH)),
    RunCase("perturb", "heads that write nothing", _patched(_silence), ("selective", "learned", "causal", BOTH)),
)  # fmt: skip


def _state(verdict: Mapping[str, str], rung: str) -> str:
    """Of a rung, or of both of the place in one word."""
    if rung != BOTH:
        return verdict.get(rung, "not tested")
    both = {verdict.get(name, "not tested") for name in ("causal", "specific")}
    return "passed" if both == {"passed"} else next(s for s in ("failed", "undecided", "not tested") if s in both)


def executed(case: RunCase, k: int) -> dict[str, str]:
    """The states of the k-th run of a kind, as its directory has them."""
    with TemporaryDirectory() as folder:
        study, lm = case.made(generator(f"{case.instrument} {case.name}", k), Path(folder))
        done = run(study, lm, Path(folder) / "run")
        return {rung["name"]: rung["state"] for rung in open_run(done.path).verdict["rungs"]}


def rows(kept: Kept, n: int) -> list[Row]:
    """Each rung that would be false, by instrument and kind; and pooled."""
    found: list[Row] = []
    pooled: dict[tuple[str, str], list[str]] = {}
    for case in CASES:
        each = -(-n // sum(other.instrument == case.instrument for other in CASES))
        verdicts = kept(f"run {case.instrument} {case.name}", each, lambda k, case=case: executed(case, k))
        for rung in case.false:
            states = [_state(verdict, rung) for verdict in verdicts]
            found.append(share("run", f"{case.instrument}, {case.name}", states, claim=rung, bound=NOMINAL))
            pooled.setdefault((case.instrument, rung), []).extend(states)
    for (instrument, rung), states in pooled.items():
        if rung in (BOTH, "learned"):
            found.append(share("run", f"{instrument}, all of these", states, claim=rung, bound=NOMINAL))
    every = [state for (_, rung), states in pooled.items() if rung == BOTH for state in states]
    found.append(share("run", "all runs together", every, claim=BOTH, bound=NOMINAL, strict=True))
    return found
