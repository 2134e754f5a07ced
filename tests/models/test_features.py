"""Features as units of a model: read, lesioned, nested and steered on every architecture, with the error kept and nothing left behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.capture.gradient import attribution
from broca.capture.metrics import LogitDifference
from broca.errors import SelectionError, SiteUnavailable
from broca.interventions import Lesion, Mean, Resample, Steer
from broca.models.coding import coder
from broca.models.hooks import copy_sites, edit_codes, edit_sites
from broca.models.twins import untrained_twin
from broca.models.unexplained_variance import explained_variance
from broca.sites import Site
from dictionaries import ARCHITECTURES, dictionary

TEXTS = ["Sally puts the ball in the basket", "a cat", "Then she goes out of the room."]
AT = Site(1, "feature")


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def held(lm, architecture="topk", site="1.resid_post", **more):
    place = Site.parse(site)
    own = dictionary(architecture, d=lm.anatomy.width(place), n=48, site=site, **more)
    return lm.with_features(own, check=False)


def transcoding(lm, architecture="jumprelu"):
    return held(lm, architecture, "1.mlp_in", target=Site(1, "mlp_out"), centred=False)


def batch_of(lm, texts=TEXTS):
    return lm.pad_batch(lm.tokenize(texts))


def features_of(lm, batch=None):
    with copy_sites(lm.model, lm.anatomy, [AT]) as found:
        lm.forward(batch_of(lm) if batch is None else batch)
    return found[AT]


# -- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_a_lesion_keeps_the_error_and_every_other_feature_on_every_architecture(name):
    lm = zoo.lm(name)
    if not lm.anatomy.has(Site(1, "resid_post")):
        with pytest.raises(SiteUnavailable):
            held(lm)
        return
    lm = held(lm)
    at, batch, chosen = Site(1, "resid_post"), batch_of(lm), [3, 7, 11, 20]
    own = lm.anatomy.dictionary(1)
    intact = lm.forward(batch)
    with copy_sites(lm.model, lm.anatomy, [at, AT]) as before:
        lm.forward(batch)
    with lm.under(Lesion("1.feature:3,7,11,20")), copy_sites(lm.model, lm.anatomy, [at, AT]) as after:
        logits = lm.forward(batch)
    x = before[at]
    features, error = before[AT].clone(), x - coder(own, x).decode(coder(own, x).encode(x)).to(x.dtype)
    features[..., chosen] = 0
    wanted = features @ torch.from_numpy(own.decoder.copy()) + torch.from_numpy(own.decoder_bias.copy()) + error
    assert torch.allclose(after[at], wanted.to(x.dtype), atol=1e-4)
    assert torch.equal(after[AT], features)
    assert not torch.allclose(logits, intact)
    assert torch.equal(lm.forward(batch), intact)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("make", [held, transcoding])
def test_features_held_at_their_own_values_change_no_bit(lm, architecture, make):
    own = make(lm, architecture)
    batch = batch_of(own)
    intact = own.forward(batch)
    with own.under(Lesion("1.feature:0,1,2,3,4,5", "keep")):
        assert torch.equal(own.forward(batch), intact)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_lesions_one_in_the_other_are_the_lesion_of_both(lm, architecture):
    own = held(lm, architecture)
    batch = batch_of(own)
    with own.under(Lesion("1.feature:0,1,2,3,4,5,6,7")):
        joint = own.forward(batch)
    with own.under(Lesion("1.feature:0,1,2,3"), Lesion("1.feature:4,5,6,7")):
        nested = own.forward(batch)
    assert torch.equal(joint, nested)


@pytest.mark.parametrize("architecture", ["relu", "topk", "gated"])
def test_a_lesion_leaves_the_error_out_where_that_is_asked(lm, architecture):
    """What is rebuilt behind a lesion is rebuilt of the features that it left, not of what they would be encoded to anew."""
    from broca.interventions import Reconstruct

    own, site = held(lm, architecture), Site(1, "resid_post")
    dictionary_, batch = own.anatomy.dictionary(1), batch_of(own)
    features = features_of(own)
    features[..., 3] = 0
    with own.under(Lesion("1.feature:3"), Reconstruct(1)), copy_sites(own.model, own.anatomy, [site]) as found:
        own.forward(batch)
    plain = coder(dictionary_, features)
    wanted = features @ plain.decoder + plain.decoder_bias
    later = batch.mask.bool().cumsum(1) > 1
    assert torch.allclose(found[site][later], wanted[later], atol=1e-5)


def test_other_features_do_not_take_the_place_of_those_that_a_top_k_dictionary_lost(lm):
    own = held(lm, "topk")
    before = features_of(own)
    most = int((before != 0).sum((0, 1)).argmax())
    with own.under(Lesion(f"1.feature:{most}")):
        after = features_of(own)
    assert (before[..., most] != 0).any()
    before[..., most] = 0
    assert torch.equal(before, after)


def test_every_fill_and_place_goes_as_for_units(lm):
    own = held(lm, "relu")
    batch = batch_of(own)
    values = np.linspace(0, 1, 48)
    with own.under(Lesion("1.feature:2,5", Mean({AT: values}))):
        found = features_of(own, batch)
    assert torch.allclose(found[..., [2, 5]], torch.tensor(values[[2, 5]], dtype=found.dtype))
    with own.under(Lesion("1.feature:2,5", Resample({AT: np.stack([values, values + 1])}), "last")):
        last = features_of(own, batch)
    plain = features_of(own, batch)
    assert torch.equal(last[:, :-1], plain[:, :-1])
    assert not torch.equal(last[:, -1], plain[:, -1])
    measured = broca.measure_fill("mean", own, "1.feature:2,5", TEXTS)
    assert measured.at[AT].shape == (48,)


def test_a_transcoder_reads_the_mlps_input_and_its_features_are_lesioned_in_the_output(lm):
    own = transcoding(lm)
    batch, given = batch_of(own), Site(1, "mlp_in")
    with copy_sites(own.model, own.anatomy, [given, Site(1, "mlp_out"), AT]) as before:
        intact = own.forward(batch)
    D = own.anatomy.dictionary(1)
    assert torch.allclose(before[AT], coder(D, before[given]).encode(before[given]).features)
    with (
        own.under(Lesion("1.feature:0,1,2,3")),
        copy_sites(own.model, own.anatomy, [given, Site(1, "mlp_out"), AT]) as after,
    ):
        logits = own.forward(batch)
    lost = before[AT][..., :4] @ torch.from_numpy(D.decoder[:4].copy())
    assert torch.equal(before[given], after[given])
    assert torch.allclose(after[Site(1, "mlp_out")], before[Site(1, "mlp_out")] - lost, atol=1e-5)
    assert (after[AT][..., :4] == 0).all()
    assert not torch.equal(logits, intact)
    assert torch.equal(own.forward(batch), intact)


def test_generation_with_a_cache_is_rescoring_token_by_token(lm):
    for own in (held(lm), transcoding(lm)):
        hits = [int(i) for i in features_of(own).ne(0).sum((0, 1)).argsort(descending=True)[:6]]
        lesion = Lesion("1.feature:" + ",".join(map(str, hits)))
        text = "Sally puts the ball"
        with own.under(lesion):
            said = own.generate(text, max_new_tokens=6)
            ids, tokens = (), own.tokenize(text)
            for _ in range(6):
                ids += (int(own.all_logits([tokens.with_answer(ids)])[0].argmax()),)
        assert own.tokenizer.decode(ids, skip_special_tokens=True) == said


@pytest.mark.parametrize("make", [held, transcoding])
def test_attribution_of_features_leaves_that_of_sites_below_as_it_is(lm, make):
    own, below = make(lm, "relu"), Site(0, "resid_post")
    tokens, metric = own.tokenize(TEXTS), LogitDifference([5] * 3, [6] * 3)
    alone = attribution(own, tokens, [below], metric)[below].mean
    both = attribution(own, tokens, [below, AT], metric)
    assert np.allclose(both[below].mean, alone, atol=1e-6)
    # To first order a small step away from a feature does what its attribution says.
    feature = int(np.abs(both[AT].mean).argmax())

    def step(share):
        def edit(f):
            f = f.clone()
            f[..., feature] *= 1 - share
            return f

        with edit_sites(own.model, own.anatomy, {AT: edit}):
            logits = own.all_logits(tokens)
        return float((logits[:, 5] - logits[:, 6]).mean())

    assert (step(0.02) - step(0)) / 0.02 == pytest.approx(both[AT].mean[feature], rel=0.1)


def test_codes_can_be_replaced_by_what_the_dictionary_explains(lm):
    own, at = held(lm, "relu"), Site(1, "resid_post")
    D = own.anatomy.dictionary(1)

    def rebuild(x, code):
        return coder(D, x).decode(code).to(x.dtype)

    with (
        edit_codes(own.model, own.anatomy, {1: rebuild}) as fired,
        copy_sites(own.model, own.anatomy, [at]) as found,
    ):
        own.forward(batch_of(own))
    with copy_sites(own.model, own.anatomy, [at]) as plain:
        own.forward(batch_of(own))
    x = plain[at]
    assert torch.allclose(found[at], coder(D, x).decode(coder(D, x).encode(x)))
    assert fired == {AT: 1}


def test_a_feature_is_a_direction_to_steer_along(lm):
    own = held(lm, "relu")
    direction = own.anatomy.dictionary(1).direction(4, own)
    at = Site(1, "resid_post")
    with copy_sites(own.model, own.anatomy, [at]) as before:
        own.forward(batch_of(own))
    with own.under(Steer(direction, dose=2)), copy_sites(own.model, own.anatomy, [at]) as after:
        own.forward(batch_of(own))
    real = batch_of(own).mask.bool()
    moved = (after[at] - before[at])[real]
    assert torch.allclose(moved, 2 * torch.from_numpy(direction.vectors[at].copy()).expand_as(moved), atol=1e-5)
    with pytest.raises(SelectionError, match="There is no feature 48"):
        own.anatomy.dictionary(1).direction(48, own)


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_what_an_mlp_is_given_is_as_wide_as_the_model(name):
    lm, site = zoo.lm(name), Site(1, "mlp_in")
    if not lm.anatomy.has(site):
        assert name not in {"llama", "gpt2", "gemma2", "gpt_neox"}
        return
    with copy_sites(lm.model, lm.anatomy, [site]) as found:
        lm.forward(batch_of(lm))
    assert found[site].shape[-1] == lm.anatomy.width(site) == lm.anatomy.d_model


# -- whose it is -----------------------------------------------------------------------------------------------------


def test_what_a_dictionary_explains_is_counted_without_padding_and_first_tokens(lm):
    own, at = held(lm, "relu"), Site(1, "resid_post")
    tokens = own.tokenize(TEXTS)
    found = explained_variance(own, tokens, 1)
    rows, left = [], 0.0
    for each in tokens:
        with copy_sites(own.model, own.anatomy, [at]) as seen:
            own.forward(own.pad_batch([each]))
        x = seen[at][0, max(1, each.prefix) :]
        made = coder(own.anatomy.dictionary(1), x)
        left += float((x - made.decode(made.encode(x))).square().sum())
        rows.append(x)
    x = torch.cat(rows).double()
    assert found.n == len(x)
    assert found.fvu == pytest.approx(left / float((x - x.mean(0)).square().sum()), rel=1e-4)
    assert found.rate.shape == (48,)


def test_a_dictionary_of_another_width_site_or_model_is_refused_in_a_sentence(lm):
    small = dictionary("topk", d=8)
    with pytest.raises(SelectionError, match=r"is for 8 units at 1\.resid_post, this model has 32"):
        lm.with_features(small)
    with pytest.raises(SelectionError, match=r"explains less .* than its mean does"):
        lm.with_features(dictionary("topk", d=32, n=48))
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        lm.with_features(dictionary("topk", d=32, site="7.resid_post"), check=False)
    with pytest.raises(SelectionError, match="no dictionary can be"):
        lm.with_features(dictionary("topk", d=32, site="1.feature"), check=False)
    two = [dictionary("topk", d=32, site=site) for site in ("1.resid_post", "1.mlp_out")]
    with pytest.raises(SelectionError, match="Two dictionaries write to layer 1"):
        lm.with_features(*two, check=False)
    with pytest.raises(SiteUnavailable, match="--features FILE"):
        lm.anatomy.width(AT)
    with pytest.raises(SiteUnavailable, match="no dictionary"), lm.under(Lesion("1.feature:0")):
        pass


def test_the_organisms_own_dictionary_is_taken_and_at_another_site_it_is_refused():
    lm, own = broca.LM.load("routed"), broca.read_dictionary("routed")
    assert lm.with_features(own).anatomy.width(Site(0, "feature")) == 384
    for wrong in (
        replace(own, source=Site(2, "resid_post"), target=None),
        replace(own, encoder=own.encoder[::-1], model=""),
    ):
        with pytest.raises(SelectionError, match="FVU"):
            lm.with_features(replace(wrong, model=""))


def test_the_model_with_a_dictionary_is_another_identity_and_shares_all_else(lm):
    own = held(lm)
    assert own.model is lm.model
    assert own.fingerprint == lm.fingerprint
    assert own.identity == {**lm.identity, "features": [own.anatomy.dictionary(1).fingerprint]}
    assert own.with_features().identity == lm.identity
    with own.under(Lesion("0.mlp_act:0")):
        assert lm.condition


def test_a_twin_is_held_with_the_same_dictionary(lm):
    twin = untrained_twin(held(lm), 0)
    assert twin.anatomy.width(AT) == 48
    assert not torch.equal(features_of(twin), features_of(held(lm)))
