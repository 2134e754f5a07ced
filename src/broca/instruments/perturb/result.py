"""What perturbations did, and what patches undid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from broca.evidence.result import Result
from broca.instruments.perturb.spec import Perturb
from broca.units import UnitMask


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PerturbResult(Result):
    """What perturbations did, and what patches undid. Tables are empty where nothing was patched."""

    spec: Perturb
    kinds: pl.DataFrame
    """One row a kind: accuracy clean and perturbed by item, flips, drop rate, controls."""
    answers: pl.DataFrame
    """One row a text."""
    made: pl.DataFrame
    """One row a kind: how many texts were made, refused or impossible, and edit distances."""
    rewritten: pl.DataFrame
    """One row a text that the rewriter was asked for: who wrote, what came back, and whether it was kept."""
    compared_points: pl.DataFrame
    """One row a kind, site and class of tokens: how far the runs are apart there."""
    compared_heads: pl.DataFrame
    """One row a kind, query, layer and head: divergence of patterns, entropies, attention to each part of the text."""
    compared_logits: pl.DataFrame
    """One row a kind and class: divergence of what comes next, agreement of the likeliest tokens."""
    probes: pl.DataFrame
    """One row a kind, site, point and split: how well clean and perturbed are told apart, beside baselines that know no model."""
    transfers: pl.DataFrame
    """One row a site, point, kind that is learned and kind that is tested."""
    cases: pl.DataFrame
    """The texts that were patched."""
    recovery: pl.DataFrame
    """One row a patch of a layer and class of tokens."""
    recovery_kinds: pl.DataFrame
    """One row a kind of perturbation, layer and place of the residual stream: kinds are never pooled here."""
    units: pl.DataFrame
    """One row a head, neuron or feature."""
    patterns: pl.DataFrame
    """One row a layer or head whose attention pattern was patched."""
    examples: pl.DataFrame
    """Texts to show: what was broken most, with tokens and edits."""
    estimate: Mapping[str, Any] | None
    task: Mapping[str, Any]
    selected: UnitMask | None = None
    dictionaries: pl.DataFrame | None = None
    """What the dictionaries explain whose features were chosen from; None where none were."""
    activations: pl.DataFrame | None = None
    """The texts that fire the chosen features most."""
