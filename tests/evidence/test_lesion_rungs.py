"""*Causal* and *specific* on scores whose truth is known: what is true passes, each adversary does not, and no data is no "no"."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from broca.evidence import effects
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.controls import collapse
from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.rungs import causal, specific
from broca.items import Item
from broca.stats.stopping import decide, stopping_rule

FILLS = {"zero": 1.0, "mean": 0.8, "resample": 0.6}
GROUPS, EACH = 20, 5


def items(name, words=("box", "bag"), first=0.5, n=GROUPS * EACH):
    """Two choices; `first` of the right answers are the first word, the places of answers alternate."""
    made = []
    for i in range(n):
        right = words[0] if (i % 100) < 100 * first else words[1]
        choices = words if i % 2 else words[::-1]
        made.append(Item(f"{name}{i}", f"Where is {i}?", choices, choices.index(right), name, f"{name} {i // EACH}"))
    return made


def scores(name, lesioned, *, mean=3.0, spread=2.0, seed=0, draws=None, made=None):
    """Scores of an ability whose margins `lesioned(margin, strength, rng)` changes."""
    rng, made = np.random.default_rng([seed, *name.encode()]), made or items(name)
    group = np.arange(len(made)) // EACH
    margin = mean + rng.normal(0, 0.7, group.max() + 1)[group] + rng.normal(0, spread, len(made))
    under = np.stack([lesioned(margin, strength, rng) for strength in FILLS.values()])
    random = rng.normal(margin, 0.1, (200, len(made))) if draws is None else draws(margin, rng)
    answers = np.array([item.answer for item in made])
    return AbilityScores(
        name, made, group, (margin > 0) * 1.0, margin, tuple(FILLS), (under > 0) * 1.0, under,
        np.where(under[0] > 0, answers, 1 - answers), {}, (random > 0) * 1.0,
    )  # fmt: skip


def drawn(of, wanted=200, distinct=None):
    rule = stopping_rule(draws=wanted, distinct=distinct)
    return MatchedDraws(decide(of.as_costly, rule), "that match it in layer", wanted, short=distinct is not None)


def shift(nats):
    return lambda margin, strength, rng: margin - strength * nats + rng.normal(0, 1, margin.size)


def floor(margin, _strength, rng):
    return rng.normal(0, 1.5, margin.size)


def climb(own, *others, **how):
    draws = drawn(own, **{name: how.pop(name) for name in ("wanted", "distinct") if name in how})
    return causal.lesion(own, draws, alpha=0.05, **how), specific.lesion(own, others, draws, alpha=0.05, **how)


def rates(make, n=30):
    """How often both rungs pass."""
    return sum(all(rung.state == "passed" for rung in climb(*make(seed))) for seed in range(n)) / n


@pytest.mark.slow
def test_a_place_that_carries_the_ability_is_causal_and_specific():
    own, other = scores("own", shift(4)), scores("other", shift(0.0))
    found, alone = climb(own, other)
    assert (found.state, alone.state) == ("passed", "passed"), (found.text, alone.text)
    assert found.numbers["draws"] == 120
    assert alone.caveat == ""
    assert rates(lambda seed: (scores("own", shift(4), seed=seed), scores("other", shift(0.3), seed=seed))) >= 0.9


@pytest.mark.parametrize("other", [1.0, 1.7, 2.6], ids=["70", "80", "90"])
def test_a_floor_is_not_specific(other):
    def make(seed):
        return scores("own", floor, mean=4, seed=seed), scores("other", floor, mean=other, seed=seed)

    assert rates(make) <= 0.1


@pytest.mark.parametrize(("own", "other"), [(1.5, 5.0), (5.0, 1.5)], ids=["slim", "wide"])
def test_difficulty_is_not_specificity(own, other):
    def make(seed):
        return scores("own", shift(2), mean=own, seed=seed), scores("other", shift(2), mean=other, seed=seed)

    assert rates(make) <= 0.1


def test_a_bias_towards_one_answer_is_neither_causal_nor_specific():
    """Four fifths of the own answers are the word that a lesion disfavours; of the other ability's, one fifth."""

    def biased(made):
        sign = np.array([1 if item.choices[item.answer] == "box" else -1 for item in made])
        return lambda margin, strength, _rng: margin - 8 * strength * sign

    own, other = items("own", first=0.8), items("other", first=0.2)
    found, alone = climb(scores("own", biased(own), made=own), scores("other", biased(other), made=other))
    assert found.state != "passed"
    assert alone.state != "passed"


