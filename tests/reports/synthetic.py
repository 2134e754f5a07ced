"""Run directories that no model made: the schema of a run, filled with numbers drawn from a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broca.runs.formats import arrays_to_bytes, json_to_bytes, table_to_bytes
from broca.runs.manifest import seal
from broca.runs.toml import to_toml
from broca.sites import Site
from broca.storage import digest

RUNGS = [
    ("selective", "passed", "412 of the 480 selected units survive correction.", {"k": 480, "true_share": 0.81}),
    ("reliable", "passed", "The map of one half predicts the other.", {"r": 0.83, "dice": 0.62, "chance_dice": 0.01}),
    ("learned", "not tested", "Not compared with untrained twins of this model.", {}),
    ("causal", "failed", "The lesion does no more than random draws of as many units.", {"effect": -0.03, "p": 0.31}),
    ("specific", "not tested", "No other ability fell, but neither did its own.", {"own_minus_other": None}),
]


def save_run(path: Path, **kept: Any) -> Path:
    """Write what is given: manifest, spec, result, tables, tensors."""
    shapes: dict[str, Any] = {name.partition("/")[0]: "sites" for name in kept["tensors"]}
    if "selected" in shapes:
        shapes["selected"] = {"mask": (kept["result"].get("selection") or {}).get("grain", "unit")}
    content = {
        "spec.toml": to_toml(kept["spec"]).encode(),
        "result.json": json_to_bytes(kept["result"]),
        "tensors.safetensors": arrays_to_bytes(kept["tensors"], shapes),
        **{f"tables/{name}.parquet": table_to_bytes(table) for name, table in kept["tables"].items()},
    }
    (path / "tables").mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (path / name).write_bytes(data)
    files = {name: {"bytes": len(data), "sha256": digest(data)} for name, data in sorted(content.items())}
    (path / "manifest.json").write_bytes(json_to_bytes(seal(kept["manifest"] | {"files": files})))
    return path


def localize_run(path: Path, *, n_layers: int = 12, width: int = 96, grain: str = "unit", seed: int = 0) -> Path:
    """A run of kind "localize"."""
    return save_run(path, **parts(n_layers=n_layers, width=width, grain=grain, seed=seed, kind="localize"))


def causal_run(
    path: Path, *, n_layers: int = 12, width: int = 96, grain: str = "unit", seed: int = 0, **more: Any
) -> Path:
    """A run of kind "causal"; `more` replaces manifest, spec, result, tables or tensors."""
    return save_run(path, **parts(n_layers=n_layers, width=width, grain=grain, seed=seed, kind="causal") | more)


def parts(
    *, n_layers: int = 12, width: int = 96, grain: str = "unit", seed: int = 0, kind: str = "causal"
) -> dict[str, Any]:
    """Everything a run holds, as values."""
    rng = np.random.default_rng(seed)
    site = "z" if grain == "head" else "resid_post"
    peak = np.exp(-0.5 * ((np.arange(n_layers) - 0.6 * n_layers) / (0.15 * n_layers + 0.5)) ** 2)
    t = rng.normal(size=(n_layers, width)) * (1.2 + 2.5 * peak[:, None])
    t[:, 0] = np.nan
    k = max(1, round(0.05 * t.size))
    selected = np.zeros(t.shape, bool)
    selected.flat[np.argsort(-np.nan_to_num(t, nan=-np.inf), axis=None, kind="stable")[:k]] = True
    arrays = {"t": t, "p": np.exp(-np.abs(t)), "d": t / 7, "q": np.minimum(1, 3 * np.exp(-np.abs(t)))}
    arrays["selected"] = selected.astype(np.uint8)
    tensors = {f"{name}/{Site(i, site)}": a[i] for name, a in arrays.items() for i in range(n_layers)}  # type: ignore[arg-type]
    tables = {"layers": _layers(t, selected, site)}
    result = _result(t, selected, grain, site, kind)
    if kind == "causal":
        tables |= _causal_tables(rng)
    spec = {
        "study": _spec(kind, grain, site),
        "model": {"name": "example/tiny-lm", "revision": "abc123", "dtype": "float32"},
    }
    return {"manifest": _manifest(kind), "spec": spec, "result": result, "tables": tables, "tensors": tensors}


def _layers(t: np.ndarray, selected: np.ndarray, site: str) -> pl.DataFrame:
    n_layers, width = t.shape
    alive = np.isfinite(t)
    return pl.DataFrame(
        {
            "layer": range(n_layers),
            "kind": [site] * n_layers,
            "n_units": [width] * n_layers,
            "n_alive": alive.sum(1),
            "n_significant": (np.nan_to_num(np.abs(t)) > 3).sum(1),
            "n_selected": selected.sum(1),
            "expected": selected.sum() * alive.sum(1) / max(1, alive.sum()),
            "mean_abs_t": [float(np.nanmean(np.abs(r))) if np.isfinite(r).any() else None for r in t],
            "max_abs_t": [float(np.nanmax(np.abs(r))) if np.isfinite(r).any() else None for r in t],
        }
    )


ABILITIES = {"false-belief": (0.83, 0.12), "true-belief": (0.88, 0.03), "arithmetic": (0.71, 0.01)}


def _causal_tables(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    doses, matrix, baselines, flipped = [], [], [], []
    for ability, (intact, slope) in ABILITIES.items():
        doses.append((ability, "intact", "", "", 0.0, "", 0, -1, intact, 0.9, 0.0, 120))
        for dose in (0.5, 1.0, 2.0, 5.0):
            size = int(dose * 100)
            for side, weight in (("top", 1.0), ("bottom", 0.25)):
                doses.append(
                    (
                        ability,
                        "lesion",
                        "belief",
                        side,
                        dose,
                        "zero",
                        size,
                        -1,
                        intact - slope * dose * weight,
                        0.1,
                        0.0,
                        120,
                    )
                )
            for draw in range(20):
                value = intact - 0.012 * dose + 0.015 * rng.normal()
                doses.append((ability, "random", "belief", "top", dose, "zero", size, draw, value, 0.5, 0.0, 120))
        effect = -slope * 2
        matrix.append(("belief", ability, ability == "false-belief", 120, intact, intact + effect, effect, effect - 0.06,
                       effect + 0.05, 0.0004 if slope > 0.1 else 0.4, 0.0012 if slope > 0.1 else 1.0, -0.02, -0.05, 0.01, 0.0099))  # fmt: skip
        for name, value in (("chance", 0.5), ("majority", 0.55), ("first-mentioned", 0.61), ("last-mentioned", 0.39)):
            baselines.append((ability, name, value))
    for i in range(4):
        text = (
            f"Anna puts the coin in the red box ({i}) and leaves. Ben moves it to the tin.\nWhere will Anna look first?"
        )
        flipped.append((f"fb-{i:03}", "false-belief", text, "the red box", "the red box", "the tin", "lost"))
    flipped.append(("ar-001", "arithmetic", "17 + 25 =", "42", "43", "42", "gained"))
    columns = [
        "ability",
        "condition",
        "localizer",
        "side",
        "dose",
        "fill",
        "k",
        "seed",
        "accuracy",
        "score",
        "invalid",
        "n",
    ]
    cells = [
        "localizer",
        "ability",
        "own",
        "n",
        "intact",
        "lesion",
        "effect",
        "low",
        "high",
        "p",
        "p_holm",
        "random_median",
        "random_low",
        "random_high",
        "p_random",
    ]
    words = ["id", "ability", "prompt", "answer", "intact", "lesion", "change"]
    d = [*(0.3 * rng.random(20)).tolist(), 0.1]
    twins = {"kind": ["untrained"] * 20 + ["shuffled"], "seed": [*range(20), 0], "d_held_out": d}
    return {
        "twins": pl.DataFrame(twins),
        "doses": pl.DataFrame(doses, schema=columns, orient="row"),
        "matrix": pl.DataFrame(matrix, schema=cells, orient="row"),
        "baselines": pl.DataFrame(baselines, schema=["ability", "baseline", "accuracy"], orient="row"),
        "flipped": pl.DataFrame(flipped, schema=words, orient="row"),
    }


def _result(t: np.ndarray, selected: np.ndarray, grain: str, site: str, kind: str) -> dict[str, Any]:
    sentence = "No: selective and reliable, but not causal."
    out = {
        "claim": "Holding 480 belief units of tiny-lm at zero lowers false-belief accuracy by 24 points, and random units of "
        "the same layers and size do the same.",
        "verdict": {
            "rungs": [dict(zip(("name", "state", "text", "numbers"), rung, strict=True)) for rung in RUNGS],
            "first_failure": "causal",
            "sentence": sentence,
        },
        "guards": [
            {"name": "effect", "state": "passed", "text": "The lesion changed the logits."},
            {"name": "length", "state": "marked", "text": "Positive stimuli are 12 % longer than negative ones."},
        ],
        "warnings": ["Sequences were cut at 512 tokens."],
        "contrast": {
            "name": "belief", "n_positive": 40, "n_negative": 40, "source": "Written for this project", "fingerprint": "0f" * 8,
            "positive_examples": ["Anna believes the key is in the drawer."],
            "negative_examples": [[{"role": "user", "content": "The photo shows the key in the drawer."}]],
        },
        "selection": {
            "k": int(selected.sum()), "n_units": t.size, "n_alive": int(np.isfinite(t).sum()),
            "n_dead": int(np.isnan(t).sum()), "percent": 5.0, "side": "top", "site": f"*.{site}", "grain": grain,
        },
        "reliability": {"r": 0.83, "spearman_brown": 0.91, "dice": 0.62, "d_held_out": 1.4},
        "dissociations": ["Double dissociation: one lesion costs this, the other that."],
        "model": {"name": "example/tiny-lm", "layers": t.shape[0], "d_model": t.shape[1], "heads": 8},
        "citations": ["McNemar (1947), Psychometrika 12:153-157.", "AlKhamissi, B., et al. (2025). The LLM language network. NAACL."],
    }  # fmt: skip
    if kind == "causal":
        out["estimate"] = {"value": -0.24, "low": -0.31, "high": -0.17, "unit": "accuracy", "n": 120}
    return out


def _spec(kind: str, grain: str, site: str) -> dict[str, Any]:
    localizer = {
        "contrast": "belief", "sites": f"*.{site}", "grain": grain, "pool": "last", "bos": "without", "sinks": 0,
        "magnitude": "signed", "chat": "auto", "alpha": 0.05, "seed": 0,
        "select": {"percent": 5.0, "side": "top", "within": "model", "ties": "index"},
    }  # fmt: skip
    if kind == "localize":
        return {"kind": kind} | localizer
    causal = {
        "items": "beliefs/false-belief", "others": ["beliefs/true-belief"], "fills": ["zero"], "percent": 1.0, "doses": [0.5, 2.0, 5.0],
        "sides": ["top", "bottom"], "draws": 20, "dose_draws": 5, "match": ["layer", "size"], "among": "rest",
        "scorer": {"kind": "likelihood"}, "gate": "stop", "alpha": 0.05, "n_bootstrap": 2000, "seed": 0,
    }  # fmt: skip
    return {"kind": kind} | causal | {"localizer": {"kind": "localize"} | localizer}


def _manifest(kind: str) -> dict[str, Any]:
    text = """{"schema": 2, "status": "finished", "hash": "0123456789abcdef", "created": "2026-01-01T00:00:00+00:00", "seeds": {"seed": 0}, "data": {"contrast": "0f0f0f0f0f0f0f0f"},
    "model": {"name": "example/tiny-lm", "revision": "abc123", "fingerprint": "89ab89ab89ab89ab", "dtype": "float32"},
    "environment": {"python": "3.11.2", "torch": "2.13.0", "device": "cpu"}, "seconds": 12.5, "guards": [], "git": null,
    "warnings": ["Sequences were cut at 512 tokens."]}"""
    return {"kind": kind} | json.loads(text)
