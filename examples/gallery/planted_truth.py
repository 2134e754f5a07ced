# %% [markdown]
# # A planted truth, found
#
# Would a method find what is there? `broca.Selftest` plants units in a model of which it is known what they respond to and what they do, and ranks all units by
# every method. Here in the shipped model `beliefs`; with another name, in yours.

# %%
import broca

lm = broca.LM.load("beliefs")
result = broca.Selftest().run(lm)
print(result.claim)

# %% [markdown]
# How well each ranking finds units that respond, and units that act: 1 is perfect, 0.5 is chance.

# %%
result.frame()

# %%
result.plot()

# %% [markdown]
# A method that finds what responds need not find what acts. That is why a map is not a place, and why the ladder has two halves.
