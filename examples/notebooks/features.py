"""
Features that tell stories apart, and features that answer
==========================================================

A dictionary writes what stands at a site as a sum of features. Those that tell two kinds of text apart are easily found. Are they the ones by
which the model answers? `routed` is a small model that comes with broca, its dictionary, and a truth that is known by ablation: head 0.4
carries beliefs, and nothing else. A minute on one core; nothing is downloaded.
"""

import numpy as np

import broca

dictionary = broca.read_dictionary("routed")
lm = broca.LM.load("routed").with_features(dictionary)
dictionary

# %% [markdown]
# The dictionary is of what the heads of the first layer hand on, so each feature writes some share of its decoder row through head 0.4: that is
# its truth. Forty of the 384 write more than half of it there.

# %%
rows = dictionary.decoder.reshape(dictionary.n_features, 5, 32)  # feature, head, unit
share = (rows**2).sum(2)[:, 4] / (rows**2).sum((1, 2))
print(f"{(share > 0.5).sum()} of {len(share)} features write more than half through head 0.4")

# %% [markdown]
# Stories in which somebody's belief is out of date, against the same without: which features tell them apart? Looked at in two ways, over all
# tokens of a story and at its last one.

# %%
study = broca.Localize(
    contrast="beliefs/outdated",
    options={"detail": 0},
    sites="*.feature",
    select={"count": 10, "side": "both"},
    permutations=200,
)
maps = {pool: study.model_copy(update={"pool": pool}).run(lm) for pool in ("mean", "last")}
for pool, found in maps.items():
    chosen = np.flatnonzero(found.selected.at[broca.Site(0, "feature")])
    print(f"{pool}: {found.verdict['selective'].state} as a map; {(share[chosen] > 0.5).sum()} of 10 are of head 0.4")

# %% [markdown]
# As maps both are *undecided*: stories of either side differ in length, as a guard says (`lengths=True` would regress that out). Now each
# selection is taken away, beside features that fire as often and write as much, and beside random directions along which every token is moved
# as far as the lesion moves it.

# %%
for pool, found in maps.items():
    test = broca.CausalTest(
        selection=found.selected,
        items="beliefs/false-belief",
        options={"detail": 0},
        n_items=60,
        draws=39,
        fills=("zero",),
    )
    causal = test.run(lm).verdict["causal"]
    print(f"{pool}: {causal.state}. {causal.text}\n")

# %% [markdown]
# Separable is not causal. What a feature stands for is looked up in the texts that fire it most; the report shades every token of them.

# %%
found = maps["last"]
table = found.frame("activations")
first = table.filter(table["feature"] == table["feature"][0])
for _, text in first.group_by("rank", maintain_order=True):
    strong = text["activation"] > 0.5 * text["largest"]
    words = [f"[{word}]" if on else word for word, on in zip(text["text"], strong, strict=True)]
    print(f"{text['label'][0]:>9}  {''.join(words)[-110:]!r}")

# %% [markdown]
# How much of the model is in the dictionary at all stands beside every result: what it leaves unexplained is in no feature.

# %%
print(found.frame("dictionaries").select("site", "fvu", "l0", "dead", "recovered"))
