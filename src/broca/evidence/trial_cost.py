"""What a trial costs: items scored intact, lesioned, and under matched draws until they have decided."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.agreement import ITEMS
from broca.evidence.conditions import CHUNK, DONORS
from broca.items import Item
from broca.models.kept_streams import share_above
from broca.models.lm import LM
from broca.scoring.costs import count_tokens
from broca.specs.cost import BACKWARD, Phase
from broca.specs.fields import FillName
from broca.stats.stopping import operation, stopping_rule


def trial_phases(
    lm: LM,
    items: Sequence[Item],
    scorer: object,
    *,
    lesions: int,
    draws: int,
    alpha: float,
    fills: Sequence[FillName] = (),
    sized: bool = False,
    attributed: bool = False,
    rewordings: Sequence[Item] = (),
    claimed: int = 0,
    layer: int = 0,
) -> list[Phase]:
    """The steps of a trial.

    Args:
        lm: the model.
        items: of all abilities.
        scorer: how they are scored.
        lesions: conditions that are scored in any case, the intact one left out.
        draws: matched random lesions at most.
        alpha: level at which they stop.
        fills: what lesioned units are held at.
        sized: whether sizes of units are measured, for draws that match them.
        attributed: whether first-order effects are taken.
        rewordings: items in other words, which are scored intact and under the claim's lesions.
        claimed: how many these are.
        layer: the lowest one that lesions and draws touch, where it is known.
    """
    tokens = count_tokens(lm, items, scorer, cell=CHUNK)
    share = share_above(lm, tokens * min(1.0, CHUNK / len(items)), layer)
    lengths = [*map(len, lm.tokenize([item.content for item in items]))]
    prompts = sum(lengths)
    few = sum(lengths[:DONORS]) / prompts if prompts else 0
    measured = sized + bool({"mean", "noise"} & {*fills}) + few * ("resample" in fills)
    phases = [Phase("scoring the intact model", tokens)]
    if measured:
        phases.append(Phase("measuring activations", prompts, measured))
    phases.append(Phase("scoring lesions", tokens, lesions, share))
    if draws:
        rule = stopping_rule(alpha, draws=draws)
        phases.append(Phase("scoring random lesions", tokens, draws, share, operation(rule).draws or draws))
    if rewordings:
        again = count_tokens(lm, rewordings, scorer, cell=CHUNK)
        phases.append(Phase("scoring the second wording", again, 1 + claimed))
    if attributed:
        phases.append(Phase("attributing", sum(lengths[:ITEMS]), 1, BACKWARD))
    return phases
