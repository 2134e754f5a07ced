"""What weight masks cost: scoring against the bare forward and backward pass, and a sweep against the ancestor's way.

Interleaved in one process, on random Llamas:

* memory: bytes of all tensors at their peak, as PyTorch's profiler counts them, of scoring and of a forward and backward
  pass that drops each gradient the moment it is whole;
* scoring: every matrix's squared gradients, one text at a time and batched, against forward + backward of the same loss
  with the same parameters asking for gradients, which are then thrown away;
* sweep: masks of some of 27 fractions put in force and taken back, beside the evaluation of items and texts under each;
* shared forwards: eight masks of the model `beliefs` in force one after the other, each for a forward pass of its own, and
  as sparse deltas, all in one pass of eight times as many rows;
* the ancestor: for each fraction a top-k of two full score files, the edited model saved, loaded, and evaluated.

Times and bytes are those of `--points` fractions. Results are written after each part.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ground import (
    Row,
    arguments,
    interleaved,
    model,
    named,
    random_tokens,
    ratio,
    settle,
    write,
)
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM

from broca.capture.objectives import OBJECTIVES, text
from broca.capture.ranking import rank_weights
from broca.capture.weight_gradients import asking, sensitivity
from broca.evidence.abilities import abilities
from broca.instruments.sensitivity.sweep import swept
from broca.interventions.weights import Edit, WeightDeltas, WeightMask
from broca.models.lm import LM
from broca.models.tokens import pad_tokens
from broca.models.weight_matrices import matrices
from broca.units.weight_ranking import WeightRanking, without
from broca.units.weights import WeightSet

LENGTHS = {"short": 24, "long": 128}
TEXTS = {"small": 32, "large": 8}
READ = {"small": 64, "large": 32}
"""Texts of 128 tokens that a sweep's evaluation stands for: the fewer, the more a mask weighs."""
WHOLE = OBJECTIVES["full"]
SWEEP = {"small": "0:5e-3:2e-4", "large": "0:5e-4:2e-5"}
"""As many fractions as published, a hundred and ten times as large, for models that are much smaller."""


def bare(lm: LM, tokens: list[Any], parameters: set[str]) -> None:
    """Forward and backward of the same mean loss, one text at a time; gradients are thrown away."""
    own = [lm.model.get_parameter(path) for path in parameters]
    with asking(lm.model, parameters), torch.enable_grad():
        for each in tokens:
            ids = torch.tensor([each.ids])
            lm.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            for parameter in own:
                parameter.grad = None


