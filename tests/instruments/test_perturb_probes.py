"""Probes on a model's own activations: where the place is, what baselines stand beside, what is undefined, the cache."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import zoo
from broca.capture.places import at_places
from broca.errors import StatisticsError, StimulusError
from broca.instruments.perturb.probe_rows import BASELINES, Seen
from broca.instruments.perturb.probes import PROBES, TRANSFERS, probe_sites
from broca.items import Stimulus
from broca.models.lm import LM
from broca.sites import Site
from broca.stats.telling import Choice
from broca.stimuli.perturb import build_pairs

QUICK = Choice(strengths=(0.01,), folds=3, inner=2)
WORDS = ["please", "kindly", "quickly", "slowly", "gladly", "surely"]
THINGS = ["basket", "bottle", "garden", "window", "pencil", "ladder"]


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama"), zoo.tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def pairs():
    sources = [
        Stimulus(f"{word}-{thing}", f"{word.title()} show me the {thing} now", thing)
        for word in WORDS
        for thing in THINGS
    ]
    return build_pairs(sources, ["transpose", "duplicate"], seed=1).pairs


def test_places_are_those_of_each_text_however_it_is_padded(lm):
    tokens = lm.tokenize(["ab", "a longer text", "abc"])
    sites = [Site(0, "resid_pre"), Site(2, "resid_post")]
    together = at_places(lm, tokens, sites, [(2, 0), (5, 13), (1, 3)])
    lm.batch_size, size = 1, lm.batch_size
    alone = at_places(lm, tokens, sites, [(2, 0), (5, 13), (1, 3)])
    lm.batch_size = size
    for site in sites:
        assert together[site].shape == (3, 2, 32)
        assert together[site] == pytest.approx(alone[site], abs=1e-4)
    embedding = lm.model.get_input_embeddings().weight
    ids = [[tokens[i].ids[place] for place in places] for i, places in enumerate([(2, 0), (5, 13), (1, 3)])]
    assert together[sites[0]] == pytest.approx(embedding[np.asarray(ids)].detach().numpy())


def test_places_that_are_not_there(lm):
    tokens = lm.tokenize(["ab", "abc"])
    with pytest.raises(StimulusError, match=r"Places \[3\] are not all among the 3 tokens"):
        at_places(lm, tokens, [Site(0, "resid_pre")], [(3,), (1,)])
    with pytest.raises(StimulusError, match=r"have \[1, 2\] places"):
        at_places(lm, tokens, [Site(0, "resid_pre")], [(1,), (1, 2)])
    lm.model.get_input_embeddings().weight.data[5], before = (
        float("nan"),
        lm.model.get_input_embeddings().weight[5].clone(),
    )
    with pytest.raises(StatisticsError, match="NaN or infinite for '!'"):
        at_places(lm, lm.tokenize(["!"]), [Site(0, "resid_pre")], [(1,)])
    lm.model.get_input_embeddings().weight.data[5] = before.data


def test_points_are_read_at_the_edited_word_and_behind_it(lm, pairs):
    kind = [pair for pair in pairs if pair.kind == "duplicate"][:6]
    seen = Seen(lm, tuple(kind), (Site(0, "resid_pre"),))
    embedding = lm.model.get_input_embeddings().weight.detach().numpy()
    for point in ("edited", "suffix", "answer"):
        assert seen.features(point, Site(0, "resid_pre")) == pytest.approx(embedding[seen.at(point)])
    for row, one in enumerate(seen.at("answer")):
        assert one == seen.tokens[row].ids[-1]
    for i, pair in enumerate(kind):
        place = seen.points[i]["edited"][1] - 1  # BOS
        edit = pair.edits[0]
        end = next((j for j in range(edit.end, len(pair.perturbed)) if pair.perturbed[j] == " "), len(pair.perturbed))
        assert place == end - 1
    assert seen.rows("edited", np.zeros((12, 1)), "word").groups[::2].tolist() == [
        pair.clean.split()[pair.clean[: pair.edits[0].start].count(" ")].lower() for pair in kind
    ]


def test_every_row_has_its_baselines(lm, pairs):
    sites, points = [Site(0, "resid_pre"), Site(1, "resid_post")], ["edited", "answer"]
    found = probe_sites(lm, pairs, sites=sites, points=points, how=QUICK, permutations=2, n_bootstrap=50)
    scores = found.scores
    assert scores.schema == PROBES
    assert len(scores) == 2 * 2 * 2 * 3
    defined = scores.filter(pl.col("undefined").is_null())
    assert len(defined) >= 16
    for name in (*BASELINES, "accuracy", "low", "high", "gain", "p", "null"):
        assert defined[name].is_not_null().all(), name
    best = defined.select(pl.max_horizontal(*BASELINES, 0.5)).to_series()
    assert (defined.filter(best="chance").select(pl.max_horizontal(*BASELINES)).to_series() <= 0.5).all()
    assert defined["gain"].to_list() == pytest.approx((defined["accuracy"] - best).to_list())
    # the embedding of the last token is the same whatever was perturbed, so nothing can be read from it
    last = defined.filter(site="0.resid_pre", point="answer")
    assert last["accuracy"].max() <= 0.5
    # a letter that is doubled makes one token more: to know that needs no model
    counted = defined.filter(kind="duplicate", point="answer", split="wording")
    assert counted["count"].min() > 0.6
    transfers = found.transfers
    assert transfers.schema == TRANSFERS
    assert len(transfers) == 2 * 2 * 4
    known = transfers.drop_nulls()
    assert known["gain"].to_list() == pytest.approx(
        (known["accuracy"] - known.select(pl.max_horizontal(*BASELINES, 0.5)).to_series()).to_list()
    )


def test_a_typo_is_seen_behind_it_by_a_model_and_not_by_its_own_token(lm, pairs):
    """The token behind the edited word is the same in both texts: only what was carried there can tell them apart."""
    found = probe_sites(
        lm, pairs, sites=[Site(0, "resid_pre"), Site(2, "resid_post")], points=["suffix"], splits=["rows"], how=QUICK
    )
    rows = found.scores.filter(kind="duplicate")
    assert rows["token"].max() <= 0.5
    before, after = rows["accuracy"].to_list()
    assert before <= 0.5 < 0.6 < after


def test_too_few_groups_are_told(lm, pairs):
    few = [pair for pair in pairs if pair.group in ("basket", "bottle")]
    found = probe_sites(lm, few, sites=[Site(0, "resid_pre")], points=["answer"], splits=["wording"], how=QUICK)
    assert found.scores["accuracy"].to_list() == [None, None]
    assert found.scores["undefined"][0] == "2 different wordings are too few for 3 folds"
    assert found.transfers.is_empty()
    with pytest.raises(StimulusError, match="no pairs to probe"):
        probe_sites(lm, [])


def test_what_is_remembered_is_not_done_again(lm, pairs):
    store, asked = {}, []

    def cache(key, compute):
        name = repr(sorted(key.items()))
        if name not in store:
            asked.append(key)
            store[name] = compute()
        return store[name]

    how = {"sites": [Site(0, "resid_pre")], "points": ["answer"], "splits": ["rows"], "how": QUICK, "cache": cache}
    some = [pair for pair in pairs if pair.group in ("basket", "bottle", "garden")]
    first = probe_sites(lm, some, **how)
    n = len(asked)
    again = probe_sites(lm, some, **how)
    assert n == len(asked) == 3
    assert again.scores.equals(first.scores)
    probe_sites(lm, some[:-1], **how)
    assert len(asked) > n
