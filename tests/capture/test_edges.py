"""Laws of edge scores and of edge patches, on families that wire their blocks in every way that there is."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

import zoo
from broca.capture.edges import EdgeScoring, node_scores, score_edges, score_exactly, score_nodes, token_scores
from broca.capture.gradient import attribution
from broca.capture.metrics import LogitDifference
from broca.errors import SiteUnavailable, StimulusError
from broca.interventions.circuit import circuit_margins
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts
from broca.models.circuit.patching import patch_edges
from broca.models.circuit.writers import run_written
from broca.models.hooks import edit_sites
from broca.models.lm import LM
from broca.sites import Site

SPLIT = ("gpt2", "llama", "gptj", "falcon-new", "phi3")
"""Fused and transposed; grouped keys; parallel with a shared norm; grouped and fused; fused and sequential."""
NORMED = ("gemma3_text", "olmo2")
"""A norm behind the heads; one before them too, or none."""
EVERY = (*SPLIT, *NORMED)


@cache
def model(name: str) -> LM:
    found = LM.wrap(zoo.build(name).double(), zoo.tokenizer(), name=name)
    found.batch_size = 3
    return found


@cache
def pairs(name: str) -> tuple[CounterfactualPair, ...]:
    lm = model(name)
    texts = (
        ("abcdefg", "hello wo", "xyz", "qwertyui") if name != "gptj" else ("abcdefg", "poiuytr", "mnbvcxz", "lkjhgfd")
    )
    other = [f"{text[:1]}%{text[2:]}" for text in texts]
    clean, counter = (lm.tokenize(each, chat="never") for each in (texts, other))
    return tuple(
        CounterfactualPair(a, b, 40 + i, 60 + i, str(i)) for i, (a, b) in enumerate(zip(clean, counter, strict=True))
    )


@cache
def estimates(name: str) -> np.ndarray:
    return score_edges(model(name), pairs(name), EdgeScoring("eap"))


def own_margins(name: str, side: str = "clean") -> np.ndarray:
    lm = model(name)
    rows = [margins(lm.next_logits(lm.pad_batch([getattr(pair, side)])), [pair]) for pair in pairs(name)]
    return torch.cat(rows).double().numpy()


@pytest.mark.parametrize("name", EVERY)
def test_the_edges_of_a_writer_sum_to_its_score_as_a_node(name):
    """Law 1, against attribution patching of the sites themselves."""
    lm, found = model(name), node_scores(estimates(name), circuit_parts(model(name)))
    metric = LogitDifference([pair.right for pair in pairs(name)], [pair.wrong for pair in pairs(name)])
    sites = [Site(0, "resid_pre"), Site(1, "mlp_out"), Site(2, "z")]
    clean, counter = [p.clean for p in pairs(name)], [p.counterfactual for p in pairs(name)]
    plain = attribution(lm, clean, sites, metric, towards=counter)
    assert found["m1"].mean() == pytest.approx(-plain[sites[1]].mean.sum(), abs=2e-7)
    assert found["input"].mean() == pytest.approx(-plain[sites[0]].mean.sum(), abs=2e-6)
    if name in SPLIT:
        heads = plain[sites[2]].mean.reshape(lm.anatomy.n_heads, -1).sum(1)
        assert [found[f"a2.h{i}"].mean() for i in range(len(heads))] == pytest.approx(-heads, abs=2e-7)


@pytest.mark.parametrize("name", EVERY)
def test_nodes_by_themselves_are_the_sums_of_their_edges(name):
    others = (EdgeScoring("eap"), EdgeScoring("ig-activations", 1)) if name in ("llama", "olmo2") else ()
    for how in (EdgeScoring("eap-ig", 2), *others):
        alone = score_nodes(model(name), pairs(name), how)
        sums = node_scores(score_edges(model(name), pairs(name), how), circuit_parts(model(name)))
        for node, score in alone.items():
            assert score == pytest.approx(sums[node], abs=2e-6), (how, node)
    with pytest.raises(StimulusError, match="patch all edges"):
        score_nodes(model(name), pairs(name), EdgeScoring("exact"))


@pytest.mark.parametrize("name", EVERY)
def test_what_leaves_the_input_sums_to_the_whole_effect_along_the_line(name):
    """Law 2, and law 4: the other way round it has the other sign. All edges sum to something else."""
    how = EdgeScoring("eap-ig", steps=24)
    found, back = (score_edges(model(name), each, how) for each in (pairs(name), [p.reversed for p in pairs(name)]))
    own, other = own_margins(name), own_margins(name, "counterfactual")
    leaves = circuit_parts(model(name)).graph.edges[:, 0] == 0
    assert found[:, leaves].sum(1) == pytest.approx(own - other, abs=8e-3)
    assert back[:, leaves].sum(1) == pytest.approx(other - own, abs=8e-3)
    assert np.abs(found.sum(1) - (own - other)).max() > 0.05


def test_the_midpoint_rule_is_nearer_to_the_whole_effect_than_the_published_left_one():
    own, other = own_margins("gpt2"), own_margins("gpt2", "counterfactual")
    leaves = circuit_parts(model("gpt2")).graph.edges[:, 0] == 0

    def error(rule):
        found = score_edges(model("gpt2"), pairs("gpt2"), EdgeScoring("eap-ig", 5, rule))
        return np.abs(found[:, leaves].sum(1) - (own - other)).max()

    assert error("midpoint") < error("left") / 3


@pytest.mark.parametrize("name", EVERY)
def test_all_edges_patched_is_the_counterfactual_and_none_is_the_model(name):
    """Law 3."""
    graph = circuit_parts(model(name)).graph
    every, none = graph.mask(range(graph.n_edges)), graph.mask([])
    patched, intact = circuit_margins(model(name), pairs(name), [every, none])
    assert patched == pytest.approx(own_margins(name, "counterfactual"), abs=1e-6)
    assert intact == pytest.approx(own_margins(name), abs=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_all_edges_of_a_writer_patched_is_activation_patching_of_it(name):
    """Law 5; of a head where no norm stands behind all heads of its layer."""
    lm, parts, some = model(name), circuit_parts(model(name)), pairs(name)
    batch = lm.pad_batch([pair.clean for pair in some])
    other = run_written(lm, parts, lm.pad_batch([pair.counterfactual for pair in some]))
    width = other.z[1].shape[-1] // parts.graph.n_heads

    def swap_head(z):
        z = z.clone()
        z[..., width : 2 * width] = other.z[1][..., width : 2 * width]
        return z

    cases = {"m0": (Site(0, "mlp_out"), lambda _x: other.mlp[0])}
    if name in SPLIT:
        cases["a1.h1"] = (Site(1, "z"), swap_head)
    for writer, (site, edit) in cases.items():
        leaving = np.flatnonzero(parts.graph.edges[:, 0] == parts.graph.writers.index(writer))
        with torch.no_grad(), patch_edges(lm, parts, parts.graph.mask(leaving), lambda _x: other):
            ours = margins(lm.last_logits(batch), some)
        with edit_sites(lm.model, lm.anatomy, {site: edit}):
            plain = margins(lm.next_logits(batch), some)
        assert torch.allclose(ours, plain, atol=1e-6), writer
        assert not torch.allclose(ours.double(), torch.from_numpy(own_margins(name)), atol=1e-4)


def test_one_edge_into_a_query_is_that_query_recomputed_by_hand():
    lm, parts, some = model("llama"), circuit_parts(model("llama")), pairs("llama")
    batch = lm.pad_batch([pair.clean for pair in some])
    own, other = (
        run_written(lm, parts, lm.pad_batch([getattr(pair, side) for pair in some]))
        for side in ("clean", "counterfactual")
    )
    block = lm.model.model.layers[1]
    apart = (other.z[0] - own.z[0])[..., 8:16] @ lm.model.model.layers[0].self_attn.o_proj.weight[:, 8:16].T
    seen = {}

    def by_hand(_module, _args, output):
        moved = block.input_layernorm.forward(seen["stream"] + apart)
        return torch.cat(
            [output[..., :16], F.linear(moved, block.self_attn.q_proj.weight[16:24]), output[..., 24:]], -1
        )

    hooks = [
        block.input_layernorm.register_forward_pre_hook(lambda _m, args: seen.update(stream=args[0])),
        block.self_attn.q_proj.register_forward_hook(by_hand),
    ]
    with torch.no_grad():
        expected = margins(lm.last_logits(batch), some)
    for hook in hooks:
        hook.remove()
    edge = parts.graph.places["a0.h1->a1.h2<q>"]
    (found,) = circuit_margins(lm, some, [parts.graph.mask([edge])])
    assert found == pytest.approx(expected.double().numpy(), abs=1e-6)
    assert score_exactly(lm, some, [edge])[:, 0] == pytest.approx(own_margins("llama") - found, abs=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_exact_scores_spare_blocks_and_tokens_and_are_those_of_whole_passes(name):
    graph = circuit_parts(model(name)).graph
    edges = [*np.random.default_rng(0).permutation(graph.n_edges)[:24].tolist(), graph.n_edges - 1]
    whole = own_margins(name) - circuit_margins(model(name), pairs(name), [graph.mask([edge]) for edge in edges])
    found = score_exactly(model(name), pairs(name), edges)
    assert found.transpose() == pytest.approx(whole, abs=2e-6)
    assert np.abs(whole).max() > 1e-3


@pytest.mark.parametrize("name", ["llama", "olmo2"])
def test_tokens_share_the_score_of_an_edge_among_them(name):
    edges = [0, 30, 100]
    for how in (EdgeScoring("eap"), EdgeScoring("eap-ig", 3)):
        for pair, scores in zip(pairs(name), score_edges(model(name), pairs(name), how), strict=True):
            found = token_scores(model(name), pair, edges, how)
            assert found.shape == (3, len(pair.clean))
            assert found.sum(1) == pytest.approx(scores[edges], abs=1e-9)
            assert (found[:, 0] == 0).all()  # the texts begin alike


@pytest.mark.parametrize("name", ["llama", "falcon-new"])
def test_texts_beside_each_other_score_as_they_do_alone(name):
    alone = np.concatenate([score_edges(model(name), [pair], EdgeScoring("eap")) for pair in pairs(name)])
    assert estimates(name) == pytest.approx(alone, abs=1e-9)


def test_estimates_rank_edges_as_exact_patches_do():
    exact = score_edges(model("llama"), pairs("llama"), EdgeScoring("exact")).mean(0)
    assert spearmanr(exact, estimates("llama").mean(0)).statistic > 0.8


def test_lines_between_activations_are_averaged_over_as_many_passes():
    """One step along each line of a model of three layers: seven lines; of a gradient that hardly moves, the same scores."""
    found = score_edges(model("llama"), pairs("llama"), EdgeScoring("ig-activations", steps=1))
    assert spearmanr(found.mean(0), estimates("llama").mean(0)).statistic > 0.7


def test_a_parallel_block_and_a_sequential_one_have_the_edges_that_they_have():
    assert circuit_parts(model("gptj")).graph.parallel == (True,) * 3
    assert circuit_parts(model("llama")).graph.parallel == (False,) * 3


def test_texts_of_other_lengths_and_answers_that_begin_alike_are_refused():
    lm = model("llama")
    a, b, c = lm.tokenize(["abc", "abcd", "abd"], chat="never")
    with pytest.raises(StimulusError, match="as many tokens"):
        CounterfactualPair(a, b, 1, 2)
    with pytest.raises(StimulusError, match="same token"):
        CounterfactualPair(a, c, 2, 2)
    with pytest.raises(StimulusError, match="the text itself"):
        CounterfactualPair(a, a, 1, 2)


def test_a_model_whose_edges_cannot_be_told_apart_is_refused_by_name():
    with pytest.raises(SiteUnavailable, match="edges that can be told apart"):
        circuit_parts(zoo.lm("deepseek_v3"))
