"""What a trial costs: items scored intact, lesioned, and under matched draws until they have decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broca.evidence.abilities import spread
from broca.evidence.agreement import ITEMS
from broca.evidence.conditions import CHUNK, DONORS
from broca.evidence.guards import probe
from broca.items import Item
from broca.models.kept_streams import share_above
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.scoring.costs import count_tokens
from broca.specs.cost import BACKWARD, Phase
from broca.specs.fields import FillName
from broca.specs.savings import Saving, steps
from broca.stats.ladder_power import Study, ladder_power
from broca.stats.loss import least_groups
from broca.stats.stopping import fewest_draws, operation, stopping_rule

CHECKS = 6
"""Readings of a few prompts by guards: before, while and after units are kept, before and under the lesion, for massive coordinates."""
INTACT = 0.95
"""Accuracy that a plan takes for granted, and as `broca plan` does that a third of what is above chance is lost."""
SIMULATIONS = 200
"""Studies by which ways to keep a budget are compared."""


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
    phases.append(Phase("checking the lesion", sum(map(len, probe(lm, items, chat_of(scorer)))), CHECKS))
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


def fewer_draws(draws: int, level: float, *, what: str = "matched draws") -> tuple[Saving, ...]:
    """Draws down to the fewest that allow a p of the level; nothing where there are no more than these."""
    least = fewest_draws(level)
    values = [each for each in (draws, 99, 39) if least < each <= draws] + [least]
    return (Saving("draws", tuple(values), what, ("causal", "specific")),) if draws > least else ()


def no_twins(twins: int, *, field: str = "twins") -> tuple[Saving, ...]:
    """All untrained twins or none, since fewer decide nothing."""
    return (Saving(field, (twins, 0), "untrained twins", ("learned",)),) if twins else ()


def fewer_items(items: Sequence[Item], most: int, level: float, *, share: float = 1.0) -> tuple[Saving, ...]:
    """Items of each ability, down to the fewest whose groups allow a p of the level.

    Args:
        items: of the own ability.
        most: of the largest ability.
        level: of the test.
        share: of the own items, those that test.
    """
    needed = least_groups(level) / share
    enough = [n for n in steps(most, 2) if _groups(items, n) >= needed]
    values = (most, *(n for n in enough if n < most))
    return (Saving("n_items", values, "items of each ability", ("causal", "specific"), fine=True),)


def first_fill(fills: Sequence[object], *, field: str = "fills", what: str = "fills") -> tuple[Saving, ...]:
    """All fills, or the claim's alone."""
    return (Saving(field, (tuple(fills), tuple(fills[:1])), what, ("causal", "specific")),) if len(fills) > 1 else ()


def trial_power(abilities: Mapping[str, Sequence[Item]], *, alpha: float, claims: int, draws: int, fills: int) -> float:
    """How probable it is that a lesion that costs a third of what is above chance passes *causal and specific* (see ``broca plan``).

    Args:
        abilities: the items that test, the own ability first.
        alpha: level of all claims together.
        claims: how many share it.
        draws: matched draws at most.
        fills: how many must agree.
    """
    own = [*next(iter(abilities.values()))]
    groups = min(len({item.cluster for item in items}) for items in abilities.values())
    if groups < least_groups(alpha / claims):
        return 0.0
    chance = sum(1 / len(item.choices) if item.choices else 0.0 for item in own) / len(own)
    each = max(1, round(min(map(len, abilities.values())) / groups))
    study = Study(
        (INTACT - chance) / 3, groups, each, intact=INTACT, chance=chance, others=len(abilities) - 1, alpha=alpha,
        claims=claims, draws=draws, fills=min(fills, 3),
    )  # fmt: skip
    return ladder_power(study, simulations=SIMULATIONS).both if draws else 1.0


def _groups(items: Sequence[Item], n: int) -> int:
    """Groups among so many items, spread over the list."""
    return len({item.cluster for item in spread(items, n)})
