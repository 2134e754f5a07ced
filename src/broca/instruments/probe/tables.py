"""The tables of a probe: scores, controls, curves over layers, heads, pruning, hidden statements, trees."""

from broca.evidence.tables import CONDITION, ROWS
from broca.specs.schema import Flag, Float, Floats, Int, Ints, Schema, Text

_SHARE, _LAYER, _HEAD = "share of 1", Int("block, from 0"), Int("head, from 0")
_TARGET = Text('what is read: "useful" (is a statement needed?) or "step" (at which step?)')
_LOW, _HIGH = Float("lower end of the 95 % interval"), Float("upper end of the 95 % interval")

SCORES = Schema(
    "scores",
    "a target",
    target=_TARGET,
    symbol=Text("its name in the literature"),
    n=Int("statements that were asked about"),
    undefined=Text("why there is no score; null where there is one"),
    f1=Float("macro-F1, out of fold, theories kept whole"),
    f1_low=Float("lower end of its 95 % interval"),
    f1_high=Float("upper end of its 95 % interval"),
    score=Float("0 is what untrained networks give, 1 is perfect"),
    score_low=Float("lower end of its 95 % interval"),
    score_high=Float("upper end of its 95 % interval"),
    f1_random=Float("mean macro-F1 of untrained networks of this shape"),
    p=Float("of labels shuffled within theories"),
    p_learned=Float("share of untrained networks that score as high, this one counted in"),
    margin=Float("F1 minus that on the control task"),
    f1_rows=Float("macro-F1 with folds of rows: what it has more is leakage"),
    score_rows=Float("score with folds of rows"),
    classes=Floats("F1 of each class"),
    f1_random_all=Floats("macro-F1 of each untrained network"),
    score_random_all=Floats("score of each untrained network, against the others"),
    layers_chosen=Text("layers that were read", optional=True),
    f1_published=Float("macro-F1 by the published recipe, quirks included"),
    score_published=Float("score by the published recipe"),
)

CONTROLS = Schema(
    "controls",
    "a target and kind of wrong labels",
    target=_TARGET,
    control=Text("how the labels are wrong"),
    f1=Float("macro-F1 on them"),
    f1_random=Float("that of untrained networks"),
    score=Float("as for the true labels"),
)

PROBE_BASELINES = Schema(
    "probe_baselines",
    "a target and what is known without a model",
    target=_TARGET,
    baseline=Text("position, length or surface of the statement"),
    f1=Float("macro-F1 from it alone"),
    f1_with=Float("macro-F1 with attention beside it"),
    gain=Float("what attention adds"),
    gain_low=_LOW,
    gain_high=_HIGH,
)

LAYER_SCORES = Schema(
    "layer_scores",
    "a layer, alone or with those below it",
    way=Text('"single": this layer alone; "cumulative": all up to it'),
    layer=_LAYER,
    target=_TARGET,
    f1=Float("macro-F1"),
    f1_random=Float("mean of untrained networks"),
    random_low=Float("lower end of their band"),
    random_high=Float("upper end of their band"),
    score=Float("as in scores"),
    p=Float("of shuffled labels", optional=True),
    q=Float("p, adjusted over layers (false discovery rate)"),
)

HEAD_SCORES = Schema(
    "head_scores",
    "a head and target",
    layer=_LAYER,
    head=_HEAD,
    target=_TARGET,
    f1=Float("macro-F1 of this head alone"),
    f1_random=Float("mean of untrained networks", optional=True),
    random_low=Float("lower end of their band", optional=True),
    random_high=Float("upper end of their band", optional=True),
    score=Float("as in scores"),
    p=Float("of shuffled labels", optional=True),
    q=Float("p, adjusted over heads (false discovery rate)"),
)

HEADS = Schema(
    "heads",
    "a head",
    layer=_LAYER,
    head=_HEAD,
    entropy_place=Float("entropy of its mean attention over places; 1 is even"),
    entropy_size=Float("entropy of its mean attention over ranks of size; 1 is even"),
    preference=Float("how much more attention useful statements get", "standard deviations"),
    weight=Float("its weight in a logistic probe of all heads", optional=True),
)

ATTENTION = Schema(
    "attention",
    "a layer and place, rank of size, or step",
    by=Text('"place", "size" or "step"'),
    label=Int("which one, from 0"),
    layer=_LAYER,
    attention=Float("mean over texts and heads", _SHARE),
)

