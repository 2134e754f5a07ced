"""Which of transformers' classes are proved: every causal and image-text-to-text class, built tiny from its config.

Each class is tried in a process of its own with a time-out, so that one that hangs or crashes costs itself only. Prints the
counts and writes docs/models.md. `python benchmarks/coverage.py llama bert` tries some types and writes nothing.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto as auto
from transformers.utils import logging

from broca.errors import BrocaError
from broca.models.miniatures import VOCABULARY, Family, tiny

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
SECONDS, WORKERS = 120, 2
FAMILIES: dict[Family, Any] = {
    "causal": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "image": auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
}
TITLES = {"causal": "Causal language models", "image": "Images and text to text"}
BEYOND = "needs more than text"
PADDING = 1e-3
"""Largest difference of a logit, relative to the largest, that padding may make."""


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {f"t{i}": i for i in range(VOCABULARY)}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="t3")), pad_token="t0", bos_token="t1", eos_token="t2"
    )


def tried(kind: str, family: Family) -> dict[str, Any]:
    """One row of the table."""
    from broca.models.lm import LM

    row: dict[str, Any] = {"kind": kind, "family": family, "class": str(FAMILIES[family][kind])}
    try:
        model = tiny(kind, family)
    except BrocaError as error:
        return {**row, "state": "unbuildable", "reason": str(error)}
    try:
        lm = LM.wrap(model, tokenizer(), name=kind)
    except BrocaError as error:
        return {**row, "state": "refused", "reason": str(error)}
    return {**row, "state": "proved", **told(lm)}


def told(lm: Any) -> dict[str, Any]:
    from broca.models.wiring.experts import experts
    from broca.sites import KINDS

    a = lm.anatomy
    kinds = {k: sum(bool(getattr(block, k)) for block in a.blocks) for k in KINDS if hasattr(a.blocks[0], k)}
    sites = ", ".join(k if n == a.n_layers else f"{k} ({n}/{a.n_layers})" for k, n in kinds.items() if n)
    skipped = sum(not block.on_text for block in a.blocks)
    notes = [f"{skipped} of {a.n_layers} blocks need an image"] if skipped else []
    notes += [f"{a.blocks[0].streams} streams"] if a.blocks[0].streams > 1 else []
    notes += ["up to scales of each channel"] if any(block.channels for block in a.blocks) else []
    notes += ["up to a constant"] if any(block.constant and not block.channels for block in a.blocks) else []
    others = sorted({name for block in a.blocks for name in block.others})
    notes += [f"also writes: {', '.join(others)}"] if others else []
    return {
        "sites": sites or "the stream only",
        "heads": f"{a.n_heads} / {a.n_kv_heads}" if a.n_heads else "",
        "rows": rows_of(lm),
        "experts": max((e.count for block in lm.model.get_submodule(a.path) for e in experts(block)), default=0) or "",
        "padding": padding_of(lm),
        "error": f"{a.error:.0e}",
        "identity": max((b.identity for b in a.blocks), key=len),
        "note": "; ".join(notes),
    }


def rows_of(lm: Any) -> str:
    from broca.models.attention import check_tap

    if not any(block.attn_out or block.z for block in lm.anatomy.blocks):
        return "no attention"
    try:
        return {"tap": "yes", "weights": "eager weights"}[check_tap(lm).route]
    except BrocaError:
        return "refused"
    except Exception:  # noqa: BLE001 - a class may fail in any way, and that is what is asked
        return "refused" if padding_of(lm) != BEYOND else BEYOND


def padding_of(lm: Any) -> str:
    """Whether a text's logits depend on padding, by side."""
    from broca.models.tokens import Tokens, pad_tokens

    texts = [Tokens(tuple(range(3, 3 + n)), "") for n in (14, 9, 5)]
    try:
        alone = torch.cat([lm.next_logits(pad_tokens(texts, [i], lm.pad)) for i in range(len(texts))])
    except Exception:  # noqa: BLE001 - a class that takes more than text fails in its own way
        return BEYOND
    worse = []
    for side in ("left", "right"):
        try:
            off = float(
                (lm.next_logits(pad_tokens(texts, (0, 1, 2), lm.pad, side=side)) - alone).abs().max()
                / alone.abs().max()
            )
        except Exception:  # noqa: BLE001 - a side that a class does not take moves its logits beyond measure
            off = float("inf")
        if not off <= PADDING:
            worse.append(side)
    return "no effect" if not worse else f"{' and '.join(worse)} moves logits"


