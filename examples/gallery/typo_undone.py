# %% [markdown]
# # A typo, undone layer by layer
#
# The shipped model `sums` answers sums asked for in words. Spelling mistakes cost it answers. Where in the model is the damage done, and what puts it right?

# %%
import broca
from broca.stimuli.sums import WORDS

lm = broca.LM.load("sums")
study = broca.Perturb(
    items="sums",
    kinds=("keyboard", "delete", "substitute", "case", "homoglyph"),
    n_items=120,
    among=tuple(sorted(WORDS)),
    compare=16,
    cases=60,
    draws=40,
    twins=5,
)
run = broca.run(study, lm, "runs/typos")
print(run.result["claim"])

# %% [markdown]
# What each kind of mistake costs:

# %%
run.frame("kinds").select("kind", "n", "broken", "mended", "clean", "perturbed", "drop", "p_holm")

# %% [markdown]
# Where an answer turned, the clean run's residual stream is put in place of the perturbed one's, layer by layer:

# %%
run.plot()

# %%
print(run.verdict["sentence"])
