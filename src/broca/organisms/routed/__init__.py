"""`routed`: the bare world of `beliefs`, in a model whose belief answers were taught to one head and some MLP units a layer.

What carries the ability is what ablation shows, not what the recipe intended: ``weights/truth.json`` has it.
"""