def child(pipe: Connection, kind: str, family: Family) -> None:
    torch.set_num_threads(1)
    try:
        row = tried(kind, family)
    except Exception as error:  # noqa: BLE001 - a class may fail in any way, and that is what is asked
        first = next(iter(str(error).splitlines()), "")
        row = {"kind": kind, "family": family, "class": str(FAMILIES[family][kind]), "state": "refused"}
        row["reason"] = f"{type(error).__name__}: {first}"
    pipe.send(row)


def every(jobs: list[tuple[str, Family]]) -> list[dict[str, Any]]:
    """The rows, each class in a process of its own, a few at a time."""
    fork, waiting, running, rows = get_context("fork"), list(reversed(jobs)), {}, []
    while waiting or running:
        while waiting and len(running) < WORKERS:
            kind, family = waiting.pop()
            mine, theirs = fork.Pipe()
            process = fork.Process(target=child, args=(theirs, kind, family), daemon=True)
            process.start()
            theirs.close()
            running[mine] = (process, kind, family, time.monotonic())
        ready = wait(list(running), timeout=1)
        for pipe, (process, kind, family, start) in list(running.items()):
            late = time.monotonic() - start > SECONDS
            if pipe not in ready and not late:
                continue
            try:
                row = pipe.recv() if pipe in ready else None
            except EOFError:
                row = None
            if row is None:
                reason = f"It took more than {SECONDS} s." if late else "The process died."
                row = {"kind": kind, "family": family, "class": str(FAMILIES[family][kind])}
                row |= {"state": "unbuildable", "reason": reason}
            process.kill()
            process.join()
            del running[pipe]
            rows.append(row)
            print(
                f"{family:6} {kind:26} {row['state']:12} {row.get('reason', row.get('identity', ''))[:110]}", flush=True
            )
    order = {job: i for i, job in enumerate(jobs)}
    return sorted(rows, key=lambda row: order[row["kind"], row["family"]])


def page(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Which models are proved",
        "",
        f"Written by `make coverage` with transformers {transformers.__version__}: every class of transformers' own mappings, built tiny",
        "and random from its config. *Proved* means that on a few ids what comes out of each block is what went in plus what the named",
        "modules wrote, each times a constant, between norms if there are any. What is not proved is refused when it is loaded, with the",
        "reason below; such a class can be described by hand (see [models and sites](models-and-sites.md)).",
        "",
        "* **sites**: kinds beside `resid_pre` and `resid_post`, in how many of the tiny model's layers. `ssm` stands for recurrent and",
        "  convolutional mixers.",
        "* **rows**: attention rows are read beside the model's own kernel (*yes*), or from the weights that the class returns (*eager",
        "  weights*), or not at all; or the class takes no text alone, but an image or an encoder's input.",
        "* **padding**: whether a text's logits depend on padding. Where they do, only texts of one length share a batch.",
        "* **error**: of the identity, relative to what is written; float32.",
        "",
    ]
    for family, title in TITLES.items():
        own = [row for row in rows if row["family"] == family]
        n = Counter(row["state"] for row in own)
        buildable = n["proved"] + n["refused"]
        share = (
            f"{n['proved']} of {buildable} that can be built are proved ({100 * n['proved'] / max(1, buildable):.1f} %), "
            f"{n['refused']} are refused; {n['unbuildable']} could not be built."
        )
        lines += [
            f"## {title}",
            "",
            share,
            "",
            "| type | class | sites | heads / KV | rows | experts | padding | error | |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r['kind']} | {r['class']} | {r['sites']} | {r['heads']} | {r['rows']} | {r['experts']} | {r['padding']} | {r['error']} | {r['note']} |"
            for r in own
            if r["state"] == "proved"
        ]
        for state, told_so in (("refused", "Refused"), ("unbuildable", "Not built")):
            if n[state]:
                lines += ["", f"### {told_so}", "", "| type | class | reason |", "|---|---|---|"]
                lines += [
                    f"| {r['kind']} | {r['class']} | {one_line(r['reason'])} |" for r in own if r["state"] == state
                ]
        lines.append("")
    return "\n".join(lines)


def one_line(text: str) -> str:
    return " ".join(text.split(" Describe it by hand", maxsplit=1)[0].split()).replace("|", "/")


def main(only: list[str]) -> None:
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    start = time.monotonic()
    jobs = [(kind, family) for family, kinds in FAMILIES.items() for kind in kinds if not only or kind in only]
    for kind, family in (("llama", "causal"), ("mixtral", "causal"), ("llava", "image")):
        tried(kind, family)  # what they import, the children need not
    rows = every(jobs)
    for family in FAMILIES:
        n = Counter(row["state"] for row in rows if row["family"] == family)
        print(f"{family}: {n['proved']} proved, {n['refused']} refused, {n['unbuildable']} unbuildable")
    print(f"{time.monotonic() - start:.0f} s")
    if not only:
        PAGE.write_text(page(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
