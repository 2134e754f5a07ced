"""Tables that several instruments write: items scored under conditions, what lesions do, maps by layer."""

from __future__ import annotations

from broca.specs.schema import Field, Flag, Float, Floats, Int, Schema, Text, Texts

_SHARE = "share of 1"

CONDITION: dict[str, Field] = {
    "condition": Text('"intact", "lesion" or "random", a matched draw'),
    "localizer": Text(
        'by whose ranking the units were chosen; "equal change": tokens moved as far, in random directions'
    ),
    "side": Text('end of the ranking: "top", "bottom", "both"'),
    "dose": Float("how much is lesioned", "% of units, heads or weights"),
    "fill": Text("what lesioned units are held at"),
    "seed": Int("of the draw; -1 where nothing is drawn"),
    "k": Int("how many units, heads or weights are lesioned"),
}
"""What tells the conditions of a test apart."""

ROWS: dict[str, Field] = {
    "id": Text("of the item"),
    "ability": Text("what the item asks for"),
    "group": Text("items of one group are resampled together"),
    "answer": Int("which choice is right, from 0"),
    "predicted": Int("which choice was preferred, from 0; -1 where none can be read"),
    "correct": Flag("whether it was the right one"),
    "invalid": Flag("whether no choice can be read from what the model did"),
    "score": Float("log-probability of the answer minus that of the best other choice", "nats"),
    "logprobs": Floats("log-probability of each choice", "nats"),
    "text": Text("what was generated, or the choice that was preferred"),
}
"""What every scorer tells of an item."""

ITEMS = Schema("items", "an item and condition", "those of a scorer", **CONDITION, **ROWS)

PROMPTS = Schema(
    "prompts",
    "an item",
    id=ROWS["id"],
    ability=ROWS["ability"],
    group=ROWS["group"],
    prompt=Text("what the model is shown"),
    choices=Texts("the answers that are compared"),
    answer=Text("the right one"),
)

DOSES = Schema(
    "doses",
    "an ability and condition",
    ability=Text("what the items ask for"),
    condition=CONDITION["condition"],
    localizer=Text("by whose ranking the units were chosen", optional=True, default=""),
    side=CONDITION["side"],
    dose=CONDITION["dose"],
    fill=CONDITION["fill"],
    k=CONDITION["k"],
    seed=CONDITION["seed"],
    accuracy=Float("right answers", _SHARE),
    score=Float("mean score", "nats", optional=True),
    invalid=Float("answers that cannot be read", _SHARE, optional=True),
    n=Int("items"),
)

MATRIX = Schema(
    "matrix",
    "a localizer and ability",
    localizer=Text("by whose ranking the units were chosen"),
    ability=Text("what the items ask for"),
    own=Flag("whether it is the ability that the claim is about"),
    n=Int("items"),
    intact=Float("accuracy of the intact model", _SHARE),
    lesion=Float("accuracy under the lesion", _SHARE),
    effect=Float("lesion minus intact, paired by item", _SHARE),
    low=Float("lower end of its 95 % interval", _SHARE),
    high=Float("upper end of its 95 % interval", _SHARE),
    p=Float("sign flips of the changes, group by group, two-sided"),
    random_median=Float("median effect of matched draws", _SHARE),
    random_low=Float("2.5 % quantile of their effects", _SHARE),
    random_high=Float("97.5 % quantile of their effects", _SHARE),
    p_random=Float("share of draws at least as strong, this one counted in"),
    p_holm=Float("p, corrected over the cells", optional=True),
)

BASELINES = Schema(
    "baselines",
    "an ability and shortcut",
    ability=Text("what the items ask for"),
    baseline=Text('a rule that needs no ability, such as "chance" or "first-mentioned"'),
    accuracy=Float("what it scores", _SHARE),
)

FLIPPED = Schema(
    "flipped",
    "an item whose answer the lesion changed",
    id=Text("of the item"),
    ability=Text("what the item asks for"),
    prompt=Text("what the model was shown"),
    answer=Text("the right answer"),
    intact=Text("that of the intact model"),
    lesion=Text("that under the lesion"),
    change=Text('"lost": right before, wrong after; "gained": the other way'),
)

LAYERS = Schema(
    "layers",
    "a block and kind of site",
    layer=Int("block, from 0"),
    kind=Text("kind of site"),
    n_units=Int("units or heads"),
    n_alive=Int("those that vary over stimuli"),
    n_significant=Int("those with q below alpha"),
    n_selected=Int("those that are selected"),
    expected=Float("as many as there would be, were the selection spread evenly"),
    mean_abs_t=Float("mean |t| of those alive"),
    max_abs_t=Float("largest |t|"),
)

TWINS = Schema(
    "twins",
    "a model that has learned nothing",
    kind=Text('"untrained": fresh weights in the same shape; "shuffled": the trained ones in random order'),
    seed=Int("of its weights or its order"),
    d_held_out=Float("effect size of its own selection on held-out stimuli", "standard deviations"),
    share_significant=Float("units with q below alpha", _SHARE, optional=True),
    r=Float("correlation of its two half-maps", optional=True),
)

DICTIONARIES = Schema(
    "dictionaries",
    "a dictionary whose features are units",
    site=Text("its features: LAYER.feature"),
    dictionary=Text("what it is called"),
    architecture=Text('"relu", "topk", "abstopk", "jumprelu" or "gated"'),
    reads=Text("the site that it reads"),
    writes=Text("the site that it writes to"),
    n_features=Int("features"),
    dead=Float("features that fire at no token of these texts", _SHARE),
    tokens=Int("tokens of these texts, without the first of each"),
    fvu=Float("fraction of variance unexplained: what is left over what the mean leaves"),
    l0=Float("features that fire at a token, on average"),
    intact=Float("mean loss of the model as it is", "nats a token"),
    rebuilt=Float("with what the dictionary explains in the place of its target", "nats a token"),
    zero=Float("with 0 there", "nats a token"),
    recovered=Float("(zero - rebuilt) / (zero - intact)", optional=True),
)

ACTIVATIONS = Schema(
    "activations",
    "a token around the strongest of a text, of the texts that fire a selected feature most",
    feature=Text("as it is written: LAYER.feature:NUMBER"),
    rank=Int("of the text, from 0"),
    label=Text("which side or ability the text is of"),
    largest=Float("the feature's largest activation in the text"),
    token=Int("its place in the text, from 0"),
    text=Text("its characters"),
    activation=Float("of the feature, at this token"),
)

TOKEN_EFFECTS = Schema(
    "token_effects",
    "a token of an item that the lesion moved most, with the right answer behind the prompt",
    id=ROWS["id"],
    token=Int("its place, from 0"),
    text=Text("its characters"),
    answer=Flag("whether it belongs to the right answer"),
    change=Float(
        "its log-probability under the claim's lesion minus that of the intact model; nothing for the first",
        "nats",
        optional=True,
    ),
)

FEATURES = (DICTIONARIES, ACTIVATIONS)
"""What every result with features writes."""

LESIONS = (ITEMS, PROMPTS, DOSES, MATRIX, BASELINES, FLIPPED)
"""What every test of a lesion writes."""

MAPS = (LAYERS, TWINS)
"""What a map of units has beside its arrays."""
