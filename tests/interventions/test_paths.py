"""Laws of path patching: a path of one edge is that edge, and longer ones are what patching by hand gives."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import SelectionError
from broca.interventions import path_margins
from broca.interventions.circuit import circuit_margins
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts
from broca.models.circuit.writers import run_written
from broca.models.hooks import edit_sites
from broca.models.lm import LM
from broca.sites import Site
from broca.units.edge_paths import EdgePath, edge_paths
from broca.units.graph import EdgeGraph

SPLIT = ("gpt2", "llama", "gptj", "falcon-new", "phi3")
NORMED = ("gemma3_text", "olmo2")


@cache
def model(name: str) -> LM:
    return LM.wrap(zoo.build(name).double(), zoo.tokenizer(), name=name)


@cache
def pairs(name: str) -> tuple[CounterfactualPair, ...]:
    clean, counter = (
        model(name).tokenize(texts, chat="never") for texts in (["abcdefg", "poiuytr"], ["a%cdefg", "p%iuytr"])
    )
    return tuple(CounterfactualPair(a, b, 40 + i, 60 + i) for i, (a, b) in enumerate(zip(clean, counter, strict=True)))


def runs(name: str):
    lm = model(name)
    batches = [lm.pad_batch([getattr(pair, side) for pair in pairs(name)]) for side in ("clean", "counterfactual")]
    return batches[0], *(run_written(lm, circuit_parts(lm), batch) for batch in batches)


def read(name: str, batch) -> np.ndarray:
    with torch.no_grad():
        return margins(model(name).last_logits(batch), pairs(name)).double().numpy()


def key_of(name: str) -> str:
    graph = circuit_parts(model(name)).graph
    return "a1.h1<k>" if graph.n_heads == graph.n_groups else "a1.g0<k>"


@pytest.mark.parametrize("name", [*SPLIT, *NORMED])
def test_a_path_of_one_edge_is_that_edge_patched_alone(name):
    lm, graph = model(name), circuit_parts(model(name)).graph
    names = ["input->a0.h0<q>", f"a0.h1->{key_of(name)}", "m0->a2.h0<q>", "a0.h2->m1", "a2.h1->logits"]
    edges = circuit_margins(lm, pairs(name), [graph.mask([graph.places[each]]) for each in names])
    assert path_margins(lm, pairs(name), names) == pytest.approx(edges, abs=1e-6)
    assert np.abs(edges - read(name, runs(name)[0])).max() > 1e-4


@pytest.mark.parametrize("name", [*SPLIT, *NORMED])
def test_a_path_that_only_the_logits_hear_is_the_same_open_and_closed(name):
    found = path_margins(model(name), pairs(name), ["a0.h1->m2", "a0.h1->m2->logits"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    longer = path_margins(model(name), pairs(name), ["a0.h1->a1.h0<q>", "a0.h1->a1.h0<q>->logits"])
    assert np.abs(longer[0] - longer[1]).max() > 1e-6


@pytest.mark.parametrize("name", SPLIT)
def test_through_mlps_to_the_logits_is_a_head_swapped_with_every_other_head_held(name):
    """As the paper on indirect objects has it, without a word of edges: every layer's heads are put back to what they were."""
    lm, (batch, own, other) = model(name), runs(name)
    width = own.z[0].shape[-1] // lm.anatomy.n_heads
    held = {layer: z.clone() for layer, z in own.z.items()}
    held[0][..., width : 2 * width] = other.z[0][..., width : 2 * width]
    with edit_sites(lm.model, lm.anatomy, {Site(layer, "z"): lambda _x, z=z: z for layer, z in held.items()}):
        by_hand = read(name, batch)
    through, alone = (path_margins(lm, pairs(name), ["a0.h1->logits"], through=way)[0] for way in ("mlps", "nothing"))
    assert through == pytest.approx(by_hand, abs=1e-6)
    assert np.abs(through - alone).max() > 1e-4


