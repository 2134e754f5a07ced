"""Shuffled, drawn again, without length: what makes a map selective, and what refuses to say so."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from broca.capture import Gather, capture
from broca.errors import SpecError, StimulusError
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.models.pool import Pool
from broca.stats.permutation import permutation_test


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def letters(n=24):
    """Sides that differ in one letter, neither of which has an opening or ending of its own."""
    word = lambda i: chr(97 + i) + chr(97 + 3 * i % 26)  # noqa: E731
    return Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"{word(i)} is the x number {i % 10} of {word(i + 1)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"{word(i)} is the y number {i % 10} of {word(i + 1)}") for i in range(n)),
    )


def lengthy(n=24):
    """The same words on both sides, of other lengths that overlap."""
    return Contrast(
        "lengths",
        tuple(Stimulus(f"p{i}", "a" * (6 + i % 12)) for i in range(n)),
        tuple(Stimulus(f"n{i}", "a" * (2 + i % 12)) for i in range(n)),
    )


def by_lot(n=24, groups=None, seed=0):
    """Sides that differ in nothing."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice([*"abcdefgh "], 24)) for _ in range(2 * n)]
    given = [str(i % groups) if groups else "" for i in range(2 * n)]
    made = [Stimulus(str(i), text, group) for i, (text, group) in enumerate(zip(texts, given, strict=True))]
    return Contrast("lots", tuple(made[:n]), tuple(made[n:]))


def rung(found, name="selective"):
    return {r.name: r for r in found.verdict.rungs}[name]


def test_family_wise_p_is_that_of_the_permutation_test_over_all_sites(lm):
    contrast = letters()
    found = Localize(contrast=contrast, pool="mean", permutations=199, seed=3).run(lm)
    sites = lm.anatomy.sites("resid_post")
    sides = [
        capture(lm, lm.tokenize([s.text for s in side]), sites, Gather, pool=Pool("mean"))
        for side in (contrast.positive, contrast.negative)
    ]
    joined = [np.concatenate([side[site].result() for site in sites], 1) for side in sides]
    expected = permutation_test(*joined, n=199, seed=3)
    np.testing.assert_array_equal(np.concatenate(list(found.p_max.values())), expected.p_max)
    numbers = rung(found).numbers
    assert numbers["arrangements"] == 199
    chosen = np.concatenate([found.selected.at[site] for site in sites])
    assert numbers["significant_selected"] == (expected.p_max[chosen] <= 0.05).sum()


def test_half_of_a_selection_must_be_true(lm):
    found = rung(Localize(contrast=letters(), pool="mean", select={"percent": 5}).run(lm))
    assert found.state == "passed"
    assert found.numbers["true_share"] >= 0.5
    assert found.numbers["true_share_whole"] < found.numbers["true_share"]
    every = rung(Localize(contrast=letters(), sites="0.resid_post", select={"percent": 100}).run(lm))
    assert every.state == "undecided"


def test_nobody_asked_is_not_tested(lm):
    found = rung(Localize(contrast=letters(), permutations=0).run(lm))
    assert found.state == "not tested"
    assert "--permutations 1000" in found.text


def test_a_map_of_lots_fails_only_where_it_could_have_passed(lm):
    few = rung(Localize(contrast=by_lot(), select={"percent": 5}).run(lm))
    assert few.state == "undecided"
    assert "would decide" in few.text
    many = rung(Localize(contrast=by_lot(150), select={"percent": 5}).run(lm))
    assert many.state == "failed"
    assert many.numbers["detectable_d"] <= 1


def test_too_few_groups_are_undecided_and_say_how_many_would_do(lm):
    few = letters()
    few = Contrast("few", few.positive[:4], few.negative[:4], paired=True)
    found = rung(Localize(contrast=few).run(lm))
    assert found.state == "undecided"
    assert "at least 6" in found.text


def test_maps_are_the_same_bits_whether_values_are_kept(lm):
    kept, streamed = (Localize(contrast=letters(70), permutations=n).run(lm) for n in (50, 0))
    for name in ("t", "p", "d", "size"):
        for site, values in getattr(streamed, name).items():
            assert values.tobytes() == getattr(kept, name)[site].tobytes()


def test_stimuli_are_read_once(lm):
    seen = []

    def cache(key, compute):
        seen.append(key["cell"])
        return compute()

    Localize(contrast=letters(), permutations=50).run(lm, cache=cache)
    assert seen.count("gather") == 2
    assert "moments" not in seen


def test_half_of_the_stimuli_select_and_are_shuffled(lm):
    found = Localize(contrast=by_lot(40), select_on="half", permutations=50).run(lm)
    assert rung(found).state in ("undecided", "failed")
    few = Contrast("few", letters(4).positive, letters(4).negative, paired=True)
    assert "2 pairs" in rung(Localize(contrast=few, select_on="half").run(lm)).text


