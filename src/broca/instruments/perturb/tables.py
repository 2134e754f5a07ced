"""The tables of a study of perturbations: answers, kinds, comparisons of runs, patches, heads, probes, examples."""

from broca.evidence.tables import FEATURES
from broca.specs.schema import Field, Flag, Float, Int, Schema, Text

_SHARE = "share of 1"
_KIND, _LAYER, _HEAD = Text("kind of perturbation"), Int("block, from 0; -1 is the embedding"), Int("head, from 0")
_LOW, _HIGH = Float("lower end of the 95 % interval", _SHARE), Float("upper end of the 95 % interval", _SHARE)
_CLASS = Text('class of tokens: "prefix", "edited", "boundary", "suffix", "operands", "answer"')
_RESTORED = Float("logit difference that the patch gives back", "logits")
_PART = Float("that, of what the perturbation took", _SHARE)

KINDS = Schema(
    "kinds",
    "a kind of perturbation",
    kind=_KIND,
    n=Int("texts"),
    broken=Int("right clean, wrong perturbed"),
    mended=Int("wrong clean, right perturbed"),
    controls=Int("texts that have a control: a valid text that differs by as many tokens"),
    clean=Float("accuracy of the clean texts", _SHARE),
    perturbed=Float("accuracy of the perturbed ones", _SHARE),
    drop=Float("perturbed minus clean, paired by text", _SHARE),
    drop_low=_LOW,
    drop_high=_HIGH,
    p=Float("sign flips of the changes, group by group, two-sided", optional=True),
    p_holm=Float("p, corrected over kinds"),
    drop_rate=Float("relative drop of accuracy", _SHARE),
    drop_rate_low=Float("lower end of its 95 % interval", _SHARE, optional=True),
    drop_rate_high=Float("upper end of its 95 % interval", _SHARE, optional=True),
    broken_rate=Float("of those right clean", _SHARE, optional=True),
    mended_rate=Float("of those wrong clean", _SHARE, optional=True),
    same_answer=Float("texts with the same answer, right or wrong", _SHARE),
    unparsed=Float("perturbed texts whose answer cannot be read", _SHARE),
    control=Float("accuracy of the controls", _SHARE),
    over_control=Float("perturbed minus control: what is the mistake's own", _SHARE),
    over_control_low=_LOW,
    over_control_high=_HIGH,
)

ANSWERS = Schema(
    "answers",
    "a text",
    id=Text("of the text"),
    source=Text("id of the clean text"),
    kind=Text('"clean", a kind of perturbation, or "control"'),
    of=Text("the kind that a control stands beside"),
    group=Text("wordings of one group are resampled together"),
    gold=Text("the right answer"),
    said=Text("the model's"),
    correct=Flag("whether they agree"),
    unparsed=Flag("whether no answer can be read"),
)

MADE = Schema(
    "made",
    "a kind of perturbation",
    kind=_KIND,
    asked=Int("texts that were asked for"),
    made=Int("texts that were made"),
    impossible=Int("texts with nothing that the kind can edit"),
    refused=Int("texts that broke a promise"),
    identical=Int("texts that are the clean one"),
    protected=Int("texts in which a protected span changed"),
    spaces=Int("texts whose white space changed unasked"),
    number_word=Int("texts with a new number word"),
    distance=Int("texts that changed by more or less than the kind says"),
    real_word=Int("texts whose perturbed word is a common one"),
    first_word=Int("texts whose word is the one that all kinds try first"),
    repaired=Int("texts with a misnamed field"),
    osa=Float("mean optimal string alignment distance", "letters and signs"),
    osa_max=Int("largest one", "letters and signs"),
    levenshtein=Float("mean Levenshtein distance", "letters and signs"),
    length=Float("mean change of length", "letters and signs"),
)

REWRITTEN = Schema(
    "rewritten",
    "a text that the rewriter was asked for",
    id=Text("of the text"),
    style=Text("how it was to be rewritten"),
    model=Text("who wrote"),
    revision=Text("of the writer"),
    writer=Text("kind of writer"),
    template_hash=Text("of the request"),
    prompt_hash=Text("of the request with its text"),
    raw=Text("what came back"),
    text=Text("the text in it"),
    faults=Text("what is wrong with it"),
    kept=Flag("whether it is used"),
)

