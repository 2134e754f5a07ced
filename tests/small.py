"""Every command that writes, as small as it can be; typed in a folder that `folder` fills. Its last word is the place that is written.

Laws about writing go over all of them.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import zoo
from broca import cli
from broca.errors import BrocaError
from broca.interventions.weights import Edit, WeightMask
from broca.models.build import fresh, save
from broca.models.lm import LM
from broca.models.weight_matrices import matrices
from broca.sites import Site
from broca.units import UnitMask
from broca.units.weights import WeightSet

TEXTS = ("c.csv", "q.jsonl", "texts.txt", "maths.json", "places.yaml")
ITEMS = ("--items", "q.jsonl", "--draws", "2", "--gate", "mark")


@dataclass(frozen=True)
class Small:
    """What is typed, after other commands were."""

    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    """Names of commands whose results it reads; a star in its words stands for their run."""
    lacking: tuple[str, ...] = ()
    """What of these results is taken away first."""


def small(*words: str, before: tuple[str, ...] = (), lacking: tuple[str, ...] = ()) -> Small:
    return Small(words, before, lacking)


LOCALIZE = ("localize", "tiny", "--contrast", "c.csv", "--sites", "*.mlp_act", "--percent", "5")
COMMANDS = {
    "score": small("score", "tiny", "--items", "q.jsonl", "--rows", "rows.csv"),
    "rows": small("score", "tiny", "--items", "q.jsonl", "--how", "generation", "--rows", "rows.parquet"),
    "train": small("organism", "train", "kth", "--steps", "1", "--out", "made"),
    "localize": small(*LOCALIZE, "--out", "runs"),
    "lesion": small("lesion", "tiny", "--contrast", "c.csv", *ITEMS, "--percent", "5", "--out", "runs"),
    "heads": small("lesion", "tiny", "--heads", "0.1,2.3", *ITEMS, "--out", "runs"),
    "sensitivity": small(
        *("sensitivity", "tiny", "--task", "q.jsonl", "--general", "texts.txt", "--source", "texts.txt", "--gate", "mark"),
        *("--perplexity-source", "texts.txt", "--sweep", "0,0.01", "--nulls", "matrix", "--draws", "2", "--sweep-draws", "0"),
        *("--n-score", "4", "--n-general", "4", "--window", "16", "--windows-of", "16", "--out", "runs"),
    ),
    "probe": small(
        *("probe", "kth", "--n", "24", "--twins", "1", "--permutations", "5", "--draws", "2", "--n-items", "12", "--out", "runs"),
    ),
    "perturb": small(
        *("perturb", "sums", "--n-items", "16", "--kinds", "case", "--compare", "2", "--draws", "2", "--twins", "0", "--cases", "4"),
        *("--patterns", "none", "--out", "runs"),
    ),
    "selftest": small(
        *("selftest", "tiny", "--contrast", "c.csv", "--n", "10", "--pairs", "1", "--rivals", "8", "--sites", "*.mlp_act"),
        *("--out", "runs"),
    ),
    "circuit": small(
        *("circuit", "induction", "--items", "induction", "--n-items", "24", "--edges", "6", "--draws", "2"),
        *("--twins", "1", "--random-curves", "1", "--minimal", "2", "--steps", "1", "--export", "mib", "entry", "--out", "runs"),
    ),
    "direction": small(
        *("direction", "tiny", "--contrast", "c.csv", "--items", "q.jsonl", "--gate", "mark", "--doses", "0,1", "--tries", "1"),
        *("--text", "texts.txt", "--n-text", "2", "--draws", "2", "--beside", "0", "--dose-draws", "0", "--twins", "0"),
        *("--permutations", "0", "--max-new-tokens", "2", "--out", "runs"),
    ),
    "capture": small(
        *("perturb", "capture", "sums", "--n-items", "3", "--kinds", "delete", "--sites", "*.resid_post", "1.pattern"),
        *("--new-tokens", "4", "--out", "raw"),
    ),
    "old scores": small("perturb", "score", "old", "--items", "maths.json", "--out", "scores"),
    "export": small("export", "weights.safetensors", "--model", "tiny", "--to", "masked"),
    "tune": small(
        *("organism", "train", "kth", "--model", "base", "--options.m", "4", "--options.k", "3", "--steps", "3", "--batch", "2"),
        *("--look", "1", "--out", "taught"),
    ),
    "tree": small(
        *("sensitivity", "tiny", "--preset", "wu2025", "--task", "tasks.json", "--general", "texts.txt", "--source", "texts.txt"),
        *("--perplexity-source", "texts.txt", "--sweep", "0,0.01", "--nulls", "matrix", "--draws", "2", "--sweep-draws", "0"),
        *("--gate", "mark", "--n-score", "4", "--n-general", "4", "--window", "16", "--windows-of", "16", "--tree", "tree"),
    ),
    "tasks": small(
        *("score", "tiny", "--lm-eval", "places.yaml", "--cache", "answers.sqlite", "--rows", "rows.jsonl"),
    ),
    "report": small("report", "runs/*", before=("localize",), lacking=("runs/*/report.html", "runs/*/figures/*")),
    "run": small("run", "runs/*", "--out", "second", before=("localize",)),
    "unit mask": small("unit mask", "units.safetensors"),
    "weight mask": small("weight mask", "kept.safetensors"),
}  # fmt: skip
"""By name. Short ones first."""

CALLS = {
    "unit mask": lambda place: UnitMask({Site(i, "z"): np.arange(32) % (i + 2) == 0 for i in range(3)}).save(place),
    "weight mask": lambda place: WeightSet.load("weights.safetensors").save(place),
}
"""What is written by a call, and not by a command."""


def folder(path: Path) -> Path:
    """A folder with what the commands read."""
    path.mkdir(parents=True, exist_ok=True)
    lm = zoo.lm("llama", positions=1024)
    save(lm.model, lm.tokenizer, path / "tiny")
    _weights(lm).save(path / "weights.safetensors")
    from broca.organisms.kth.train import CONFIG, tokenizer

    save(fresh({**CONFIG, "n_layer": 1, "n_head": 2, "n_embd": 8}, 0), tokenizer(), path / "base")
    rows = [f"the {'xy'[i % 2]} number {i},{('positive', 'negative')[i % 2]}" for i in range(40)]
    (path / "c.csv").write_text("\n".join(["text,label", *rows]))
    items = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i % 6)} for i in range(12)
    ]
    (path / "q.jsonl").write_text("\n".join(map(json.dumps, items)))
    (path / "texts.txt").write_text("\n\n".join(f"Some words of text number {i} that goes on." for i in range(8)))
    tasks = {"s3": [{"NUMBER": n, "txt": f"Joke {n}?", "txt_reverse": f"Fact {n}?"} for n in range(3)]}
    (path / "tasks.json").write_text(json.dumps(tasks))
    (path / "docs.jsonl").write_text(
        "\n".join(json.dumps({"thing": t, "answer": i % 2}) for i, t in enumerate(["key", "cup"]))
    )
    (path / "places.yaml").write_text(
        "task: places\ndataset_path: json\ndataset_kwargs: {data_files: {test: docs.jsonl}}\ntest_split: test\n"
        'output_type: multiple_choice\ndoc_to_text: "Where is the {{thing}}?"\ndoc_to_choice: ["box", "bag"]\ndoc_to_target: answer\n'
    )
    _captures(path)
    return path


def _weights(lm: LM) -> WeightMask:
    found = matrices(lm.model, lm.anatomy)
    addresses = {each.name: each.address for each in found}
    chosen = WeightSet({name: np.arange(4) for name in addresses}, addresses, {"model": lm.fingerprint, "m": 0.1})
    return WeightMask(chosen, Edit("flip"))


def _captures(path: Path) -> None:
    """Captures as the script of Error Mech Analysis leaves them."""
    import torch

    rows = [
        {"element_index": i + 1, "normal": f"Please add: {i + 2} + {i} =", "main": f"Pleaze add: {i + 2} + {i} ="}
        for i in range(4)
    ]
    (path / "maths.json").write_text(json.dumps(rows))
    (path / "old").mkdir()
    texts = [f"{row['main']} {2 * i + 2}" for i, row in enumerate(rows)]
    content = {"final_predictions": texts, "original_indices": list(range(4)), "input_ids": torch.ones(4, 4).long()}
    torch.save(content, path / "old" / "activations_00000_00004.pt")


def typed(words: tuple[str, ...]) -> int:
    """Run a command in this process and folder; gives its exit code."""
    if words[0] in CALLS:
        try:
            CALLS[words[0]](Path(words[-1]))
        except BrocaError as error:
            sys.stderr.write(str(error))
            return error.exit_code
        return 0
    sys.argv = ["broca", *(word if "*" not in word else str(next(Path().glob(word), word)) for word in words)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def copied(base: Path, path: Path) -> Path:
    """A copy of a folder of `folder`'s, whose models are linked."""
    path.mkdir()
    for each in base.iterdir():
        if each.name in ("tiny", "base", "old"):
            (path / each.name).symlink_to(each)
        elif each.is_dir():
            shutil.copytree(each, path / each.name, symlinks=True)
        else:
            shutil.copy2(each, path / each.name)
    return path
