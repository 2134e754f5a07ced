"""Steering does what it says on every architecture: where it says, on real tokens alone, in each step, and leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.capture import Gather, capture
from broca.errors import InterventionError, SelectionError
from broca.interventions import Steer, steered_model
from broca.models.hooks import copy_sites
from broca.models.pool import Pool
from broca.models.tokens import pad_tokens
from broca.sites import Site

TEXTS = ["Sally puts the ball in the basket", "a cat", "Then she goes out of the room."]


@pytest.fixture(scope="module", params=sorted(zoo.CONFIGS))
def any_lm(request):
    return zoo.lm(request.param)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def toward(lm, *sites, seed=0, size=1.0, **more):
    draw = np.random.default_rng(seed)
    vectors = {site: size * draw.normal(size=lm.anatomy.width(Site.parse(site))) for site in sites}
    return broca.Direction(vectors, model=lm.fingerprint, **more)


def batch_of(lm, texts=TEXTS, side="left"):
    return pad_tokens(lm.tokenize(texts), range(len(texts)), lm.pad, side=side)


def middle(lm):
    return f"{lm.anatomy.n_layers // 2}.resid_post"


# -- where -----------------------------------------------------------------------------------------------------------


def test_the_vector_is_added_to_the_output_of_its_block_and_the_model_is_restored_bit_for_bit(any_lm):
    lm, batch = any_lm, batch_of(any_lm)
    if not lm.anatomy.has(Site.parse(middle(lm))):
        with pytest.raises(broca.errors.SiteUnavailable):
            lm.anatomy.width(Site.parse(middle(lm)))
        return
    layer = lm.anatomy.n_layers // 2
    sites = [Site(at, "resid_post") for at in range(lm.anatomy.n_layers)]
    with copy_sites(lm.model, lm.anatomy, sites) as before:
        logits = lm.forward(batch)
    direction = toward(lm, middle(lm), size=0.1)
    with lm.under(Steer(direction, dose=3)), copy_sites(lm.model, lm.anatomy, sites) as after:
        steered = lm.forward(batch)
        lm.assert_fired()
    for site in sites[:layer]:
        assert torch.equal(before[site], after[site]), "a layer below the block moved: the index is off by one"
    real = batch.mask.bool()
    moved = (after[sites[layer]] - before[sites[layer]])[real].double()
    wanted = 3 * torch.tensor(direction.vectors[sites[layer]]).double()
    assert torch.allclose(moved, wanted.expand_as(moved), atol=1e-4)
    assert torch.equal(after[sites[layer]][~real], before[sites[layer]][~real])
    assert not torch.allclose(steered, logits)
    assert torch.equal(lm.forward(batch), logits)


def test_a_fit_is_of_what_the_block_hands_on_and_not_of_the_normed_state(lm):
    """The last hidden state that transformers returns has been through the final norm."""
    contrast = broca.Contrast.from_lists(["aab", "abb", "aba", "bab"], ["xxy", "xyz", "yxz", "zzx"])
    direction = broca.fit_direction(lm, contrast, pool="last")
    last = lm.anatomy.n_layers - 1
    with torch.no_grad():
        states = [lm.model(**lm.arguments(lm.pad_batch(lm.tokenize([s.text]))), output_hidden_states=True).hidden_states
                  for s in (*contrast.positive, *contrast.negative)]  # fmt: skip

    def difference(at):
        rows = torch.stack([each[at][0, -1] for each in states]).double()
        return (rows[:4].mean(0) - rows[4:].mean(0)).numpy()

    for layer in range(last):
        assert np.allclose(direction.vectors[Site(layer, "resid_post")], difference(layer + 1), atol=1e-5)
    assert not np.allclose(direction.vectors[Site(last, "resid_post")], difference(last + 1), atol=1e-2)
    end = Site(last, "resid_post")
    rows = []
    for stimulus in (*contrast.positive, *contrast.negative):
        with copy_sites(lm.model, lm.anatomy, [end]) as found:
            lm.forward(lm.pad_batch(lm.tokenize([stimulus.text])))
        rows.append(found[end][0, -1].double())
    hooked = (torch.stack(rows[:4]).mean(0) - torch.stack(rows[4:]).mean(0)).numpy()
    assert np.allclose(direction.vectors[end], hooked, atol=1e-5)


def test_the_first_and_the_last_block_are_steered_where_they_hand_on(lm):
    """A large vector moves no layer below its own, and the logits, whatever the layer."""
    batch, last = batch_of(lm), lm.anatomy.n_layers - 1
    sites = [Site(0, "resid_pre"), *lm.anatomy.sites("resid_post")]
    with copy_sites(lm.model, lm.anatomy, sites) as before:
        logits = lm.forward(batch)
    for layer in (0, last):
        steer = Steer(toward(lm, f"{layer}.resid_post", size=100.0))
        with lm.under(steer), copy_sites(lm.model, lm.anatomy, sites) as after:
            steered = lm.forward(batch)
        moved = [not torch.equal(before[site], after[site]) for site in sites]
        assert moved == [False] * (layer + 1) + [True] * (last + 1 - layer)
        assert not torch.allclose(steered, logits, atol=0.1)


def test_rho_is_the_mean_norm_of_tokens_without_the_first(lm):
    contrast = broca.Contrast.from_lists(["aab", "abb", "aba", "bab"], ["xxyz", "xyz", "yxz", "zzx"])
    site = Site(1, "resid_post")
    direction = broca.fit_direction(lm, contrast, "1.resid_post")
    means = []
    for stimulus in (*contrast.positive, *contrast.negative):
        (tokens,) = lm.tokenize([stimulus.text])
        with copy_sites(lm.model, lm.anatomy, [site]) as found:
            lm.forward(lm.pad_batch([tokens]))
        means.append(float(found[site][0, max(tokens.prefix, 1) :].norm(dim=-1).mean()))
    assert direction.rho[site] == pytest.approx(np.mean(means), rel=1e-5)


# -- which tokens ----------------------------------------------------------------------------------------------------


def test_alone_and_padded_on_either_side_every_row_is_steered_alike(lm):
    with lm.under(Steer(toward(lm, "1.resid_post"), dose=2)):
        alone = [lm.next_logits(batch_of(lm, [text]))[0] for text in TEXTS]
        for side in ("left", "right"):
            together = lm.next_logits(batch_of(lm, side=side))
            for one, row in zip(alone, together, strict=True):
                assert torch.allclose(one, row, atol=1e-4)


def test_a_fit_does_not_depend_on_what_shares_a_batch(lm):
    contrast = broca.Contrast.from_lists(["aab", "abbaaa", "a", "babbbbbbb"], ["xxyz", "x", "yxzyxz", "zzx"])
    together, size = broca.fit_direction(lm, contrast), lm.batch_size
    lm.batch_size = 1
    alone = broca.fit_direction(lm, contrast)
    lm.batch_size = size
    assert all(np.allclose(together.vectors[site], alone.vectors[site], atol=1e-5) for site in together.sites)


@pytest.mark.parametrize(
    ("positions", "columns"), [("last", [-1]), ((0, -2), [0, -2]), ("prompt", None), ("all", None)]
)
def test_only_the_tokens_that_are_meant_are_steered(lm, positions, columns):
    site = Site(1, "resid_post")
    tokens = lm.tokenize([TEXTS[0]])
    batch = pad_tokens(tokens, range(1), lm.pad)
    with copy_sites(lm.model, lm.anatomy, [site]) as before:
        lm.forward(batch)
    with lm.under(Steer(toward(lm, str(site)), positions=positions)), copy_sites(lm.model, lm.anatomy, [site]) as after:
        lm.forward(batch)
    moved = ((after[site] - before[site]).abs().amax(-1)[0] > 0).tolist()
    wanted = (
        [True] * len(moved) if columns is None else [i in {c % len(moved) for c in columns} for i in range(len(moved))]
    )
    assert moved == wanted


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "qwen3", "gemma2", "mixtral"])
@pytest.mark.parametrize(
    "how", [{"dose": 2}, {"act": "project"}, {"act": "clamp", "dose": 9}, {"positions": "generated", "dose": 4}]
)
def test_steered_generation_is_steered_reading_token_by_token(name, how):
    """With a cache each step shows one token: it must be steered as it is when the whole text is read again."""
    lm = zoo.lm(name)
    steer = Steer(toward(lm, "1.resid_post", "2.resid_post"), **how)
    with lm.under(steer):
        cached = lm.generate(TEXTS, max_new_tokens=6)
        again = lm.generate(TEXTS, max_new_tokens=6, use_cache=False)
    assert cached == again
    assert cached != lm.generate(TEXTS, max_new_tokens=6)


# -- what ------------------------------------------------------------------------------------------------------------


def states(lm, *steers, site="1.resid_post"):
    with lm.under(*steers):
        return (
            capture(lm, lm.tokenize(TEXTS), [Site.parse(site)], Gather, pool=Pool("last"))[Site.parse(site)]
            .result()
            .astype(float)
        )


def test_a_projection_leaves_nothing_along_the_vector_whatever_its_length_and_is_idempotent(lm):
    for size in (0.01, 1.0, 50.0):
        direction = toward(lm, "1.resid_post", size=size)
        unit = direction.vectors[Site(1, "resid_post")] / direction.norm[Site(1, "resid_post")]
        once, twice = states(lm, Steer(direction, act="project")), states(lm, *[Steer(direction, act="project")] * 2)
        assert np.abs(once @ unit).max() < 1e-5 * np.abs(once).max() * 6
        assert np.allclose(once, twice, atol=1e-5)
        plain = states(lm)
        assert np.allclose(once, plain - np.outer(plain @ unit, unit), atol=1e-4)


def test_a_clamp_holds_the_place_along_the_vector(lm):
    centre = np.random.default_rng(1).normal(size=32)
    direction = toward(lm, "1.resid_post", centres={"1.resid_post": centre})
    site = Site(1, "resid_post")
    held = states(lm, Steer(direction, 0.75, act="clamp"))
    assert np.allclose((held - centre) @ direction.reader(site), 0.75, atol=1e-4)


def test_a_clamp_at_0_of_a_leace_direction_is_the_eraser(lm):
    from broca.stats.axes import leace

    texts = ["aab", "abb", "aba", "bab", "bba", "aaa", "bbb", "baa"], ["xxy", "xyz", "yxz", "zzx", "zyy"]
    contrast = broca.Contrast.from_lists(*texts)
    direction = broca.fit_direction(lm, contrast, "1.resid_post", method="leace")
    site = Site(1, "resid_post")
    rows = capture(lm, lm.tokenize([*texts[0], *texts[1]]), [site], Gather)[site].result()
    wanted = leace(rows, np.repeat([1, 0], [8, 5]))(states(lm))
    assert np.allclose(states(lm, Steer(direction, 0, act="clamp")), wanted, atol=1e-3)


def test_a_dose_in_units_of_what_stands_there_is_that_long(lm):
    direction = toward(lm, "1.resid_post", rho={"1.resid_post": 7.0})
    moved = states(lm, Steer(direction, 0.5, unit="rho")) - states(lm)
    assert np.allclose(np.linalg.norm(moved, axis=1), 3.5, atol=1e-3)
    cosines = moved @ direction.vectors[Site(1, "resid_post")] / (3.5 * direction.norm[Site(1, "resid_post")])
    assert np.allclose(cosines, 1, atol=1e-4)


def test_everywhere_in_the_stream_nothing_along_the_vector_is_left_anywhere(any_lm):
    lm = any_lm
    if not lm.anatomy.has(Site(0, "resid_post")):
        return
    direction = toward(lm, "1.resid_post")
    unit = torch.tensor(direction.vectors[Site(1, "resid_post")] / direction.norm[Site(1, "resid_post")])
    sites = [Site(0, "resid_pre"), *lm.anatomy.sites("resid_post")]
    batch = batch_of(lm)
    with lm.under(Steer(direction, act="project", where="stream")), copy_sites(lm.model, lm.anatomy, sites) as found:
        lm.forward(batch)
    for site in sites:
        rows = found[site][batch.mask.bool()]
        assert ((rows @ unit).abs() <= 1e-5 * rows.norm(dim=1) + 1e-6).all(), site


def test_dose_0_changes_no_bit_and_doses_of_several_layers_add(lm):
    batch = batch_of(lm)
    both = toward(lm, "0.resid_post", "2.resid_post")
    with lm.under(Steer(both, 0)):
        still = lm.forward(batch)
    assert torch.equal(still, lm.forward(batch))
    with lm.under(Steer(both, 2)):
        together = lm.forward(batch)
    with lm.under(Steer(both.at("0.resid_post"), 2), Steer(both.at("2.resid_post"), 2)):
        assert torch.equal(together, lm.forward(batch))


def test_all_ones_change_nothing_where_a_layer_norm_follows_and_something_where_an_rms_norm_does():
    for name, still in (("gpt2", True), ("llama", False)):
        lm = zoo.lm(name)
        last = lm.anatomy.n_layers - 1
        ones = broca.Direction({Site(last, "resid_post"): np.ones(lm.anatomy.d_model)}, model=lm.fingerprint)
        batch = batch_of(lm)
        before = lm.next_logits(batch)
        with lm.under(Steer(ones, 3)):
            assert torch.allclose(lm.next_logits(batch), before, atol=1e-3) is still


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_dtype_and_projects_to_its_own_rounding(dtype):
    lm = zoo.lm("llama")
    lm.model.to(dtype)
    direction = toward(lm, "1.resid_post")
    site = Site(1, "resid_post")
    with lm.under(Steer(direction, act="project")), copy_sites(lm.model, lm.anatomy, [site]) as found:
        assert lm.forward(batch_of(lm)).dtype == dtype
    assert found[site].dtype == dtype
    unit = torch.tensor(direction.vectors[site]) / direction.norm[site]
    rows = found[site].float()[batch_of(lm).mask.bool()]
    assert (rows @ unit).abs().max() <= torch.finfo(dtype).eps * rows.norm(dim=1).max()


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_direction_of_another_model_is_refused_until_it_is_bound(lm):
    direction = toward(zoo.lm("llama", seed=1), "1.resid_post")
    with pytest.raises(SelectionError, match="another model mean nothing"), lm.under(Steer(direction)):
        pass
    with lm.under(Steer(direction.bind(lm))):
        lm.forward(batch_of(lm))
    wide = broca.Direction({"1.resid_post": np.ones(5)})
    with pytest.raises(SelectionError, match="32 units there"), lm.under(Steer(wide)):
        pass
    with pytest.raises(SelectionError, match="32 units there"):
        wide.bind(lm)
    with pytest.raises(broca.errors.SiteUnavailable, match="layers 0 to 2"):
        broca.Direction({"9.resid_post": np.ones(32)}).bind(lm)
    assert lm.condition == ()


@pytest.mark.parametrize(
    ("how", "error", "why"),
    [
        ({"dose": float("nan")}, InterventionError, "finite"),
        ({"dose": float("inf")}, InterventionError, "finite"),
        ({"act": "ablate"}, InterventionError, "add, project, clamp"),
        ({"act": "project", "dose": 2}, InterventionError, "clamp at that place"),
        ({"act": "clamp", "unit": "rho"}, InterventionError, "Leave the unit out"),
        ({"unit": "rho"}, SelectionError, "unit='norm'"),
        ({"positions": "first"}, SelectionError, "names no tokens"),
        ({"positions": []}, SelectionError, "names no tokens"),
    ],
)
def test_what_means_nothing_is_refused(lm, how, error, why):
    with pytest.raises(error, match=why):
        Steer(toward(lm, "1.resid_post"), **how)


def test_several_vectors_or_one_of_another_site_cannot_go_everywhere(lm):
    for sites in (("0.resid_post", "1.resid_post"), ("1.z",)):
        with pytest.raises(SelectionError, match="one vector, of the residual stream"):
            Steer(toward(lm, *sites), where="stream")
    with pytest.raises(SelectionError, match="no direction"):
        Steer(np.ones(3))


def test_a_model_called_by_itself_is_refused_since_nothing_tells_pads_from_tokens(lm):
    batch = batch_of(lm)
    with pytest.raises(broca.errors.GuardError, match="called directly"), lm.under(Steer(toward(lm, "1.resid_post"))):
        lm.model(input_ids=batch.ids, attention_mask=batch.mask)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gptj", "gpt2"])
def test_a_model_with_steering_built_in_is_the_model_under_steering(name):
    lm = zoo.lm(name)
    steer = Steer(toward(lm, "0.resid_post", "2.resid_post"), 2)
    batch = batch_of(lm, TEXTS[:1])
    before = lm.next_logits(batch)
    with lm.under(steer):
        wanted, said = lm.next_logits(batch), lm.generate(TEXTS[0], max_new_tokens=4)
    with steered_model(lm, steer) as model, torch.no_grad():
        assert torch.allclose(model(input_ids=batch.ids).logits[:, -1], wanted, atol=1e-5)
        ids = model.generate(input_ids=batch.ids, attention_mask=batch.mask, max_new_tokens=4, do_sample=False)
    assert lm.tokenizer.decode(ids[0, batch.ids.shape[1] :], skip_special_tokens=True) == said
    assert torch.equal(lm.next_logits(batch), before)
    with (
        pytest.raises(InterventionError, match="cannot tell tokens apart"),
        steered_model(lm, Steer(steer.direction, positions="last")),
    ):
        pass
    with pytest.raises(InterventionError, match="output alone"), steered_model(lm, Steer(toward(lm, "0.mlp_out"))):
        pass
