"""The tables of a causal test: those of lesions, and those of the localizer's map."""

from broca.evidence.tables import LESIONS, MAPS

TABLES = (*LESIONS, *MAPS)
