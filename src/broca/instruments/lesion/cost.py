"""What a causal test costs: its localizers, its items under every condition, and matched draws until they have decided."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.features import feature_phases, feature_sites
from broca.evidence.token_effects import token_effect_phases
from broca.evidence.trial_cost import fewer_draws, fewer_items, first_fill, no_twins, trial_phases, trial_power
from broca.instruments.lesion.ledger import other_data
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.parts import plan_of
from broca.items import Item
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.scoring.costs import sample_items
from broca.specs.cost import Phase, Plan
from broca.specs.savings import Saving
from broca.stats.stopping import fewest_draws
from broca.units import UnitMask


def cost(spec: CausalTest, lm: LM) -> Plan:
    """Readings of stimuli and items; of draws at most, and as a rule."""
    _, data = other_data(spec)
    items = tuple(item for group in data.abilities.values() for item in group)
    kept = {item.id for item in next(iter(data.abilities.values()))}
    mask = spec.selection
    units = mask is None or isinstance(mask, UnitMask)
    phases = trial_phases(
        lm,
        items,
        spec.scorer,
        lesions=_lesions(spec) + _equal_changes(spec),
        draws=spec.enough_draws(spec.draws),
        alpha=spec.level,
        fills=spec.fills if units else (),
        sized=units and mask is not None and "size" in spec.match,
        attributed=mask is None,
        rewordings=[item for item in spec.rewordings if item.id in kept],
        claimed=len(spec.fills),
        layer=_lowest(mask) if isinstance(mask, UnitMask) and "layer" in spec.match else 0,
    )
    intact, *rest = phases
    rest += _features(spec, lm, items)
    rest += token_effect_phases(lm, next(iter(data.abilities.values())), spec.scorer)
    return Plan((intact, *_localizing(spec, lm), *rest), sample_items(lm, items, spec.scorer))


def _lesions(spec: CausalTest) -> int:
    """Conditions that are scored whatever the draws say."""
    if spec.selection is not None:
        return len(spec.fills) + (isinstance(spec.selection, UnitMask) and spec.selection.grain == "unit")
    doses = [dose for dose in spec.doses if dose != spec.percent]
    curve = len(doses) * (len(spec.sides) + spec.dose_draws)
    return len(spec.fills) + len(spec.sides) - 1 + curve + len(spec.localizers) + len(spec.sizes) + 1


def _equal_changes(spec: CausalTest) -> int:
    """Random directions beside a lesion of features."""
    mask = spec.selection
    sites = [str(site) for site in mask.at] if isinstance(mask, UnitMask) else [getattr(spec.localizer, "sites", "")]
    lesioned = bool(sites) and all(site.endswith(".feature") for site in sites)
    return fewest_draws(spec.level) if lesioned and spec.draws else 0


def _localizing(spec: CausalTest, lm: LM) -> list[Phase]:
    """What its localizers do, as far as it is not known."""
    found: list[Phase] = []
    for turn, each in enumerate(spec.every_localizer):
        plan = None if spec.known_ranking is not None and turn == 0 else plan_of(each, lm)
        found += plan.phases if plan is not None else ()
    return found


def _features(spec: CausalTest, lm: LM, items: Sequence[Item]) -> list[Phase]:
    """What is read to say of the lesioned features what they are."""
    if isinstance(spec.selection, UnitMask):
        sites = list(spec.selection.sites)
    elif getattr(spec.localizer, "sites", "").endswith(".feature"):
        sites = list(lm.anatomy.sites("feature"))
    else:
        return []
    if not feature_sites(sites):
        return []
    return feature_phases(lm.tokenize([item.content for item in items], chat=chat_of(spec.scorer)), sites)


def _lowest(mask: UnitMask) -> int:
    """The lowest layer of a selection."""
    return min((site.layer for site, on in mask.at.items() if on.any()), default=0)


def savings(spec: CausalTest, lm: LM) -> tuple[Saving, ...]:  # noqa: ARG001 - as every one has it
    """Further doses, draws, twins of the localizer, items, fills."""
    abilities, twins = [*spec.abilities.values()], getattr(spec.localizer, "twins", 0)
    return (
        *((Saving("doses", (spec.doses, ()), "further doses"),) if spec.doses else ()),
        *fewer_draws(spec.draws, spec.alpha),
        *no_twins(twins, field="localizer.twins"),
        *fewer_items(abilities[0], max(map(len, abilities)), spec.level),
        *first_fill(spec.fills),
    )


def power(spec: CausalTest, lm: LM) -> float:  # noqa: ARG001 - as every one has it
    """See `trial_power`."""
    _, data = other_data(spec)
    draws = spec.enough_draws(spec.draws)
    return trial_power(data.abilities, alpha=spec.alpha, claims=spec.claims, draws=draws, fills=len(spec.fills))
