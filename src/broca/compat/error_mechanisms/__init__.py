"""Error Mech Analysis: captures, and scores of the completions in them."""
