"""Tokens that take the part of BOS in a model without one: their massive activations would be most of a mean (Sun et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence

from broca.capture.massive import sink_tokens
from broca.evidence.stimuli import tokenize_contrast
from broca.evidence.verdict import Guard
from broca.instruments.localize.spec import Localize
from broca.models.lm import LM
from broca.sites import Site

LOOKED_AT = 8
"""Stimuli of either side."""


def sinks(spec: Localize, lm: LM, where: Sequence[Site]) -> int:
    """How many tokens at the start of the stimuli, special ones not counted, carry massive activations at the localizer's sites."""
    shown = tokenize_contrast(spec.stimuli, lm, chat=spec.chat, truncate=spec.truncate, seed=spec.seed)
    return sink_tokens(lm, [tokens for side in shown for tokens in side.tokens[:LOOKED_AT]], where)


def guards(spec: Localize, lm: LM, where: Sequence[Site]) -> tuple[Guard, ...]:
    """Whether such tokens count in the means of stimuli; nothing where these are no means."""
    if spec.pool != "mean":
        return ()
    found, left_out = sinks(spec, lm, where), spec.sinks or 0
    if not found:
        return (Guard("sinks", "passed", "No stimulus begins with tokens that carry massive activations."),)
    text = f"Tokens at the start of the stimuli carry massive activations though they are not special ({found}), "
    if found > left_out:
        more = f"and {found - left_out} of them count in every mean, which then measures how long a stimulus is. Leave them out: sinks = {found}."
        return (Guard("sinks", "marked", text + more),)
    return (Guard("sinks", "passed", f"{text}and are left out of every mean: sinks = {left_out}."),)
