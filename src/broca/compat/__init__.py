"""File formats, presets and quirks of earlier projects, a folder or file for each; whoever needs one asks `broca.registry` for it.

* `tomechanisms`: contrast localizers of theory of mind and of language (Jamaa et al., 2025; AlKhamissi et al., 2025)
* `wu2025`: weight masks of theory of mind (Wu et al., 2025)
* `error_mechanisms`: captures of perturbed prompts (Error Mech Analysis)
"""