_POINTS = {
    "cosine": "cosine of clean and perturbed",
    "distance": "their distance",
    "relative_distance": "their distance, relative to the clean one's norm",
}


def _spread(means: dict[str, str], more: str = "") -> dict[str, Field]:
    """Each mean over pairs, and its standard deviation."""
    found: dict[str, Field] = {}
    for name, meaning in means.items():
        found[name + more] = Float(meaning + (", massive coordinates left out" if more else ""), optional=True)
        found[f"{name}{more}_sd"] = Float("its standard deviation over pairs", optional=True)
    return found


COMPARED_POINTS = Schema(
    "compared_points",
    "a kind, site and class of tokens",
    **{"site": Text("where runs are compared"), "layer": _LAYER, "class": _CLASS},
    n=Int("pairs", optional=True),
    **_spread(_POINTS),
    **_spread(_POINTS, "_robust"),
    mean_difference=Float("norm of the mean difference, relative to the mean norm", optional=True),
    mean_difference_robust=Float("the same, massive coordinates left out", optional=True),
    **{f"explained_{i}": Float(f"variance on the first {i} directions", _SHARE, optional=True) for i in range(1, 6)},
    explained_1_robust=Float("variance on the first, massive coordinates left out", _SHARE, optional=True),
    coordinate=Int("the coordinate that differs most", optional=True),
    coordinate_share=Float("its share of the squared distance", _SHARE, optional=True),
    coordinate_massive=Flag("whether it carries massive activations", optional=True),
    massive=Int("coordinates that do", optional=True),
    kind=_KIND,
)

_SEGMENTS = ("special", "prefix", "edited", "suffix", "operands")
_SIDES = {
    f"{part}_{side}": f"attention to the {part} part, {side}" for side in ("clean", "perturbed") for part in _SEGMENTS
}

COMPARED_HEADS = Schema(
    "compared_heads",
    "a kind, query, layer and head",
    query=Text("which token looks"),
    layer=Int("block, from 0"),
    head=_HEAD,
    n=Int("pairs", optional=True),
    **_spread({"divergence": "Jensen-Shannon divergence of the two patterns"}),
    **_spread({f"entropy_{side}": f"entropy of the pattern, {side}" for side in ("clean", "perturbed")}),
    **_spread(_SIDES),
    kind=_KIND,
)

COMPARED_LOGITS = Schema(
    "compared_logits",
    "a kind, layer and class of tokens",
    **{"site": Text("where runs are compared", optional=True), "layer": Int("block", optional=True), "class": _CLASS},
    n=Int("pairs", optional=True),
    **_spread(
        {
            "kl": "divergence of what comes next",
            "same_first": "pairs with the same likeliest token",
            "same_top": "overlap of the likeliest tokens",
        }
    ),
    kind=_KIND,
)

PROBES = Schema(
    "probes",
    "a kind, site, point and split",
    kind=_KIND,
    site=Text("what is read"),
    layer=Int("block", optional=True),
    point=Text("at which token"),
    split=Text('what folds keep together: "wording" or "pair"'),
    pairs=Int("clean and perturbed texts"),
    groups=Int("wordings"),
    accuracy=Float("of telling clean from perturbed, out of fold", _SHARE),
    low=Float("lower end of its 95 % interval", _SHARE, optional=True),
    high=Float("upper end of its 95 % interval", _SHARE, optional=True),
    token=Float("what a random embedding of the token tells", _SHARE),
    text=Float("what random embeddings of the whole text tell", _SHARE),
    count=Float("what the number of tokens tells", _SHARE),
    best=Text("which of these three tells most"),
    gain=Float("accuracy minus that", _SHARE),
    gain_low=_LOW,
    gain_high=_HIGH,
    p=Float("of labels turned at random"),
    null=Float("mean accuracy with such labels", _SHARE, optional=True),
    control=Float("accuracy on labels drawn at random for each word", _SHARE, optional=True),
    selectivity=Float("accuracy minus that", _SHARE, optional=True),
    undefined=Text("why there is no accuracy", optional=True),
)

