"""A small real study with twelve cells, and a script that runs it, to be killed, interrupted and held up by tests.

    python toy.py DIRECTORY MODE NUMBER

MODE "count" prints how many steps of writing the run takes; "kill" ends the process by SIGKILL at step NUMBER; "wait"
prints "ready" in cell NUMBER and waits for a signal; "nobody" gives up the right to write and runs.
"""

# ruff: noqa: T201 - the script speaks to the test that started it
from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from broca.cache.cache import Cache, Part, Progress, no_cache, silent
from broca.errors import BrocaError
from broca.models.hashes import tokenizer_hash
from broca.runs.execution import run
from broca.sites import Site
from broca.units import UnitMask


@dataclass(frozen=True)
class Anatomy:
    path: str = "model.layers"
    n_layers: int = 3
    n_heads: int = 2
    n_kv_heads: int = 2
    d_model: int = 4
    error: float = 1e-7


@dataclass(frozen=True)
class ToyLM:
    name: str = "tiny"
    revision: str | None = "abc123"
    fingerprint: str = "0123456789abcdef"
    dtype: str = "torch.float32"
    device: str = "cpu"
    condition: tuple[str, ...] = ()
    tokenizer: Any = None
    model: Any = None
    anatomy: Anatomy = field(default_factory=Anatomy)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "tokenizer": tokenizer_hash(self.tokenizer),
            "dtype": self.dtype.removeprefix("torch."),
            "condition": list(self.condition),
        }


@dataclass(frozen=True)
class ToyResult:
    claim: str
    estimate: Mapping[str, float]
    verdict: Mapping[str, Any]
    contrast: Mapping[str, Any]
    guards: list[dict[str, str]]
    warnings: list[str]
    items: pl.DataFrame
    layers: pl.DataFrame
    t: Mapping[Site, np.ndarray]
    nulls: Mapping[str, np.ndarray]
    selected: UnitMask


class Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    percent: float | None = 1.0
    count: int | None = None
    seed: int = 0


class Toy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["toy"] = "toy"
    name: str = ""
    contrast: str = "belief <b>"
    n_cells: int = 12
    seed: int = 0
    selection: Choice = Choice()

    def run(self, lm: ToyLM, *, cache: Cache = no_cache, progress: Progress = silent) -> ToyResult:
        frames, arrays = [], {}
        for i in range(self.n_cells):
            part = cache({"cell": i, "seed": self.seed, "condition": list(lm.condition)}, lambda i=i: self.cell(i))
            if isinstance(part, pl.DataFrame):
                frames.append(part)
            else:
                arrays[Site(i, "z")] = part["t"]
            progress("cells", i + 1, self.n_cells)
        items = pl.concat(frames)
        return ToyResult(
            claim="Units of <i>belief</i> carry belief",
            estimate={"value": float(items["score"].mean()), "low": float("nan"), "n": items.height},
            verdict={
                "rungs": [{"name": "selective", "state": "failed", "text": "p > 0.05 & <more>", "numbers": {}}],
                "first_failure": "selective",
                "sentence": "Not selective.",
            },
            contrast={"name": self.contrast, "fingerprint": "feedfeedfeedfeed"},
            guards=[{"name": "effect", "state": "passed", "text": "the lesion changes the logits"}],
            warnings=["few stimuli"],
            items=items,
            layers=items.group_by("group", maintain_order=True).agg(pl.col("score").sum()),
            t=arrays,
            nulls={"max": np.sort(np.concatenate(list(arrays.values())))},
            selected=UnitMask({site: t > 0 for site, t in arrays.items()}, grain="head"),
        )

    def cell(self, i: int) -> Part:
        HOOK(i)
        rng = np.random.default_rng([self.seed, i])
        if i % 2:
            return {"t": rng.normal(size=4)}
        return pl.DataFrame(
            {
                "id": [f"{i}-{j} é" for j in range(5)],
                "group": [f"g{i}"] * 5,
                "score": rng.normal(size=5),
                "logprobs": [[0.5, float("nan")]] * 5,
            }
        )


def HOOK(i: int) -> None:
    """Called in each cell that is computed; replaced by those who want to be there."""


def count_steps(at: int) -> list[int]:
    """Count each step of writing, and die at one of them."""
    steps = [0]

    def counted(owner: Any, name: str) -> None:
        true = getattr(owner, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            steps[0] += 1
            if steps[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return true(*args, **kwargs)

        setattr(owner, name, step)

    for owner, name in ((os, "fsync"), (os, "replace"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir")):
        counted(owner, name)
    counted(shutil, "rmtree")
    return steps


def main(folder: str, mode: str, number: int) -> None:
    steps = [0]
    if mode in ("count", "kill"):
        steps = count_steps(number)
    if mode == "wait":

        def wait(i: int) -> None:
            if i == number:
                print("ready", flush=True)
                signal.pause()

        globals()["HOOK"] = wait
    if mode == "nobody":
        os.chdir(folder)
        if os.getuid() == 0:
            os.setuid(65534)
        folder = "run"
    try:
        run(Toy(), ToyLM(), folder)
    except BrocaError as error:
        print(error)
        sys.exit(error.exit_code)
    print(steps[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
