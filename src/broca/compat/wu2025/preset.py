"""The choices of the published scripts."""

from __future__ import annotations

from broca.specs.presets import Preset

WU2025 = Preset(
    {
        "objective": "last-token",
        "bos": "without",
        "windows": "random",
        "choose_on": "test",
        "precision": "float16",
        "nonfinite": "keep",
        "mode": "single",
        "halves": False,
        "dtype": "float16",
        "perplexity_source": "Salesforce/wikitext",
        "sweep": "0:5e-5:2e-6",
        "arange": True,
        "ties": "strict",
        "edits": ({"kind": "mean", "mean_of": "zeroed"},),
        "reading": {"length": 2048, "texts": "joined"},
        "recipe": "batch-mean",
        "n_score": 100,
        "n_general": 100,
        "window": 128,
        "scorer": {"kind": "sampled"},
        "chat": "never",
        "seed": 0,
    }
)
