"""Wu et al., npj AI, 2025: task file, score chunks, results, and the choices of their scripts."""
