"""A beginning that prompts share is read once for all of them: the same numbers as each prompt read whole, for fewer tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from broca.interventions.lesion import Lesion, Mean, Resample
from broca.models.beginnings import families
from broca.models.build import fresh
from broca.models.continuation import logprobs
from broca.models.lm import LM
from broca.models.questions import Question, split
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.units import UnitMask

SHOTS = "Ann put the key in the box. "
PROMPTS = [
    SHOTS + end
    for end in ("Bo took it", "Cy", "Di hid the cup and", "Ed is in the", "Flo saw", "Gus", "Hal", "Ida sat")
] * 2
OPTIONS = [(" box", " bag of"), (" a", " jar!!")] * 8


def flat(found):
    return np.array([value for one in found for value in one.logprobs])


def passing(lm, monkeypatch, questions, **how):
    """The prices, and how many tokens went through the model."""
    logprobs(lm, questions, **how)  # what has to be proved is proved
    tokens, call = [], LM.call
    with monkeypatch.context() as patch:
        patch.setattr(
            LM, "call", lambda self, batch, **more: tokens.append(batch.ids.numel()) or call(self, batch, **more)
        )
        found = logprobs(lm, questions, **how)
    return flat(found), sum(tokens)


@pytest.mark.parametrize("name", zoo.CONFIGS)
@pytest.mark.parametrize("several", [True, False])
def test_a_shared_beginning_gives_the_numbers_of_whole_prompts(name, several, monkeypatch):
    lm = zoo.lm(name)
    questions = split(lm, PROMPTS, OPTIONS if several else [("a", "b", "c")] * len(PROMPTS))
    whole, all_tokens = passing(lm, monkeypatch, questions, way="cached")
    found, tokens = passing(lm, monkeypatch, questions)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
    assert not lm.notes, "the cache of this class is expected to go on from a beginning"
    assert tokens < 0.75 * all_tokens


@pytest.mark.parametrize("positions", ["all", "prompt", "generated", (0, 3)])
@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_a_lesion_that_does_not_look_ahead_acts_on_the_beginning_as_on_whole_prompts(positions, fill, monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, PROMPTS, OPTIONS)
    site = Site(1, "mlp_out")
    mask = UnitMask({site: np.arange(lm.anatomy.width(site)) % 2 == 0})
    fills = {} if fill == "zero" else {"fill": Mean({site: np.full(lm.anatomy.width(site), 0.5)})}
    intact = flat(logprobs(lm, questions))
    with lm.under(Lesion(mask, positions=positions, **fills)):
        whole, all_tokens = passing(lm, monkeypatch, questions, way="cached")
        found, tokens = passing(lm, monkeypatch, questions)
    assert np.abs(whole - intact).max() > 1e-3
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
    assert tokens < 0.75 * all_tokens


@pytest.mark.parametrize("how", ["last", (-2,), "resample"])
def test_what_looks_ahead_is_shown_whole_prompts(how, monkeypatch):
    lm = zoo.lm("llama")
    questions = split(lm, PROMPTS, OPTIONS)
    site = Site(1, "mlp_out")
    width = lm.anatomy.width(site)
    mask = UnitMask({site: np.ones(width, dtype=bool)})
    if how == "resample":
        lesion = Lesion(mask, Resample({site: np.random.default_rng(0).normal(size=(5, width))}))
    else:
        lesion = Lesion(mask, positions=how)
    with lm.under(lesion):
        whole, all_tokens = passing(lm, monkeypatch, questions, way="cached")
        found, tokens = passing(lm, monkeypatch, questions)
    np.testing.assert_array_equal(found, whole)
    assert tokens == all_tokens


def test_a_sliding_window_shorter_than_the_beginning_slides_on():
    config = {**zoo.CONFIGS["mistral"], "sliding_window": 8, "max_position_embeddings": 128}
    lm = LM.wrap(fresh(config).float(), zoo.tokenizer())
    questions = split(lm, PROMPTS, OPTIONS)
    np.testing.assert_allclose(
        flat(logprobs(lm, questions)), flat(logprobs(lm, questions, way="cached")), rtol=0, atol=1e-5
    )


def test_a_model_that_cannot_go_on_from_a_beginning_is_shown_whole_prompts_and_says_so(monkeypatch):
    lm = zoo.lm("llama")
    lm = LM.wrap(lm.model, lm.tokenizer)
    questions = split(lm, PROMPTS, OPTIONS)
    whole = flat(logprobs(lm, questions, way="cached"))
    call = LM.call

    def forgetful(self, batch, *, past=0, **more):
        if past and batch.side == "right":
            batch.positions.zero_()
        return call(self, batch, past=past, **more)

    monkeypatch.setattr(LM, "call", forgetful)
    from broca.models import continuation

    monkeypatch.setattr(continuation, "_prefix_proved", type(continuation._prefix_proved)())
    np.testing.assert_array_equal(flat(logprobs(lm, questions)), whole)
    assert any("cannot be read once for all of them (off by" in note for note in lm.notes)


texts = st.lists(
    st.builds(
        lambda stem, length, end: stem[:length] + end,
        st.sampled_from([tuple(range(120)), (*range(60), *range(300, 360)), tuple(range(900, 960))]),
        st.integers(1, 120),
        st.lists(st.integers(0, 5), max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=30,
)


@given(texts)
@settings(deadline=None)
def test_families_part_the_questions_and_share_what_they_say(ids):
    questions = [Question(Tokens(own, ""), ((1,), (2,))) for own in ids]
    found = families(questions)
    assert sorted(row for family in found for row in family.rows) == list(range(len(ids)))
    for family in found:
        own = [ids[row] for row in family.rows]
        assert len({one[: family.prefix] for one in own}) == 1
        assert all(family.prefix < len(one) for one in own)