def test_units_that_follow_length_refuse_until_it_is_regressed_out(lm):
    contrast = lengthy()
    plain = rung(Localize(contrast=contrast, pool="mean", select={"percent": 20}).run(lm))
    assert plain.state == "undecided"
    assert "--lengths" in plain.text
    found = rung(Localize(contrast=contrast, pool="mean", lengths=True, select={"percent": 20}).run(lm))
    assert found.state != "passed"
    assert found.numbers["significant_selected"] < 0.2 * found.numbers["k"]
    assert found.numbers["overlap"] > 0.01
    kept = rung(Localize(contrast=letters(), pool="mean", lengths=True, select={"percent": 5}).run(lm))
    assert kept.state == "passed"


def test_a_map_that_does_not_hang_on_length_passes_when_it_is_regressed_out(lm):
    base = letters(40)
    longer = Contrast("longer", base.positive, tuple(
        Stimulus(s.id, s.text + " and so on and on" * (i % 3 == 0)) for i, s in enumerate(base.negative)
    ))  # fmt: skip
    how = {"contrast": longer, "pool": "mean", "select": {"percent": 5}}
    assert rung(Localize(**how).run(lm)).state == "undecided"
    assert rung(Localize(**how, lengths=True).run(lm)).state == "passed"


@pytest.mark.parametrize("grain", ["unit", "head"])
def test_a_sentence_before_one_side_refuses(lm, grain):
    lots = by_lot(40)
    one = tuple(Stimulus(s.id, f"it was a day of june. {s.text}") for s in lots.positive)
    how = {"pool": "mean", "grain": grain, "select": {"percent": 10}}
    if grain == "head":
        how["sites"] = "*.z"
    found = Localize(contrast=Contrast("sentence", one, lots.negative), lengths=True, **how).run(lm)
    assert {g.name: g.state for g in found.guards}["openings and endings"] == "marked"
    assert rung(found).state == "undecided"
    assert "it was a day" in rung(found).text


def test_named_columns_are_regressed_out(lm, tmp_path):
    rows = ["text,label,topic,year"]
    rng = np.random.default_rng(0)
    for i in range(80):
        topic = "xy"[(i + (rng.random() < 0.2)) % 2]
        text = "".join(rng.choice([*"abcdefgh "], 12)) + f" {topic * 6} {i}"
        rows.append(f"{text},{('positive', 'negative')[i % 2]},{topic},{1990 + i % 7}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    how = {"contrast": str(tmp_path / "t.csv"), "pool": "mean", "lengths": True, "select": {"percent": 5}}
    assert rung(Localize(**how).run(lm)).state == "passed"
    found = Localize(**how, confounds=("topic", "year")).run(lm)
    assert rung(found).state != "passed"
    assert {g.name: g.state for g in found.guards}["confound topic"] == "marked"
    assert {g.name: g.state for g in found.guards}["confound year"] == "passed"
    with pytest.raises(StimulusError, match=r"no column 'topics'.*topic, year"):
        Localize(**how, confounds=("topics",)).run(lm)
    with pytest.raises(SpecError, match="permutations"):
        Localize(**how, confounds=("topic",), permutations=0)


def test_a_column_that_is_the_side_leaves_nothing_to_compare(lm):
    base = letters()
    tagged = [
        tuple(Stimulus(s.id, s.text, tags={"source": which}) for s in side)
        for which, side in (("a", base.positive), ("b", base.negative))
    ]
    found = rung(Localize(contrast=Contrast("tagged", *tagged), confounds=("source",)).run(lm))
    assert found.state == "undecided"
    assert "match the sides in it" in found.text


def test_near_duplicates_without_groups_are_warned_of(lm):
    found = Localize(contrast=letters(), permutations=0).run(lm)
    assert any("nearly the same as one of another group" in text for text in found.warnings)
    assert not any("nearly" in text for text in Localize(contrast=by_lot(), permutations=0).run(lm).warnings)


def test_heads_are_shuffled_too(lm):
    how = {"sites": "*.z", "grain": "head", "pool": "mean", "select": {"percent": 10}}
    found = Localize(contrast=letters(), **how).run(lm)
    assert rung(found).state == "passed"
    assert sum(len(p) for p in found.p_max.values()) == 12
    lots = Localize(contrast=by_lot(), **how).run(lm)
    assert rung(lots).state in ("failed", "undecided")
    with pytest.raises(SpecError, match=r"a head.s statistic is itself learned"):
        Localize(**how, resamples=100)


def test_a_stable_selection_is_chosen_again(lm):
    numbers = rung(Localize(contrast=letters(), pool="mean", resamples=100).run(lm), "reliable").numbers
    assert numbers["resamples"] == 100
    assert numbers["bootstrap_jaccard"] > numbers["bootstrap_noise"] > 0


def test_units_with_massive_activations_are_marked_or_left_out(lm):
    site = lm.anatomy.sites("resid_post")[0]
    weight = lm.model.get_input_embeddings().weight
    before = weight.detach().clone()
    try:
        weight.data[:, 5] += 1e4
        marked = Localize(contrast=letters(), select={"percent": 100}).run(lm)
        guard = {g.name: g for g in marked.guards}["massive activations"]
        assert guard.state == "marked"
        assert f"{site}:5" in guard.text
        safe = Localize(contrast=letters(), select={"percent": 100}, protect_massive=True).run(lm)
        assert {g.name: g.state for g in safe.guards}["massive activations"] == "passed"
        assert not safe.selected.at[site][5]
    finally:
        weight.data.copy_(before)
