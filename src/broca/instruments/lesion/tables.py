"""The tables of a causal test: those of lesions, and those of the localizer's map."""

from broca.evidence.tables import FEATURES, LESIONS, MAPS, TOKEN_EFFECTS

TABLES = (*LESIONS, TOKEN_EFFECTS, *MAPS, *FEATURES)
