"""Contrast localizers: `tl-abs` and `tl-signed` of theory of mind (Jamaa et al., 2025), `ll` of language (AlKhamissi et al., 2025)."""

from __future__ import annotations

from broca.specs.presets import Preset

STORIES = {"style": "tl", "answers": "random"}
"""How theory-of-mind stories are shown, where the contrast is a folder of them: in a prompt that ends in a True or False drawn
at random."""

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

TL_ABS = Preset({**_TL, "magnitude": "abs-of-mean"}, STORIES)
TL_SIGNED = Preset({**_TL, "magnitude": "signed"}, STORIES)
LL = Preset(
    {
        "pool": "last",
        "bos": "with",
        "sinks": 0,
        "truncate": 12,
        "magnitude": "abs-of-mean",
        "select": {"base": "all", "ties": "dense-rank", "stream": "legacy", "seed": 42},
    },
    STORIES,
    " As published, ll cuts language stimuli alone: stories and sums are shown whole and pooled by their mean (pool = mean, truncate "
    "= 512).",
)
"""As published for language; its scripts use ``pool="mean"`` and no truncation for theory of mind and multiple demand."""