def test_a_lesion_that_gives_one_answer_to_everything_is_said_to_collapse():
    made = items("own")
    first = np.array([1 if item.answer == 0 else -1 for item in made])
    own = scores("own", lambda margin, _s, _rng: np.abs(margin) * first, made=made)
    assert "one position" in (collapse(own, alpha=0.05) or "")
    assert collapse(scores("own", shift(4)), alpha=0.05) is None
    assert climb(own, scores("other", shift(0.0)))[1].state != "passed"


def test_a_fill_that_helps_the_own_ability_leaves_both_undecided():
    def first_only(margin, strength, _rng):
        return margin - 4 if strength == 1.0 else margin + 0.5

    found, alone = climb(scores("own", first_only, mean=1.0), scores("other", shift(0.0)))
    assert "passed" not in (found.state, alone.state)


def test_no_effect_is_evidence_of_absence_and_said_as_no():
    found, alone = climb(scores("own", shift(0.0), spread=1), scores("other", shift(0.0), spread=1))
    assert (found.state, alone.state) == ("failed", "failed")


def test_a_loss_that_random_choices_have_too_fails_early():
    own = scores("own", shift(4), draws=lambda margin, rng: rng.normal(margin - 4, 1, (200, margin.size)))
    found = climb(own, scores("other", shift(0.0)))[0]
    assert found.state == "failed"
    assert found.numbers["draws"] <= 60


def test_few_distinct_choices_leave_the_rung_undecided_and_say_so():
    own = scores("own", shift(4), draws=lambda margin, rng: rng.normal(margin, 0.1, (4, margin.size)))
    found = climb(own, distinct=4)[0]
    assert found.state == "undecided"
    assert "only 4 distinct choices" in found.text
    assert "below 0.2" in found.text


def test_fewer_draws_than_any_p_of_alpha_takes_are_named():
    own = scores("own", shift(4))
    found = climb(own, wanted=10)[0]
    assert found.state == "undecided"
    assert "10 random choices cannot give p ≤ 0.05: 19 are the fewest that do (--draws)" in found.text


def test_claims_share_the_level_of_every_test():
    """At alpha / 4 seven groups allow no p, four draws of 200 no rank: what passes alone is open as one of four claims."""
    own = scores("own", lambda margin, *_: -margin, mean=6, made=items("own")[32:67])
    other = scores("other", shift(0.0), made=items("other")[32:67])
    draws = drawn(own)
    alone, shared = (causal.lesion(own, draws, alpha=0.05, claims=claims) for claims in (1, 4))
    assert (alone.state, shared.state) == ("passed", "undecided")
    assert "7 groups allow no p ≤ 0.0125: 8 are the fewest that do" in shared.text
    assert (alone.numbers["alpha"], shared.numbers["alpha"]) == (0.05, 0.0125)
    among = np.arange(200) < 4
    costly = scores(
        "own",
        shift(6),
        draws=lambda margin, rng: np.where(among[:, None], -1.0, rng.normal(margin, 0.1, (200, margin.size))),
    )
    assert decide(costly.as_costly, stopping_rule(claims=1)).state == "passed"
    assert decide(costly.as_costly, stopping_rule(claims=4)).state == "failed"
    one, many = (specific.lesion(own, [other], draws, alpha=0.05, claims=claims) for claims in (1, 4))
    assert (one.numbers["alpha"], many.numbers["alpha"]) == (0.05, 0.0125)


def test_an_effect_near_the_smallest_one_is_said_to_be_so_instead_of_an_absurd_number():
    own = scores("own", shift(1.0))
    smallest = float(own.loss_of(own.lesioned.mean(0))) + 0.002
    found = climb(own, smallest_effect=smallest)[0]
    assert (found.state, found.numbers["groups_needed"]) == ("undecided", None)
    assert (
        "the estimate lies too near the smallest loss of interest for any number of groups to decide it" in found.text
    )


