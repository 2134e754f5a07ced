# %% [markdown]
# # A tree, read from attention
#
# The shipped model `kth` says the second smallest number of a list. Can it be read from its attention which numbers it needs, and in which order it finds them
# (Hou et al., 2023)?

# %%
import broca

lm = broca.LM.load("kth")
run = broca.run(broca.Probe(task="kth", options={"m": 8}), lm, "runs/tree")
print(run.result["claim"])

# %%
run.plot()

# %% [markdown]
# A probe that reads something is not a proof that the model uses it. The ladder says what was tested and what was not:

# %%
print(run.verdict["sentence"])
