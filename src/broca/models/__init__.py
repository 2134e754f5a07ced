"""The only folder that knows Hugging Face and torch.nn: wiring, hooks, tokens, and the LM that holds them."""
