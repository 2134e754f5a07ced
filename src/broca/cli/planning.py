"""The command that says how much of everything a test of a lesion takes."""

from __future__ import annotations

from broca.cli import terminal
from broca.page.shell import YOUR_CONTRAST, YOURS, command


def plan(
    *,
    loss: float = 0.15,
    intact: float = 0.95,
    chance: float = 0.5,
    groups: int = 20,
    items: int = 5,
    others: int = 1,
    claims: int = 1,
    rho: float = 0.1,
    d: float = 0.5,
    units: int = 1,
    power: float = 0.8,
    alpha: float = 0.05,
) -> None:
    """Say how probable it is that a lesion passes causal and specific, or fails where it costs everything, and how much makes it so.

    Args:
        loss: Accuracy that the lesion costs, as a share (0.15 is 15 points).
        intact: Accuracy of the intact model.
        chance: What guessing gets right.
        groups: Groups (templates, stories) of each ability.
        items: Items of each group; and stimuli of each template.
        others: Other abilities that must be spared.
        claims: Claims that share the level.
        rho: Correlation among the items of a group.
        d: Difference between the sides of the contrast, in standard deviations.
        units: Units that share the level (Bonferroni).
        power: Probability of finding the effect, and of refuting one that costs every ability as much.
        alpha: Level of each test.
    """
    from broca.stats.ladder_needs import ladder_needs
    from broca.stats.ladder_power import Study, ladder_power
    from broca.stats.power import welch_needed

    study = Study(
        loss, groups, items, intact=intact, chance=chance, others=others, alike=rho, alpha=alpha, claims=claims
    )
    here, needs = ladder_power(study), ladder_needs(study, power=power)
    both = f"{here.both:.0%} probable with {groups} groups of {items} items ({here.draws:.0f} draws expected)"
    facts = [
        ("causal and specific", both),
        (f"for {power:.0%}", f"{needs.study.groups:,} groups of {items}, {needs.items:,} items of each ability"),
    ]
    if needs.refutation is not None:
        alike = f"{here.refutation:.0%} probable where the lesion costs every ability as much"
        facts.append(("not specific", f"{alike}; for {power:.0%} {needs.refutation.groups:,} groups of {items}"))
    stimuli = welch_needed(d, tests=units, power=power, alpha=alpha, m=items, rho=rho)
    facts += [
        ("random lesions", f"{needs.draws:,} at most; drawing stops as soon as the decision is all but certain"),
        ("untrained twins", f"{needs.twins:,}, fewer where one reaches the model"),
        ("stimuli on each side", f"{stimuli:,} to find d = {d:g} in a given one of {units:,} units (Welch's t)"),
    ]
    terminal.facts(facts)
    sizes = {"n_items": needs.items, "draws": needs.draws, "twins": needs.twins}
    terminal.following({}, command("lesion", "MODEL", options={"contrast": YOUR_CONTRAST, "items": YOURS, **sizes}))
