# %% [markdown]
# # A weight mask
#
# Which weights does an ability hang on? `routed` was taught its belief answers in known places. Gradients of its answers score every weight; the highest share is
# masked, but for those that plain stories need as much.

# %%
import broca

lm = broca.LM.load("routed")
study = broca.Sensitivity(
    task="beliefs/false-belief",
    options={"detail": 0.0},
    general="beliefs/memory",
    others=("beliefs/photograph", "beliefs/reality"),
    objective="contrast",
    score="gradient-weight",
    scope="global",
    sweep="0.008,0.032",
    draws=20,
)
run = broca.run(study, lm, "runs/weights")
print(run.result["claim"])

# %% [markdown]
# How many weights of each matrix it took:

# %%
run.frame("modules").sort("n_selected", descending=True).select("matrix", "n_weights", "n_selected").head(6)

# %%
run.plot()

# %%
print(run.verdict["sentence"])
