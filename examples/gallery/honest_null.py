# %% [markdown]
# # An honest null: heads that know and do nothing
#
# Some heads of the shipped model `beliefs` tell stories about an outdated belief from stories about an outdated photograph, without fail. Is that where
# false beliefs are answered from?

# %%
import broca

lm = broca.LM.load("beliefs")
heads = broca.Localize(contrast="belief", sites="*.z", grain="head")
test = broca.CausalTest(
    localizer=heads,
    items="beliefs/false-belief",
    others=("beliefs/photograph", "beliefs/reality"),
    n_items=40,
    percent=12.5,
    draws=20,
    match=(),
    fills=("zero", "mean"),
)
run = broca.run(test, lm, "runs/belief-heads")

# %% [markdown]
# The map is real: the selected heads survive correction, and another half of the stimuli would have chosen the same ones.

# %%
for rung in run.verdict["rungs"]:
    print(f"{rung['name']:<10} {rung['state']}")

# %% [markdown]
# The place is not. Taking the heads away costs false beliefs no more than random pairs of heads do:

# %%
run.plot()

# %%
print(run.verdict["sentence"])

# %% [markdown]
# A head can respond to a thing that nothing reads. What may be written: these heads respond to stories about beliefs, and lesioning them costs false beliefs
# nothing.
