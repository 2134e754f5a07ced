"""The localizer against SciPy on independently captured activations, and its published variants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind

import zoo
from broca.errors import SelectionError, SiteUnavailable, SpecError, StatisticsError, StimulusError, UnknownName
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Stimulus
from broca.models.lm import LM
from broca.sites import Site
from broca.stimuli.contrasts import contrast


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


def two_sides(n=24, apart="x"):
    """Stimuli that differ in one letter."""
    return Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"the {apart} number {i % 10} is {chr(97 + i)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"the y number {i % 10} is {chr(97 + i)}") for i in range(n)),
    )


def block_outputs(lm, text, pool):
    """Residual stream after each block, ``(layer, unit)``, captured by plain hooks, one text at a time."""
    ids = torch.tensor([lm.tokenizer(text).input_ids])
    seen = []
    handles = [
        block.register_forward_hook(lambda _m, _a, out: seen.append(out if torch.is_tensor(out) else out[0]))
        for block in lm.model.get_submodule(lm.anatomy.path)
    ]
    with torch.no_grad():
        lm.model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return np.stack([pool(hidden[0].double().numpy()) for hidden in seen])


def scipys(lm, sides, pool, change=lambda x: x):
    rows = [np.stack([change(block_outputs(lm, s.text, pool)) for s in side]) for side in sides]
    return ttest_ind(*rows, axis=0, equal_var=False)


def test_t_and_p_equal_scipys_on_activations_captured_independently(lm):
    spec = Localize(contrast=two_sides(), select={"percent": 5})
    found = spec.run(lm)
    reference = scipys(lm, (spec.stimuli.positive, spec.stimuli.negative), lambda x: x[-1])
    for layer in range(3):
        site = Site(layer, "resid_post")
        np.testing.assert_allclose(found.t[site], reference.statistic[layer], atol=1e-4)
        np.testing.assert_allclose(found.p[site], reference.pvalue[layer], atol=1e-4)


@pytest.mark.parametrize("preset", ["tl-abs", "tl-signed"])
def test_the_published_presets_on_the_published_stimuli(lm, shared, preset):
    spec = Localize(contrast=str(shared / "data/tomloc"), preset=preset, select={"percent": 5})
    found = spec.run(lm)
    stimuli = spec.stimuli
    assert stimuli.positive[0].text.startswith("In this experiment, you will read")
    assert stimuli.positive[0].text.endswith("Answer: True")
    change = np.abs if preset == "tl-abs" else (lambda x: x)
    reference = scipys(lm, (stimuli.positive, stimuli.negative), lambda x: x.mean(0), change)
    for layer in range(3):
        np.testing.assert_allclose(found.t[Site(layer, "resid_post")], reference.statistic[layer], atol=1e-4)
    bottom = found.select(percent=5, side="bottom")
    assert bottom.count == 96 * 5 // 100 + 1  # the ancestor's k + 1
    assert Localize(contrast=two_sides(), select={"percent": 5}).run(lm).select(percent=5, side="bottom").count == 4


def test_ll_truncates_to_twelve_tokens(lm, shared):
    spec = Localize(contrast=str(shared / "data/langloc"), preset="ll", select={"percent": 5})
    found = spec.run(lm)
    sides = [
        [lm.tokenizer.decode(lm.tokenizer(s.text).input_ids[1:12]) for s in side]
        for side in (spec.stimuli.positive, spec.stimuli.negative)
    ]
    rows = [np.abs(np.stack([block_outputs(lm, text, lambda x: x[-1]) for text in side])) for side in sides]
    reference = ttest_ind(*rows, axis=0, equal_var=False)
    np.testing.assert_allclose(found.t[Site(1, "resid_post")], reference.statistic[1], atol=1e-4)


def test_a_preset_yields_to_what_the_user_gives():
    spec = Localize(contrast="belief", preset="tl-abs", pool="last", select={"percent": 2, "ties": "index"})
    assert (spec.pool, spec.magnitude, spec.select.percent) == ("last", "abs-of-mean", 2)
    assert (spec.select.ties, spec.select.extra_one) == ("index", True)
    assert Localize(**spec.model_dump()) == spec


def test_a_misspelt_preset_or_field_is_named():
    with pytest.raises(UnknownName, match="Did you mean 'tl-abs'"):
        Localize(preset="tl-asb")
    with pytest.raises(SpecError, match="contrst"):
        Localize(contrst="belief")


def test_equal_sides_select_nothing_and_the_ladder_says_so(lm):
    draw = np.random.default_rng(0)
    texts = ["".join(chr(97 + c) for c in draw.integers(0, 26, 12)) for _ in range(160)]
    same = Contrast(
        "nothing",
        tuple(Stimulus(f"p{i}", t) for i, t in enumerate(texts[:80])),
        tuple(Stimulus(f"n{i}", t) for i, t in enumerate(texts[80:])),
    )
    found = Localize(contrast=same, select={"percent": 5}).run(lm)
    assert found.verdict.first_failure == "selective"
    assert found.verdict.sentence.startswith("Map: no (")
    assert found.reliability["d_same_half"] > found.reliability["d_held_out"] + 0.3


def test_a_real_difference_is_selective_and_reliable(lm):
    # Neither side has an opening or ending of its own.
    sides = ([Stimulus(f"{x}{i}", f"{chr(97 + i)} {x * 9} {chr(97 + i)}") for i in range(26)] for x in "qy")
    found = Localize(contrast=Contrast("letters", *map(tuple, sides)), pool="mean", select={"percent": 5}).run(lm)
    assert [rung.state for rung in found.verdict.rungs[:2]] == ["passed", "passed"]
    assert found.verdict.sentence.startswith("Map: yes, as far as tested (selective and reliable; learned not tested).")


def test_heads_are_ranked_by_a_cross_validated_statistic(lm):
    real = Localize(
        contrast=two_sides(26, apart="q"), sites="*.z", grain="head", pool="mean", select={"percent": 25}
    ).run(lm)
    assert real.selected.grain == "head"
    assert real.selected.count == 3
    assert all(values.shape == (4,) for values in real.t.values())
    assert np.mean([*real.t.values()]) > 3
    # Without a difference the discriminant finds nothing on stimuli that did not choose it.
    draw = np.random.default_rng(1)
    texts = ["".join(chr(97 + c) for c in draw.integers(0, 26, 12)) for _ in range(120)]
    same = Contrast(
        "nothing",
        tuple(Stimulus(f"p{i}", t) for i, t in enumerate(texts[:60])),
        tuple(Stimulus(f"n{i}", t) for i, t in enumerate(texts[60:])),
    )
    null = Localize(contrast=same, sites="*.z", grain="head", select={"percent": 25}).run(lm)
    assert abs(np.mean([*null.t.values()])) < 2


def test_selecting_on_a_half_uses_that_half_alone(lm):
    stimuli = two_sides(26, apart="q")
    whole = Localize(contrast=stimuli, select={"percent": 5}).run(lm)
    half = Localize(contrast=stimuli, select={"percent": 5}, select_on="half").run(lm)
    site = Site(2, "resid_post")
    assert not np.allclose(whole.t[site], half.t[site])
    assert whole.reliability == half.reliability


def test_pairs_stay_together_in_the_halves(lm):
    from broca.evidence.stimuli import tokenize_contrast

    stimuli = Contrast("pairs", two_sides().positive, two_sides().negative, paired=True)
    positive, negative = tokenize_contrast(stimuli, lm, chat="auto", truncate=None, seed=0)
    np.testing.assert_array_equal(positive.half, negative.half)
    np.testing.assert_array_equal(positive.odd, negative.odd)
    assert positive.half.sum() == positive.odd.sum() == 12


def test_results_do_not_depend_on_the_batch_size(lm):
    spec = Localize(contrast=two_sides(), select={"percent": 5})
    results = []
    for size in (1, 16):
        lm.batch_size = size
        results.append(spec.run(lm))
    lm.batch_size = 32
    for site, t in results[0].t.items():
        np.testing.assert_allclose(t, results[1].t[site], rtol=1e-3, atol=1e-3)


def test_what_cannot_be_done_is_refused_in_words(lm):
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        Localize(contrast=two_sides(), sites="7.resid_post").run(lm)
    with pytest.raises(SiteUnavailable, match="Heads are slices of 'z'"):
        Localize(contrast=two_sides(), grain="head", sites="*.resid_post").run(lm)
    with pytest.raises(SelectionError, match="less than one"):
        Localize(contrast=two_sides(), select={"percent": 0.1}).run(lm)
    with pytest.raises(UnknownName, match="Did you mean 'belief'"):
        Localize(contrast="beleif", select={"percent": 5}).run(lm)


def test_lengths_that_differ_are_marked(lm):
    unequal = Contrast(
        "lengths",
        tuple(Stimulus(f"p{i}", "a rather long text " * 3 + "ab"[i % 2] * (i % 5)) for i in range(20)),
        tuple(Stimulus(f"n{i}", "short" + "ab"[i % 2] * (i % 5)) for i in range(20)),
    )
    guards = {guard.name: guard for guard in Localize(contrast=unequal, select={"percent": 5}).run(lm).guards}
    assert guards["length match"].state == "marked"
    assert "differ in" in guards["length match"].text


@pytest.mark.parametrize("name", ["belief", "language", "pain", "multiple-demand-matched"])
def test_every_shipped_contrast_is_localized_whole(lm, name):
    shown = contrast(name)
    found = Localize(contrast=name).run(lm)
    assert (found.contrast["n_positive"], found.contrast["n_negative"]) == (len(shown.positive), len(shown.negative))
    assert all(np.isfinite(t).any() for t in found.t.values())
    assert found.selected.count == found.selection["k"] > 0


def test_other_stimuli_for_the_same_ability_are_held_beside_it(lm):
    """The contrast itself finds the same units; another one is measured against chance."""
    found = Localize(contrast="pain", sites="*.mlp_act", select={"percent": 5}, also=("pain", "language")).run(lm)
    same, other = found.across.rows(named=True)
    assert (same["contrast"], same["r"], same["dice"]) == ("pain", pytest.approx(1), 1)
    assert same["p"] < 1e-6
    beside = Localize(contrast="language", sites="*.mlp_act", select={"percent": 5}).run(lm)
    flat = [np.concatenate(list(each.t.values())) for each in (found, beside)]
    assert other["r"] == pytest.approx(np.corrcoef(*flat)[0, 1])
    assert other["shared"] == sum((found.selected.at[s] & beside.selected.at[s]).sum() for s in found.t)
    rung = {rung.name: rung for rung in found.verdict.rungs}["reliable"]
    assert "With other stimuli: pain r = 1.00" in rung.text
    assert rung.numbers["r_language"] == pytest.approx(other["r"])


def test_a_copy_with_other_fields_has_other_stimuli():
    """What a spec has worked out from its fields must not follow its copies."""
    spec = Localize(contrast="pain")
    assert spec.stimuli.name == "pain"
    assert spec.model_copy(update={"contrast": "language"}).stimuli.name == "language"


@pytest.mark.parametrize("groups", [(), ("g",) * 6], ids=["three a side", "one template"])
def test_too_few_stimuli_to_halve_say_how_many_would_do(lm, groups):
    few = [Stimulus(f"{i}", f"the cat {i}", g) for i, g in enumerate(groups or ("",) * 6)]
    with pytest.raises((StimulusError, StatisticsError), match=r"at least (4 stimuli a side|2 groups)"):
        Localize(contrast=Contrast("few", tuple(few[:3]), tuple(few[3:]))).run(lm)


def test_stimuli_that_truncation_makes_alike_are_told_with_what_to_do(tmp_path):
    """Stories behind a common instruction, as the published prompts have them, and the cut that was meant for sentences."""
    folder = tmp_path / "tomloc"
    folder.mkdir()
    for i in range(1, 7):
        for kind in "bp":
            (folder / f"{i}{kind}_story.txt").write_text(f"The {kind} of {i} is put away by Ann.")
            (folder / f"{i}{kind}_question.txt").write_text(f"Is it {i}?\n\nTrue\nFalse")
    lm = zoo.lm("llama")
    lm.model.config.max_position_embeddings = 1024
    said = (
        r"All stimuli of 'tomloc' begin with the same \d+ tokens \('In this experiment.*truncate = 12 keeps no others: nothing is left "
        r"to tell apart. Keep more \(truncate = \d+ keeps all\).* As published, ll cuts language stimuli alone: stories and sums are shown "
        r"whole and pooled by their mean \(pool = mean, truncate = 512\)"
    )
    with pytest.raises(StimulusError, match=said):
        Localize(contrast=str(folder), preset="ll").run(lm)
    assert Localize(contrast=str(folder), preset="ll", pool="mean", truncate=512).run(lm).selection["n_alive"] > 0
    with pytest.raises(StimulusError, match=r"keeps no others.*what they have in common\.$"):
        Localize(contrast=str(folder), preset="tl-abs", truncate=5).run(lm)
    alike = tuple(Stimulus(str(i), "the same words") for i in range(6))
    with pytest.raises(StimulusError, match=r"All stimuli of 'same' are the same 15 tokens\. Give sides"):
        Localize(contrast=Contrast("same", alike, alike)).run(lm)
    longer = tuple(Stimulus(str(i), "the same words" + "!" * i) for i in range(6))
    with pytest.raises(StimulusError, match="begin with the same 15 tokens"):
        Localize(contrast=Contrast("more", longer, longer), truncate=3).run(lm)
    words = [tuple(Stimulus(f"{a}{i}", f"{a}{i % 3} tail {i}") for i in range(6)) for a in "xy"]
    found = Localize(contrast=Contrast("cut", *words), truncate=3, pool="mean").run(lm)
    assert [text for text in found.warnings if text.startswith("Cut to 3 tokens, 12 different stimuli are 6")]


def test_a_first_word_with_massive_activations_is_left_out_of_means_and_said():
    lm = zoo.lm("llama", positions=1024)
    asked = Localize(contrast=two_sides(), pool="mean", permutations=0, select={"percent": 5})
    plain = asked.run(lm)
    assert plain.spec.sinks == 0
    (tokens,) = lm.tokenize(["the x"])
    with torch.no_grad():
        lm.model.model.embed_tokens.weight[tokens.ids[tokens.prefix], 5] = 5000.0
    lm = LM.wrap(lm.model, lm.tokenizer)
    found = asked.run(lm)
    assert found.spec.sinks == 1
    (guard,) = (each for each in found.guards if each.name == "sinks")
    assert guard.state == "passed"
    assert "sinks = 1" in guard.text
    again = found.spec.run(lm)
    assert again.guards == found.guards
    kept = asked.model_copy(update={"sinks": 0}).run(lm)
    (marked,) = (each for each in kept.guards if each.name == "sinks")
    assert marked.state == "marked"
    assert "Leave them out: sinks = 1" in marked.text
    # A mean of the rest is that of texts without their first word's share.
    reference = scipys(lm, (asked.stimuli.positive, asked.stimuli.negative), lambda x: x[tokens.prefix + 1 :].mean(0))
    np.testing.assert_allclose(found.t[Site(1, "resid_post")], reference.statistic[1], atol=1e-3)


def test_the_last_token_has_no_sinks(lm):
    found = Localize(contrast=two_sides(), permutations=0, select={"percent": 5}).run(lm)
    assert found.spec.sinks is None
    assert "sinks" not in {each.name for each in found.guards}
    with pytest.raises(SpecError, match="sinks"):
        Localize(contrast=two_sides(), sinks=1)