PRUNING = Schema(
    "pruning",
    "an order and share of heads",
    condition=Text('"intact", "lesion" or "random", a random order'),
    order=Text("what ranks the heads"),
    mode=Text('"remove": the first are taken away; "keep": all others are'),
    level=Float("heads taken away or kept", "%"),
    fill=Text("what they are held at"),
    k=Int("heads that are held"),
    seed=Int("of the order; -1 where nothing is drawn"),
    accuracy=Float("on trees that were not probed", _SHARE),
    score=Float("mean score", "nats", optional=True),
    n=Int("items", optional=True),
)

AREAS = Schema(
    "areas",
    "an order and mode",
    order=Text("what ranks the heads"),
    mode=Text('"remove" or "keep"'),
    area=Float("mean accuracy over the whole curve", _SHARE),
    beyond=Float("minus that of random orders", _SHARE),
    random_low=Float("2.5 % quantile of random orders", _SHARE),
    random_high=Float("97.5 % quantile of random orders", _SHARE),
    p=Float("share of random orders at least as strong, this one counted in"),
)

EDGES = Schema(
    "edges",
    "what is hidden from the question",
    hidden=Text("which statements"),
    n=Int("items"),
    accuracy=Float("with them hidden", _SHARE),
    effect=Float("minus that with nothing hidden, paired by item", _SHARE),
    low=_LOW,
    high=_HIGH,
    p=Float("sign flips of the changes, theory by theory, two-sided"),
    margin=Float("change of the answer's margin", "nats"),
    margin_low=_LOW,
    margin_high=_HIGH,
)

CORRUPTIONS = Schema(
    "corruptions",
    "a way to corrupt texts",
    corruption=Text("what was done to them"),
    n=Int("statements"),
    intact=Float("classes that the probe tells in the true texts", _SHARE),
    corrupted=Float("the same in corrupted ones", _SHARE),
    change=Float("corrupted minus intact", _SHARE),
    low=_LOW,
    high=_HIGH,
    p=Float("sign flips of the changes, theory by theory, two-sided"),
)

CORRUPTED = Schema(
    "corrupted",
    "a statement of a corrupted text",
    corruption=Text("what was done to it"),
    tree=Int("number of its tree, from 0"),
    id=Text("of the tree"),
    statement=Int("its number, from 0"),
    intact=Flag("whether the probe was right in the true text"),
    corrupted=Flag("whether it was right in the corrupted one"),
)

LINKS = Schema(
    "links",
    "a margin that may tell right answers",
    link=Text("which margin, and which answer"),
    n=Int("texts"),
    slope=Float("log odds of being right, a standard deviation of the margin"),
    low=_LOW,
    high=_HIGH,
    p=Float("with clusters of theories"),
    undefined=Text("why there is no estimate; null where there is one"),
)

DRAWN = Schema(
    "drawn",
    "a statement of a tree that is drawn",
    tree=Int("number of the tree, from 0"),
    id=Text("of the tree"),
    question=Text("what is asked"),
    answer=Text("the model's answer"),
    correct=Flag("whether it is right"),
    statement=Int("number of the statement, from 0"),
    said=Text("what it says"),
    height=Int("its step; 0 where it is useless"),
    targets=Ints("statements that it leads to"),
    last=Flag("whether it leads to the question"),
    found_useful=Flag("whether the probe takes it for useful"),
    found_step=Int("the step that the probe gives it; null where it gives none"),
    layers=Ints("blocks that were read"),
    attention=Floats("the question's attention to it in each of them"),
)

PREDICTIONS = Schema(
    "predictions",
    "a statement and target, out of fold",
    target=_TARGET,
    tree=Int("number of its tree, from 0"),
    id=Text("of the tree"),
    statement=Int("its number, from 0"),
    group=Int("its theory"),
    true=Int("its class"),
    predicted=Int("the class that the probe gives it"),
    margin=Float("how sure the probe is of the true class"),
)

ANSWERS = Schema("answers", "an item and condition", "those of a scorer", **CONDITION, **ROWS)

TABLES = (
    *(
        SCORES,
        CONTROLS,
        PROBE_BASELINES,
        LAYER_SCORES,
        HEAD_SCORES,
        HEADS,
        ATTENTION,
        PRUNING,
        AREAS,
        EDGES,
        CORRUPTIONS,
    ),
    *(CORRUPTED, LINKS, DRAWN, PREDICTIONS, ANSWERS),
)
