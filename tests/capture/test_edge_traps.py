"""Usual mistakes of edge attribution, each of which fails a test: padding, shared keys, shared norms, what is left over, small steps."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import zoo
from broca.capture.edges import EdgeScoring, score_edges
from broca.interventions.circuit import Counterfactuals, EdgePatch
from broca.interventions.plant import text_key
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts
from broca.models.circuit.writers import differences, run_written
from broca.models.hooks import copy_sites, edit_sites
from broca.models.lm import LM
from broca.sites import Site

FAMILIES = ("gpt2", "llama", "gptj", "falcon-new", "phi3", "gemma3_text", "olmo2")


@cache
def model(name: str) -> LM:
    return LM.wrap(zoo.build(name).double(), zoo.tokenizer(), name=name)


def pairs_of(lm: LM, texts: list[str], letter: str = "%") -> list[CounterfactualPair]:
    clean, other = (lm.tokenize(each, chat="never") for each in (texts, [t[0] + letter + t[2:] for t in texts]))
    return [CounterfactualPair(a, b, 40 + i, 60 + i, str(i)) for i, (a, b) in enumerate(zip(clean, other, strict=True))]


# -- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_edges_are_patched_in_every_row_whatever_the_side_of_the_padding(name):
    lm = model(name)
    pairs = pairs_of(lm, ["abcdefgh", "xyz", "hello"])
    graph = circuit_parts(lm).graph
    edges = graph.mask(np.random.default_rng(0).permutation(graph.n_edges)[:60].tolist())
    patch = EdgePatch(edges, Counterfactuals({text_key(p.clean.ids): p.counterfactual.ids for p in pairs}))
    with lm.under(patch):
        left, right = (lm.next_logits(lm.pad_batch([p.clean for p in pairs], side=s)) for s in ("left", "right"))
        alone = torch.cat([lm.next_logits(lm.pad_batch([p.clean])) for p in pairs])
    bare = lm.next_logits(lm.pad_batch([p.clean for p in pairs]))
    assert torch.allclose(left, alone, atol=1e-6)
    assert torch.allclose(right, alone, atol=1e-6)
    assert ((left - bare).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("name", ["gpt2", "phi3", "olmo2"])
def test_scores_do_not_depend_on_what_stands_beside_a_text(name):
    lm = model(name)
    pairs = pairs_of(lm, ["abcdefgh", "xyz", "hello", "ab"])
    how = EdgeScoring("eap-ig", 2)
    together = score_edges(lm, pairs, how, size=4)
    assert together == pytest.approx(score_edges(lm, pairs[::-1], how, size=3)[::-1], abs=1e-9)
    assert together == pytest.approx(score_edges(lm, pairs, how, size=1), abs=1e-9)


# -- what is written, and the norm behind it -------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_and_biases_are_all_that_the_last_stream_is(name):
    lm = model(name)
    batch = lm.pad_batch(lm.tokenize(["abcdefgh"], chat="never"))
    own = run_written(lm, circuit_parts(lm), batch)
    nothing = run_written(lm, circuit_parts(lm), batch)
    for each in (nothing.z, nothing.mlp):
        each.update({layer: torch.zeros_like(x) for layer, x in each.items()})
    assert nothing.input is not None
    nothing.input = torch.zeros_like(nothing.input)
    last = Site(lm.anatomy.n_layers - 1, "resid_post")
    with copy_sites(lm.model, lm.anatomy, [last]) as seen:
        lm.next_logits(batch)
    left = seen[last] - differences(nothing, own).sum(0)
    assert torch.allclose(left, left[:, :1].expand_as(left), atol=1e-6)  # of no token: the biases behind heads
    if name not in ("gpt2", "gptj"):
        assert left.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_direct_effects_on_the_logits_sum_to_their_difference_by_the_final_norm_as_it_was(name):
    lm = model(name)
    (pair,) = pairs_of(lm, ["abcdefgh"])
    batch, parts = lm.pad_batch([pair.clean]), circuit_parts(lm)
    own, nothing = run_written(lm, parts, batch), run_written(lm, parts, batch)
    nothing.z, nothing.mlp = ({k: torch.zeros_like(x) for k, x in each.items()} for each in (own.z, own.mlp))
    assert own.input is not None
    nothing.input = torch.zeros_like(own.input)
    each = differences(nothing, own)[:, 0, -1].detach()
    last = Site(lm.anatomy.n_layers - 1, "resid_post")
    with copy_sites(lm.model, lm.anatomy, [last]) as seen:
        margin = float(margins(lm.next_logits(batch), [pair]))
    stream = seen[last][0, -1]
    norm, unembed = (lm.model.transformer.ln_f if name == "gpt2" else lm.model.model.norm), lm.model.lm_head.weight
    gain = norm.weight.detach() + (name == "gemma3_text")  # Gemma keeps it less one
    towards = (unembed[pair.right] - unembed[pair.wrong]).detach() * gain
    if name == "gpt2":
        scale = 1 / (stream.var(correction=0) + norm.eps).sqrt()
        shares = torch.stack([x - x.mean() for x in (*each, stream - each.sum(0))]) @ towards * scale
        shares = torch.cat([shares, ((unembed[pair.right] - unembed[pair.wrong]) @ norm.bias).detach()[None]])
    else:
        shares = (
            torch.stack([*each, stream - each.sum(0)])
            @ towards
            / (stream.square().mean() + getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0))).sqrt()
        )
    assert float(shares.sum()) == pytest.approx(margin, abs=1e-6)
    with edit_sites(lm.model, lm.anatomy, {last: lambda x: x + 3}):  # what is the same in every channel
        moved = float(margins(lm.next_logits(batch), [pair]))
    assert (abs(moved - margin) < 1e-6) == (name == "gpt2")


# -- heads and branches ----------------------------------------------------------------------------------------------


def test_an_edge_into_a_shared_key_is_the_sum_of_those_into_keys_of_each_head():
    """A twin of the model with a key and a value of its own for every head is the same function."""
    lm = model("llama")
    config = copy.deepcopy(lm.model.config)
    share, config.num_key_value_heads = lm.anatomy.n_heads // lm.anatomy.n_kv_heads, lm.anatomy.n_heads
    twin = type(lm.model)(config).double()
    width = lm.model.config.hidden_size // lm.anatomy.n_heads
    weights = {
        name: w.unflatten(0, (-1, width)).repeat_interleave(share, 0).flatten(0, 1) if name.endswith(("k_proj.weight", "v_proj.weight")) else w
        for name, w in lm.model.state_dict().items()
    }  # fmt: skip
    twin.load_state_dict(weights)
    alone = LM.wrap(twin.eval(), zoo.tokenizer(), name="every head by itself")
    pairs = pairs_of(lm, ["abcdefgh", "xyz"])
    for how in (EdgeScoring("eap"), EdgeScoring("eap-ig", 3)):
        found, each = (
            dict(zip(circuit_parts(m).graph.places, score_edges(m, pairs, how).T, strict=True)) for m in (lm, alone)
        )
        for name, score in found.items():
            start, group, rest = name.partition(".g")
            heads = [f"{start}.h{int(rest[0]) * share + i}{rest[1:]}" for i in range(share)] if group else [name]
            assert score == pytest.approx(sum(each.pop(head) for head in heads), abs=1e-6), name
        assert not each


@pytest.mark.parametrize("name", ["gptj", "llama"])
def test_readers_that_share_a_norm_do_not_share_a_gradient(name):
    """An MLP that writes nothing hears for nothing, whatever the heads beside it hear."""
    lm = LM.wrap(zoo.build(name).double(), zoo.tokenizer(), name=name)
    block = lm.model.transformer.h[1].mlp.fc_out if name == "gptj" else lm.model.model.layers[1].mlp.down_proj
    with torch.no_grad():
        block.weight.zero_()
    graph = circuit_parts(lm).graph
    scores = np.abs(score_edges(lm, pairs_of(lm, ["abcdefgh"]), EdgeScoring("eap"))[0])
    into = {reader: scores[graph.edges[:, 1] == i] for i, reader in enumerate(graph.readers)}
    assert into["m1"].max() == 0
    assert into["a1.h0<q>"].max() > 0
    assert into["m2"].max() > 0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_of_a_small_step_estimates_rank_edges_as_exact_patches_do(name):
    """Of two tokens whose embeddings are a tenth as far apart as they were."""
    lm = LM.wrap(zoo.build(name).double(), zoo.tokenizer(), name=name)
    (pair,) = pairs_of(lm, ["abcdefgh"])
    ((one, two),) = ((a, b) for a, b in zip(pair.clean.ids, pair.counterfactual.ids, strict=True) if a != b)
    with torch.no_grad():
        weight = lm.model.get_input_embeddings().weight
        weight[two] = weight[one] + 0.1 * (weight[two] - weight[one])
    exact = score_edges(lm, [pair], EdgeScoring("exact"))[0]
    for how in (EdgeScoring("eap"), EdgeScoring("eap-ig", 5), EdgeScoring("eap-ig", 5, "left")):
        assert spearmanr(exact, score_edges(lm, [pair], how)[0]).statistic > 0.95, how