def test_five_groups_decide_nothing_and_the_number_that_would_is_said():
    made = items("own", n=25)
    found = climb(scores("own", shift(4), made=made), scores("other", shift(0.0)))[0]
    assert found.state == "undecided"
    assert "5 groups allow no p ≤ 0.05: 6 are the fewest" in found.text
    assert found.numbers["low"] is None


def test_without_draws_nothing_is_said_of_the_place():
    own = scores("own", shift(4), draws=lambda margin, _rng: np.zeros((0, margin.size)))
    draws = MatchedDraws(decide([], stopping_rule(draws=200)), "", 0)
    assert causal.lesion(own, draws, alpha=0.05).state == "not tested"


def test_a_real_loss_that_is_smaller_than_what_is_of_interest_fails():
    own = scores("own", shift(0.8), mean=2, spread=1)
    assert climb(own, smallest_effect=0.6)[0].state == "failed"


def test_other_answers_are_a_caveat_and_shared_ones_are_none():
    own = scores("own", shift(4))
    apart = scores("other", shift(0.0), made=items("other", ("hat", "cap")))
    assert climb(own, apart)[1].caveat == "answers not controlled"
    assert climb(own, apart, scores("third", shift(0.0)))[1].caveat == ""


def test_a_difficulty_artefact_within_the_own_ability_is_found_by_halves_of_margin():
    """A lesion that hits items of slim margin alone would be 'specific' to them."""

    def slim(margin, strength, _rng):
        return np.where(margin < 3, margin - 6 * strength, margin)

    found = [climb(scores("own", slim, seed=seed), scores("other", shift(0.0), seed=seed))[1] for seed in range(12)]
    told = [rung for rung in found if rung.state == "undecided" and "parted by intact margin" in rung.text]
    assert len(told) >= 10


def test_an_ability_at_chance_has_nothing_to_lose():
    own = scores("own", shift(4), mean=-0.2)
    assert climb(own)[0].state in ("undecided", "failed")


def test_an_effect_that_massive_coordinates_carry_is_said_to_be_theirs():
    found = climb(scores("own", shift(4)))[0]
    assert found.state == "passed"
    small, large = found.numbers["smallest_effect"] / 2, found.numbers["smallest_effect"] * 2
    assert causal.without_massive(found, small, 3).caveat == "carried by massive coordinates"
    assert causal.without_massive(found, large, 3).caveat == ""
    assert "3 massive coordinates" in causal.without_massive(found, large, 3).text


def test_a_negative_loss_is_said_as_a_gain():
    text = climb(scores("own", shift(4)), scores("other", shift(-2.0), mean=1.0))[1].text
    assert re.search(r"other gains \d+ % \(own minus other \+", text), text
    assert re.search(r"^own loses \d+ % of what it has above chance", text)
    rung = causal.without_massive(
        causal.lesion(scores("own", shift(4)), drawn(scores("own", shift(4))), alpha=0.05), -0.03, 2
    )
    assert "Without its 2 massive coordinates the selection gains 3.0 points" in rung.text
    assert "-" not in re.sub(r"[a-z]-[a-z]|e-\d", "", text + rung.text)


def test_an_undecided_comparison_says_how_many_groups_would_decide_it():
    own, other = (scores(name, shift(2), made=items(name, n=40)) for name in ("own", "other"))
    text = climb(own, other)[1].text
    assert re.search(
        r"undecided, since the interval decides nothing, about \d+ groups like these of each ability would", text
    ), text


def test_a_cell_of_the_matrix_is_tested_by_groups():
    """Three of six templates of twenty fillings lose everything: 60 items changed, and three observations."""
    rows = [
        {"ability": "own", "condition": condition, "localizer": "a", "side": "top", "dose": 1.0, "fill": "zero", "k": 1, "seed": 0,
         "group": f"g{i // 20}", "correct": condition == "intact" or i >= 60}
        for condition in ("intact", "lesion") for i in range(120)
    ]  # fmt: skip
    table = pl.DataFrame(rows)
    found = effects.matrix(table, [{"localizer": "a", "condition": "lesion"}], own="own", boot={"n": 200, "seed": 0})
    assert found["p"].to_list() == found["p_holm"].to_list() == [0.25]
