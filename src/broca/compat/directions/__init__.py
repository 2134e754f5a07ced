"""Directions of other projects: control vectors of repeng and llama.cpp, files of CAA, of activation steering, and of refusal directions."""
