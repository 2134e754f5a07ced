"""Finding a model's parts by role, and proving them: no architecture is known here by its name.

`dissection.dissect` is the door. `inputs` and `plain_text` are what a model is shown, `recording` is what each block was given and gave,
`stream`, `parallel_streams` and `rounding` find the way of the residual stream through a block by numbers alone, `proof` holds every
block to it, `roles` says what its writers are, and `anatomy` is the finding, in names that all architectures share. `experts`,
`fused` and `vision` are parts that not every model has.
"""