def scoring(lm: LM, texts: int, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    every = matrices(lm.model, lm.anatomy)
    parameters = {m.parameter for m in every}
    rows, times = [], {}
    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    for name, length in LENGTHS.items():
        tokens = random_tokens(texts, vocabulary, length)
        asked = [text(each) for each in tokens]

        def way(mode: Any, asked: list[Any] = asked) -> Callable[[], Any]:
            return lambda: sensitivity(lm, asked, WHOLE, every, mode=mode, halves=False)

        ways = {
            "bare": lambda tokens=tokens: bare(lm, tokens, parameters),
            "single": way("single"),
            "batched": way("batched"),
        }
        seconds = interleaved(ways, rounds)
        times[name] = {way: [round(s, 4) for s in some] for way, some in seconds.items()}
        rows += [
            Row(
                f"scoring one text at a time / bare, {length} tokens",
                named(lm),
                ratio(seconds["single"], seconds["bare"]),
                "x",
                1.25,
            ),
            Row(
                f"scoring one at a time / batched, {length} tokens",
                named(lm),
                ratio(seconds["single"], seconds["batched"]),
                "x",
                1.0 if name == "short" else None,
                "at least",
            ),
        ]
    return rows, times


def rankings(lm: LM, most: float) -> tuple[WeightRanking, WeightRanking, list[dict[str, np.ndarray]]]:
    every = matrices(lm.model, lm.anatomy)
    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    of = {m.name: m for m in every}
    found, full = [], []
    for seed in (0, 1):
        asked = [text(each) for each in random_tokens(8, vocabulary, 32 + seed)]
        sums = sensitivity(lm, asked, WHOLE, every, halves=False)
        scores = {
            name: sums.score(m, lm.model.get_parameter(m.parameter), "squared-gradient").numpy()
            for name, m in of.items()
        }
        full.append(scores)
        found.append(rank_weights(scores.__getitem__, {n: m.address for n, m in of.items()}, most=most))
    return found[0], found[1], full


@torch.no_grad()
def evaluated(lm: LM, batches: list[Any]) -> None:
    for batch in batches:
        lm.next_logits(batch)


def sweeping(lm: LM, sweep: str, texts: int, points: int) -> tuple[list[Row], dict[str, Any]]:
    every = swept(sweep, published=True)[1:]
    fractions = every[:: max(1, len(every) // points)][:points]
    task, general, full = rankings(lm, every[-1])
    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    batches = list(lm.batches(random_tokens(texts, vocabulary, 128)))
    evaluated(lm, batches)
    with tempfile.TemporaryDirectory() as folder:
        masking = evaluating = 0.0
        for m in fractions:
            start = time.perf_counter()
            mask = WeightMask(without(task, [general], m, m), Edit("mean"))
            with mask.apply(lm):
                masking += time.perf_counter() - start
                start = time.perf_counter()
                evaluated(lm, batches)
                evaluating += time.perf_counter() - start
                start = time.perf_counter()
            masking += time.perf_counter() - start
        WeightMask(without(task, [general], every[-1], every[-1])).save(Path(folder) / "mask.safetensors")
        lists = sum(each.index.nbytes + each.score.nbytes for r in (task, general) for each in r.lists.values())
        written = lists + sum(file.stat().st_size for file in Path(folder).iterdir()) * len(every)
    theirs, size = ancestor(lm, full, fractions, batches)
    read = f"{len(fractions)} of {len(every)} fractions, {texts} texts of 128 tokens"
    rows = [
        Row("sweep: masking / evaluation", named(lm), masking / evaluating, "x", 0.02, note=read),
        Row("sweep: bytes of lists and all masks", named(lm), written / 2**20, "MiB", 20),
        Row("sweep: the ancestor's time / ours", named(lm), theirs / (masking + evaluating), "x", note=read),
        Row("sweep: the ancestor's bytes / ours", named(lm), size / len(fractions) * len(every) / written, "x"),
    ]
    return rows, {"masking": masking, "evaluating": evaluating, "ancestor": theirs, "fractions": list(fractions)}


def sharing(rounds: int, texts: tuple[int, ...] = (1, 8), masks: int = 8) -> list[Row]:
    """Masks of a thousandth of each matrix, drawn at random, on prompts of false beliefs."""
    lm = LM.load("beliefs")
    every = matrices(lm.model, lm.anatomy)
    draw = np.random.default_rng(0)
    addresses = {m.name: m.address for m in every}

    def drawn() -> WeightMask:
        at = {name: draw.choice(a.size, max(1, a.size // 1000), replace=False) for name, a in addresses.items()}
        return WeightMask(WeightSet({name: np.sort(index) for name, index in at.items()}, addresses))

    chosen = [drawn() for _ in range(masks)]
    prompts = [item.prompt for item in abilities(("beliefs/false-belief",), {}, max(texts))["false-belief"]]
    tokens = lm.tokenize(prompts)
    rows = []
    for n in texts:
        one, all_rows = (pad_tokens(own, range(len(own)), lm.pad) for own in (tokens[:n], tokens[:n] * masks))

        def edited(one: Any = one) -> None:
            for mask in chosen:
                with lm.under(mask):
                    lm.next_logits(one)

        def shared(n: int = n, every_row: Any = all_rows) -> None:
            with lm.under(WeightDeltas(chosen, tuple(at for at in range(masks) for _ in range(n)))):
                lm.next_logits(every_row)

        seconds = interleaved({"edited": edited, "shared": shared}, rounds)
        what = f"{masks} masks on {n} prompts: one after the other / as deltas in one pass"
        rows.append(
            Row(
                what,
                named(lm),
                ratio(seconds["edited"], seconds["shared"]),
                "x",
                note=f"{chosen[0].count} weights each",
            )
        )
    return rows


def ancestor(lm: LM, full: list[dict[str, np.ndarray]], fractions: Any, batches: list[Any]) -> tuple[float, int]:
    """Top-k of both full score files for every matrix, edit, save the whole model, load it, evaluate it, for each fraction."""
    size, start = 0, time.perf_counter()
    of = {m.name: m for m in matrices(lm.model, lm.anatomy)}
    for m in fractions:
        with tempfile.TemporaryDirectory() as folder:
            state = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
            for name, matrix in of.items():
                masks = []
                for scores in full:
                    flat = torch.from_numpy(scores[name]).flatten()
                    k = int(flat.numel() * m)
                    masks.append(
                        flat > torch.topk(flat, k).values[-1] if k else torch.zeros_like(flat, dtype=torch.bool)
                    )
                chosen = (masks[0] & ~masks[1]).view(scores[name].shape)
                weight = state[matrix.parameter]
                weight[chosen] = (weight * ~chosen).mean()
            lm.model.save_pretrained(folder, state_dict=state)
            size += sum(file.stat().st_size for file in Path(folder).iterdir())
            again = LM.wrap(AutoModelForCausalLM.from_pretrained(folder).eval(), lm.tokenizer, anatomy=lm.anatomy)
            evaluated(again, batches)
            del again
            gc.collect()
    return time.perf_counter() - start, size


def memory(lm: LM, length: int = 32) -> list[Row]:
    """Tensors at their peak while one text after the other is scored.

    "But the sums" is what the model's device holds when the sums are kept on another; it is counted here, on one device.
    """
    every = matrices(lm.model, lm.anatomy)
    copy = 4 * sum(m.address.size for m in every)
    tokens = random_tokens(3, 1024, length)
    asked = [text(each) for each in tokens]
    model_bytes = sum(p.numel() * p.element_size() for p in lm.model.parameters())

    def scored() -> None:
        sensitivity(lm, asked, WHOLE, every, mode="single", halves=False)

    def dropped() -> None:
        with dropping(lm, {m.parameter for m in every}):
            bare(lm, tokens, {m.parameter for m in every})

    ours, theirs = peak_of_tensors(scored), peak_of_tensors(dropped)
    note = f"a text of {length} tokens"
    return [
        Row("scoring: above the model / one float32 copy of the matrices", named(lm), ours / copy, "x", note=note),
        Row(
            "scoring: above a pass that drops its gradients / one float32 copy",
            named(lm),
            (ours - theirs) / copy,
            "x",
            1.0,
            note=note,
        ),
        Row(
            "scoring: model and all but the sums / model",
            named(lm),
            1 + (ours - copy) / model_bytes,
            "x",
            1.3,
            note=note,
        ),
    ]


@contextmanager
def dropping(lm: LM, parameters: set[str]) -> Iterator[None]:
    """Run the body with each gradient thrown away the moment it is whole."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    handles = [lm.model.get_parameter(path).register_post_accumulate_grad_hook(drop) for path in parameters]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def peak_of_tensors(run: Callable[[], None]) -> int:
    """Bytes of the tensors that `run` holds at its peak."""
    run()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    steps = [event for event in events if event.get("name") == "[memory]"]
    return int(np.cumsum([step["args"]["Bytes"] for step in sorted(steps, key=lambda step: step["ts"])]).max())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--points", type=int, default=4, help="fractions that are timed, ours and the ancestor's")
    parser.add_argument("--sizes", nargs="+", default=["small", "large"])
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    load = settle(given.threads)
    rows: list[Row] = []
    more: dict[str, Any] = {}

    def done(found: list[Row]) -> None:
        rows.extend(found)
        write("sensitivity", rows, load=load, **more)
        for row in found:
            bound = "" if row.bound is None else f"{row.side} {row.bound}"
            print(f"{row.what:70} {row.model:8} {row.value:8.3g} {row.unit} {bound} {row.met}", flush=True)

    done(memory(model("large")))
    done(sharing(given.rounds))
    for size in given.sizes:
        lm = model(size)
        lm.batch_size = TEXTS[size]
        found, more[f"scoring {size}"] = scoring(lm, TEXTS[size], given.rounds)
        done(found)
        found, more[f"sweep {size}"] = sweeping(lm, SWEEP[size], READ[size], given.points)
        done(found)


if __name__ == "__main__":
    main()
