"""The tables of a direction's test: layers, doses, random directions, texts; and those of steering against the right answer."""

from broca.evidence.tables import BASELINES, CONDITION, DOSES, FLIPPED, ITEMS, MATRIX, PROMPTS, ROWS, TWINS
from broca.specs.schema import Flag, Float, Int, Schema, Text

_SHARE = "share of 1"
_STEERED = {
    "condition": Text('"intact", "lesion" (steered against the right answer), or "random", a random direction'),
    "localizer": Text("by which contrast the direction was fitted, or the family of a random one"),
    "dose": Float("share of the claimed dose", "%"),
    "fill": Text("what is done with the direction"),
    "k": Int("vectors that are added"),
}
_CONDITION = {name: _STEERED.get(name, field) for name, field in CONDITION.items()}

LAYERS = Schema(
    "layers",
    "a site",
    site=Text("of the fit"),
    layer=Int("block, from 0"),
    auroc=Float("share of pairs of texts that the direction tells apart, fitted without their groups", optional=True),
    d=Float("distance of the sides along it, fitted without their groups", "standard deviations", optional=True),
    halves=Float("cosine of the directions of two halves of the groups", optional=True),
    norm=Float("of the vector: the distance between the sides' means, as far as it lies along it", "L2"),
    rho=Float("mean norm of what stands at the site at a token, the first of a text left out", "L2", optional=True),
    share=Float("norm of the vector over that", _SHARE, optional=True),
    cosine=Float("with the direction at the chosen site", optional=True),
)

TRIED = Schema(
    "tried",
    "a site that was tried",
    site=Text("of steering"),
    layer=Int("block, from 0"),
    dose=Float(
        "the largest at which text stays fluent, of either sign; none where there is none", "the vector", optional=True
    ),
    effect=Float(
        "by which that dose moves the log-odds, half the difference of either sign, on the items that choose", "nats"
    ),
    toward=Text("what positive doses move towards"),
    chosen=Flag("whether it was chosen"),
)

CURVE = Schema(
    "curve",
    "a dose of a direction",
    dose=Float("how far is steered", "the vector"),
    series=Text('"direction", or "random": of the same norm and share of variance'),
    seed=Int("of a random direction; -1 of the direction"),
    log_odds=Float("of what is moved towards against the best other choice, mean over items", "nats"),
    low=Float("lower end of the 95 % interval over groups", "nats", optional=True),
    high=Float("upper end of the 95 % interval over groups", "nats", optional=True),
    accuracy=Float("right answers", _SHARE),
    perplexity_ratio=Float("perplexity of plain text over the intact model's", optional=True),
)

FAMILIES = Schema(
    "families",
    "a family of random directions beside the matched ones",
    family=Text('"same norm": isotropic; "shuffled sides": fitted where the sides were dealt to groups at random'),
    draws=Int("how many"),
    median=Float("change of accuracy against the right answer, in the median", _SHARE),
    low=Float("2.5 % quantile", _SHARE),
    high=Float("97.5 % quantile", _SHARE),
    p=Float("share of them that cost as much as the direction, this one counted in"),
)

TEXTS = Schema(
    "texts",
    "a prompt and dose",
    dose=Float("how far is steered", "the vector"),
    prompt=Text("what is continued"),
    text=Text("how it goes on, greedily"),
)

CONTRASTS = Schema(
    "contrasts",
    "a further contrast",
    contrast=Text("its name"),
    cosine=Float("of its direction with this one, at the chosen site"),
    halves=Float("of the directions of its own two halves", optional=True),
)

_ITEMS = Schema("items", "an item and condition", "those of a scorer", **_CONDITION, **ROWS)
_DOSES = Schema(
    "doses", "an ability and condition", **{name: _STEERED.get(name, field) for name, field in DOSES.columns.items()}
)

assert ITEMS.columns.keys() == _ITEMS.columns.keys()
TABLES = (CURVE, LAYERS, TRIED, FAMILIES, TEXTS, CONTRASTS, _ITEMS, PROMPTS, _DOSES, MATRIX, BASELINES, FLIPPED, TWINS)
