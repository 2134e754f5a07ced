"""The tables of a sensitivity study: fractions, matrices, random masks, perplexity, attention."""

from broca.evidence.tables import CONDITION, LESIONS
from broca.specs.schema import Float, Int, Schema, Text

_SHARE = "share of 1"

SWEEP = Schema(
    "sweep",
    "a fraction",
    mask_fraction=Float("fraction of each matrix's ranking that is taken", _SHARE, former="m"),
    nominal=Int("weights that the fraction names"),
    smallest_k=Int("weights taken of the smallest matrix"),
    task=Int("weights in the task's top"),
    control=Int("weights in the controls' top", optional=True),
    shared=Int("weights of the task's top that a control ranks as high"),
    shared_by_chance=Float("as many as there would be by chance"),
    realised=Int("weights that are masked: the task's top without the shared ones"),
    percent=Float("those, of all weights", "%", optional=True),
    rows=Int("rows with a masked weight"),
    columns=Int("columns with a masked weight"),
    dev_accuracy=Float("accuracy on the items that choose the fraction", _SHARE),
    dev_score=Float("mean score on them", "nats", optional=True),
    perplexity=Float("of texts that scored no weight"),
    perplexity_ratio=Float("that, times the intact model's"),
)

MODULES = Schema(
    "modules",
    "a matrix",
    matrix=Text("its name in the model"),
    layer=Int("block, from 0"),
    kind=Text("what the matrix does, such as q or up"),
    n_weights=Int("its weights"),
    n_selected=Int("those that are masked"),
    n_rows=Int("rows with a masked weight"),
    n_columns=Int("columns with a masked weight"),
    n_task=Int("weights in the task's top"),
    mean_abs=Float("mean |w|"),
    mean_abs_masked=Float("mean |w| of the masked ones"),
    lines=Int("fewest rows and columns that hold all masked weights"),
    rank=Int("rank of what the mask takes away", optional=True),
)

NULLS = Schema(
    "nulls",
    "a family of random masks",
    family=Text("what its masks share with the mask of the claim"),
    draws=Int("masks that were drawn"),
    mean_k=Float("their mean number of weights"),
    effect=Float("what the mask of the claim does to the own ability", _SHARE),
    median=Float("median effect of the draws", _SHARE),
    low=Float("2.5 % quantile of their effects", _SHARE),
    high=Float("97.5 % quantile of their effects", _SHARE),
    p=Float("share of draws at least as strong, this one counted in"),
)

PERPLEXITY = Schema("perplexity", "a condition", **CONDITION, perplexity=Float("of texts that scored no weight"))

WINDOWS = Schema(
    "windows",
    "a window of text and condition",
    **CONDITION,
    window=Text("its name"),
    group=Text("windows of one text are resampled together"),
    tokens=Int("tokens that are predicted in it"),
    nll=Float("mean negative log-likelihood of a token", "nats"),
)

FREQUENCIES = Schema(
    "frequencies",
    "a block, q or k, and rotary frequency",
    layer=Int("block, from 0"),
    kind=Text('"q" or "k"'),
    frequency=Int("its number, from the fastest"),
    angle=Float("how far a token turns it", "radians a token"),
    masked=Int("masked weights in its rows"),
    norm=Float("mean norm of the activations there"),
    spearman=Float("rank correlation of masked weights and norms over the block's frequencies", optional=True),
)

SINKS = Schema(
    "sinks",
    "a block",
    layer=Int("block, from 0"),
    clean=Float("attention to the first token, intact", _SHARE),
    masked=Float("the same, masked", _SHARE),
    displaced=Float("queries whose attention to it moves by more than 0.01", _SHARE),
    dethroned=Float("of those that attended most to it, those that no longer do", _SHARE),
)

GEOMETRY = Schema(
    "geometry",
    "a block and state",
    layer=Int("block, from 0"),
    state=Text('"clean" or "masked"'),
    norm_q=Float("mean norm of queries, before rotation"),
    norm_first=Float("mean norm of the first token's key"),
    norm_others=Float("mean norm of the other keys"),
    cosine_first=Float("of queries with the first token's key"),
    cosine_others=Float("of queries with the mean key of the others"),
)

CELLS = Schema(
    "cells",
    "a condition, task and kind of cell",
    "one a shortcut",
    **{name: column for name, column in CONDITION.items() if name != "k"},
    task=Text("task of theory of mind"),
    kind=Text('"false-belief", "control", "all" of them, or "story": right where all its cells are'),
    n=Int("cells"),
    accuracy=Float("cells of which every question is right", _SHARE),
    reality_reporter=Float("what always saying how things are would score", _SHARE),
    always_yes=Float("what always saying yes would score", _SHARE),
)

PUBLISHED = Schema(
    "published",
    "a repetition, fraction and cell, as Wu et al. (2025) write them",
    repetition=Int("from 0"),
    m=Float("fraction", _SHARE),
    task=Text("task of theory of mind"),
    number=Int("of the story"),
    cell=Text("scene and order"),
    correct=Int("1 where all its questions are right"),
)

TABLES = (*LESIONS, SWEEP, MODULES, NULLS, PERPLEXITY, WINDOWS, FREQUENCIES, SINKS, GEOMETRY, CELLS, PUBLISHED)