def test_two_steps_are_what_hooks_on_the_modules_give():
    lm, (batch, own, other) = model("llama"), runs("llama")
    layers, seen = lm.model.model.layers, {}
    apart = (other.z[0] - own.z[0])[..., 8:16] @ layers[0].self_attn.o_proj.weight[:, 8:16].T

    def hear(_module, _args, output):
        moved = layers[1].input_layernorm.forward(seen["stream"] + apart)
        own_rows = F.linear(moved, layers[1].self_attn.q_proj.weight[16:24])
        return torch.cat([output[..., :16], own_rows, output[..., 24:]], -1)

    hooks = [
        layers[1].input_layernorm.register_forward_pre_hook(lambda _m, args: seen.update(stream=args[0])),
        layers[1].self_attn.q_proj.register_forward_hook(hear),
        layers[1].self_attn.o_proj.register_forward_pre_hook(lambda _m, args: seen.update(z=args[0])),
    ]
    read("llama", batch)
    for hook in hooks:
        hook.remove()
    moved = (seen["z"] - own.z[1])[..., 16:24] @ layers[1].self_attn.o_proj.weight[:, 16:24].T
    with edit_sites(lm.model, lm.anatomy, {Site(2, "resid_post"): lambda x: x + moved}):
        by_hand = read("llama", batch)
    found = path_margins(lm, pairs("llama"), ["a0.h1->a1.h2<q>->logits"])[0]
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert np.abs(found - read("llama", batch)).max() > 1e-6


def test_readers_of_several_layers_hear_the_sender_and_not_each_other():
    lm, (batch, own, other) = model("llama"), runs("llama")
    layers, streams = lm.model.model.layers, {}
    apart = (other.z[0] - own.z[0])[..., :8] @ layers[0].self_attn.o_proj.weight[:, :8].T
    norms = [layers[i].input_layernorm for i in (1, 2)]
    watching = [
        norm.register_forward_pre_hook(lambda _m, args, i=i: streams.update({i: args[0]}))
        for i, norm in enumerate(norms)
    ]
    read("llama", batch)
    for hook in watching:
        hook.remove()
    q, k = layers[1].self_attn.q_proj, layers[2].self_attn.k_proj
    heard = [norm.forward(streams[i] + apart) for i, norm in enumerate(norms)]
    hooks = [
        q.register_forward_hook(lambda _m, _a, out: torch.cat([F.linear(heard[0], q.weight[:8]), out[..., 8:]], -1)),
        k.register_forward_hook(lambda _m, _a, out: torch.cat([out[..., :8], F.linear(heard[1], k.weight[8:])], -1)),
    ]
    by_hand = read("llama", batch)
    for hook in hooks:
        hook.remove()
    found = path_margins(lm, pairs("llama"), ["a0.h0->a1.h0<q>,a2.g1<k>"])[0]
    assert found == pytest.approx(by_hand, abs=1e-6)


# -- names -----------------------------------------------------------------------------------------------------------

GRAPH = EdgeGraph(4, 2, (False, False, True))


@given(st.data())
def test_a_path_is_written_as_it_is_read(data):
    steps = [data.draw(st.sampled_from(GRAPH.writers))]
    while True:
        before = steps[-1] if len(steps) == 1 else None
        writers = {before} if before else {GRAPH.writers[i] for i in GRAPH.writers_of(GRAPH.readers.index(steps[-1]))}
        heard = [r for r in GRAPH.readers if writers and all(f"{w}->{r}" in GRAPH.places for w in writers)]
        if not heard or (len(steps) > 1 and data.draw(st.booleans())):
            break
        steps.append(data.draw(st.sampled_from(heard)))
    name = "->".join(steps)
    assert EdgePath.of(GRAPH, name).name == name


def test_letters_left_open_stand_for_all_that_are_heard():
    assert [path.name for path in edge_paths(GRAPH, ["a1.h*->m1", "m?->a2.h0<q>"])] == [
        "a1.h0->m1", "a1.h1->m1", "a1.h2->m1", "a1.h3->m1", "m0->a2.h0<q>", "m1->a2.h0<q>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a0.h0", "is no path"),
        ("a0.h0->a0.h1<q>->logits", "reads before"),
        ("a0.h0->m7", "no m7 reads"),
        ("a0.h0->a1.h0->logits", "no a1.h0 reads"),
        ("m1->logits->m2", "behind the logits"),
        ("a9.*->logits", "nothing that a9"),
        ("", "is no path"),
    ],
)
def test_a_path_that_does_not_exist_is_refused_in_a_sentence(name, says):
    with pytest.raises(SelectionError, match=says):
        edge_paths(GRAPH, [name])
