"""`induction`: a Llama of two layers that goes on with a list of words that it has seen before.

Two steps: a head of the first layer tells each word which one stood before it, and a head of the second looks for the word that stands
behind an earlier copy of the last one. Which edges carry that is what patching each of them shows: ``weights/truth.json`` has it.
"""
