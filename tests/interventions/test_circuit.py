"""A circuit in force: what is scored under it is what its edges say, and nothing of it stays."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from broca.errors import GuardError, SelectionError
from broca.interventions.circuit import Counterfactuals, EdgePatch, circuit_margins
from broca.interventions.plant import text_key
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts


def case(name="llama"):
    lm = zoo.lm(name)
    texts = lm.tokenize(["abcdef", "xyz%", "ab"], chat="never"), lm.tokenize(["abCdef", "xYz%", "aB"], chat="never")
    pairs = [CounterfactualPair(a, b, 40, 50) for a, b in zip(*texts, strict=True)]
    others = Counterfactuals({text_key(p.clean.ids): p.counterfactual.ids for p in pairs})
    graph = circuit_parts(lm).graph
    return lm, pairs, others, graph.mask(np.random.default_rng(0).permutation(graph.n_edges)[:60].tolist())


def scored(lm, pairs):
    return margins(lm.all_logits([pair.clean for pair in pairs]), pairs).double().numpy()


def test_under_a_patch_any_pass_is_that_of_its_edges_and_afterwards_nothing_is():
    lm, pairs, others, edges = case()
    before = scored(lm, pairs)
    with lm.under(EdgePatch(edges, others)):
        found = scored(lm, pairs)
        again = scored(lm, pairs)
        assert lm.condition
    assert found == pytest.approx(circuit_margins(lm, pairs, [edges])[0], abs=1e-5)
    assert np.array_equal(found, again)
    assert np.abs(found - before).max() > 1e-3
    assert np.array_equal(before, scored(lm, pairs))


@pytest.mark.parametrize("name", ["llama", "gptj", "phi3"])
def test_edges_on_no_way_from_the_input_to_the_logits_do_nothing_for_a_circuit_kept_alone(name):
    lm, pairs, _, _ = case(name)
    graph = circuit_parts(lm).graph
    some = [graph.mask(np.random.default_rng(i).permutation(graph.n_edges)[: 6 + 8 * i].tolist()) for i in range(4)]
    ways = [each.effective for each in some]
    assert all(0 <= way.count < each.count for way, each in zip(ways, some, strict=True))
    assert ways[-1].count
    kept = circuit_margins(lm, pairs, [each.rest for each in (*some, *ways)])
    assert kept[:4] == pytest.approx(kept[4:], abs=1e-4)


def test_options_are_priced_behind_the_prompt_that_was_patched():
    from broca.models.continuation import continuation_logprobs

    lm, _, _, edges = case()
    prompts, other = ["abcdef", "xyz%"], ["abCdef", "xYz%"]
    of = {text_key(a.ids): b.ids for a, b in zip(lm.tokenize(prompts), lm.tokenize(other), strict=True)}
    with lm.under(EdgePatch(edges, Counterfactuals(of))):
        found = continuation_logprobs(lm, prompts, [["g", "h"]] * 2)
        logits = lm.all_logits(lm.tokenize(prompts)).log_softmax(-1)
    ids = [lm.tokenizer.convert_tokens_to_ids(letter) for letter in "gh"]
    assert [each.logprobs for each in found] == [pytest.approx(row, abs=1e-5) for row in logits[:, ids].tolist()]


def test_a_counterfactual_of_the_text_itself_changes_nothing():
    lm, pairs, _, edges = case()
    own = Counterfactuals({text_key(p.clean.ids): p.clean.ids for p in pairs})
    with lm.under(EdgePatch(edges, own)):
        assert scored(lm, pairs) == pytest.approx(scored_bare(lm, pairs), abs=1e-5)


def scored_bare(lm, pairs):
    from broca.models.hooks import suspend

    with suspend():
        return scored(lm, pairs)


def test_what_cannot_be_patched_is_refused():
    lm, _, others, edges = case()
    with pytest.raises(SelectionError, match="no edge"):
        EdgePatch(edges.graph.mask([]), others)
    with pytest.raises(SelectionError, match="another model"), zoo.lm("gpt2").under(EdgePatch(edges, others)):
        pass
    with lm.under(EdgePatch(edges, others)), pytest.raises(GuardError, match="no counterfactual"):
        lm.next_logits(lm.pad_batch(lm.tokenize(["hello"])))


def test_its_address_says_edges_and_counterfactuals():
    _, pairs, others, edges = case()
    base = EdgePatch(edges, others).fingerprint
    assert EdgePatch(edges.rest, others).fingerprint != base
    assert (
        EdgePatch(edges, Counterfactuals({text_key(pairs[0].clean.ids): pairs[0].counterfactual.ids})).fingerprint
        != base
    )
