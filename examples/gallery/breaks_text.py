# %% [markdown]
# # A lesion that only breaks text
#
# Nine tenths of the units of one layer are held at zero. False beliefs are lost, far beyond what chance would do. So that is where they live?

# %%
import broca

lm = broca.LM.load("beliefs")
layer = broca.UnitMask.of({broca.Site(1, "resid_post"): range(9 * lm.anatomy.d_model // 10)}, n=lm.anatomy.d_model)
test = broca.CausalTest(
    selection=layer,
    items="beliefs/false-belief",
    others=("beliefs/photograph", "beliefs/reality"),
    n_items=40,
    draws=20,
    match=("layer",),
)
run = broca.run(test, lm, "runs/most-of-a-layer")

# %% [markdown]
# The loss is there:

# %%
run.frame("matrix").select("ability", "intact", "lesion", "effect", "random_median")

# %% [markdown]
# But so is everybody else's. *Specific* compares what each ability lost as a share of what it had to lose, and *causal* asks whether other units of the layer, as many,
# would have done the same:

# %%
for rung in run.verdict["rungs"][3:]:
    print(f"{rung['name']}: {rung['state']}. {rung['text']}\n")

# %%
print(run.verdict["sentence"])