TRANSFERS = Schema(
    "transfers",
    "a site, point, kind that is learned and kind that is tested",
    site=Text("what is read"),
    layer=Int("block"),
    point=Text("at which token"),
    learned=Text("the kind that the probe is trained on"),
    tested=Text("the kind that it is tested on"),
    pairs=Int("of the tested kind"),
    accuracy=Float("of telling clean from perturbed", _SHARE),
    token=Float("what a random embedding of the token tells", _SHARE),
    text=Float("what random embeddings of the whole text tell", _SHARE),
    count=Float("what the number of tokens tells", _SHARE),
    gain=Float("accuracy minus the best of these", _SHARE),
)

CASES = Schema(
    "cases",
    "a text that was patched",
    id=Text("of the text"),
    kind=_KIND,
    group=Text("wordings of one group are resampled together"),
    clean=Text("the clean text"),
    perturbed=Text("the perturbed one"),
    right=Text("the answer to the clean text"),
    wrong=Text("the answer to the perturbed one"),
    coverage=Float("tokens that have a partner in the other text", _SHARE),
    tokens_clean=Int("tokens of the clean text"),
    tokens_perturbed=Int("tokens of the perturbed one"),
)

RECOVERY = Schema(
    "recovery",
    "a patch of a layer and class of tokens",
    direction=Text('"restore": clean values in the perturbed run; "break": the other way'),
    donor=Text('whose values: "own", "other" (another text\'s), "elsewhere" (other tokens), or none'),
    kind=Text("kind of site"),
    layer=_LAYER,
    at=Text('class of tokens; "random": as many others'),
    n=Int("texts"),
    restored=_RESTORED,
    share=_PART,
    low=_LOW,
    high=_HIGH,
    logprob=Float("change of the right answer's log-probability", "nats", optional=True),
    kl=Float("divergence from the clean run's answer", "nats", optional=True),
    estimate=Float("share that attribution patching expects", _SHARE, optional=True),
)

RECOVERY_KINDS = Schema(
    "recovery_kinds",
    "a kind of perturbation, layer and place of the residual stream",
    perturbation=_KIND,
    layer=_LAYER,
    at=_CLASS,
    n=Int("texts"),
    share=_PART,
    low=_LOW,
    high=_HIGH,
)

UNITS = Schema(
    "units",
    "a head, neuron or feature",
    layer=Int("block, from 0"),
    unit=Int("head, neuron or feature, from 0"),
    n=Int("texts", optional=True),
    restored=Float("logit difference that it gives back alone", "logits", optional=True),
    share=_PART,
    estimate=Float("share that attribution patching expects", _SHARE, optional=True),
    t=Float("of what it restores, over groups", optional=True),
    p_max=Float("family-wise p by max-T", optional=True),
    chosen=Flag("whether it is selected"),
)

PATTERNS = Schema(
    "patterns",
    "a layer or head whose attention pattern was patched",
    layer=Int("block, from 0"),
    head=Int("head, from 0; null for the whole layer"),
    n=Int("texts", optional=True),
    restored=Float("logit difference that the pattern gives back", "logits", optional=True),
    share=_PART,
    low=Float("lower end of the 95 % interval", _SHARE, optional=True),
    high=Float("upper end of the 95 % interval", _SHARE, optional=True),
)

EXAMPLES = Schema(
    "examples",
    "a token of a text that is shown",
    **{
        "id": Text("of the text"),
        "kind": _KIND,
        "side": Text('"clean" or "perturbed"'),
        "place": Int("of the token, from 0"),
        "text": Text("the token"),
        "class": _CLASS,
        "matched": Flag("whether the other text has it too"),
        "right": Text("the answer to the clean text"),
        "wrong": Text("the answer to the perturbed one"),
        "lost": Float("logit difference that the perturbation took", "logits"),
        "change": Float(
            "how much more probable a token of the perturbed text is than in the clean one, which has it too",
            "nats",
            optional=True,
        ),
    },
)

TABLES = (
    *(KINDS, ANSWERS, MADE, REWRITTEN, COMPARED_POINTS, COMPARED_HEADS, COMPARED_LOGITS, PROBES, TRANSFERS, CASES),
    *(RECOVERY, RECOVERY_KINDS, UNITS, PATTERNS, EXAMPLES, *FEATURES),
)
