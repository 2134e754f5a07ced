"""
Which edges go on with a list
=============================

"cat dog sun cat": the model `induction` goes on with dog, as it goes on with any list that comes a second time. Its circuit is known: a head
of the first layer tells each word which one stood before it, and heads of the second look for the word behind the earlier copy. Are these
the edges that are found, and do they suffice? Half a minute, offline.
"""

import broca
from broca.instruments.circuit.pairs import pair_items
from broca.interventions import Counterfactuals, EdgePatch, path_margins, text_key
from broca.models.circuit.parts import circuit_parts
from broca.units.graph import EdgeMask

lm = broca.LM.load("induction")

# %% [markdown]
# Each item brings a counterfactual of as many tokens, in which another word stood behind the one that comes again. A patched edge carries what
# its writer wrote in that run. Edges are scored in half of the items; the smallest circuit that keeps 80 % of the margin there is tested in the
# other half, kept alone and taken away, beside random circuits of its size and layers.

# %%
study = broca.Circuit(items="induction", n_items=64, draws=60, twins=19, paths=["a0.h*->logits", "a1.h*->logits"])
found = study.run(lm)
print(found.claim)

# %% [markdown]
# The highest edges, and what the margin (the logit of the right word minus that of the other) loses when each is patched: the values of
# ``a0.h0`` read the words, the keys of the heads behind it read what it wrote, and these write to the logits.

# %%
print(found.frame("edges").filter(found.frame("edges")["circuit"]).select("edge", "score", "token", "t", "p_max"))

# %% [markdown]
# Circuits of the published sizes kept alone, with every other edge patched: 1 is what the whole model does.

# %%
print(found.frame("areas"))

# %%
found.plot("faithfulness")

# %% [markdown]
# What each head says to the logits by itself, as paths. Heads of the first layer say next to nothing there: what they know goes through the second.

# %%
print(found.frame("paths").head(5))

# %% [markdown]
# A longer path holds both steps: the words, told by ``a0.h0``, heard by the keys of ``a1.h1`` alone, and on to the logits. It costs as much as
# all that ``a1.h1`` says: what that head knows, it has from there.

# %%
pairs = pair_items(lm, broca.benchmark("induction", n=24, seed=1), "own", study.scorer, 0).pairs
graph = circuit_parts(lm).graph
both, all_of_it = path_margins(lm, pairs, ["input->a0.h0<v>->a1.h1<k>->logits", "a1.h1->logits"]).mean(1)
print(f"margin left: {both:.1f} with both steps patched, {all_of_it:.1f} with all that a1.h1 says")

# %% [markdown]
# A choice of edges can be put in force like a lesion. Here the two steps are patched from a list in which cat stood before sun: the heads look
# there, and the model goes on with sun. Behind it, as it was, with dog.

# %%
clean, other = lm.tokenize(["cat dog sun cat", "dog cat sun cat"], chat="never")
steps = EdgeMask.of(graph, ["input->a0.h0<v>", *(f"a0.h0->a1.h{head}<k>" for head in (1, 2, 3))])
with lm.under(EdgePatch(steps, Counterfactuals({text_key(clean.ids): other.ids}))):
    print(lm.tokenizer.decode(lm.next_logits(lm.pad_batch([clean])).argmax(-1)))
print(lm.tokenizer.decode(lm.next_logits(lm.pad_batch([clean])).argmax(-1)))

# %% [markdown]
# The verdict: what the map is worth, and what the place does.

# %%
for rung in found.verdict.rungs:
    print(f"{rung.name}: {rung.state}. {rung.text[:300]}")
