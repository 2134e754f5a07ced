"""What the ancestors did, each quirk one named field: so that their numbers can be reproduced, and their choices seen.

`tl-abs` and `tl-signed` are the ToM contrast localizer of Jamaa et al. (2025); `ll` is the language localizer of
AlKhamissi et al. (2025); `wu2025` are the weight masks of Wu et al. (2025), a preset of the study `sensitivity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.registry import unknown

_TL = {
    "pool": "mean",
    "bos": "with",
    "sinks": 0,
    "select": {
        "base": "all",
        "extra_one": True,
        "ties": "threshold",
        "unseeded_zero": True,
        "stream": "legacy",
        "order": "unit",
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tl-abs": {**_TL, "magnitude": "abs-of-mean"},
    "tl-signed": {**_TL, "magnitude": "signed"},
    "ll": {
        "pool": "last",
        "bos": "with",
        "sinks": 0,
        "truncate": 12,
        "magnitude": "abs-of-mean",
        "select": {"base": "all", "ties": "dense-rank", "stream": "legacy", "seed": 42},
    },
    "wu2025": {
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
    },
}
"""Fields that a preset fills in where the user leaves them out. `ll` is as published for language; its scripts use
``pool="mean"`` and no truncation for theory of mind and multiple demand."""


ADVICE: Mapping[str, str] = {
    "ll": " As published, ll cuts language stimuli alone: stories and sums are shown whole and pooled by their mean (pool = mean, truncate "
    "= 512)."
}
"""What to do where a preset leaves nothing to tell apart."""

OPTIONS: Mapping[str, Any] = {"style": "tl", "answers": "random"}
"""How every preset shows theory-of-mind stories, where the contrast is a folder of them: the ancestors' prompt, which
ends in a True or False drawn at random."""


def filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """`given`, completed from its preset.

    Raises:
        UnknownName: if there is no such preset.
    """
    name = given.get("preset")
    if not name:
        return dict(given)
    if not isinstance(name, str) or name not in PRESETS:
        raise unknown("preset", str(name), tuple(PRESETS))
    preset = PRESETS[name]
    select = given.get("select")
    merged = {**preset, **given}
    if isinstance(select, Mapping):
        merged["select"] = {**preset["select"], **select}
    return merged
