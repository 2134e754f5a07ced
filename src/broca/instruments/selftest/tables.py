"""The tables of a self-test: how well each method finds what was planted."""

from broca.specs.schema import Flag, Float, Int, Schema, Text

METHODS = Schema(
    "methods",
    "a truth and method",
    truth=Text('what counts as true: units that are "selective" or "causal"'),
    method=Text("what ranks the units"),
    auroc=Float("area under the ROC curve; 0.5 is chance"),
    average_precision=Float("area under precision against recall"),
    precision_at_k=Float("true ones among the k ranked highest", "share of 1"),
    recall_at_1_percent=Float("true ones that are in the top 1 % of all units", "share of 1"),
    k=Int("how many units are true"),
)

UNITS = Schema(
    "units",
    "a unit whose truth was measured",
    "the score by each method",
    site=Text("where it is"),
    unit=Int("which one, from 0"),
    planted=Text("what it was planted as; nothing for a rival"),
    d=Float("its true difference between the sides", "standard deviations"),
    effect=Float("what ablating it does to the metric", "logits"),
    selective=Flag("whether it truly tells the sides apart"),
    causal=Flag("whether it truly moves the metric"),
)

POWER = Schema(
    "power",
    "an effect size and number of stimuli",
    d=Float("planted effect size", "standard deviations"),
    n=Int("stimuli on each side"),
    detected=Float("selective planted units that are significant", "share of 1"),
    analytic=Float("power of the t test", "share of 1"),
    planted=Int("selective planted units"),
    auroc_t_selective=Float("of |t| for selective units"),
    recall_t_at_1_percent=Float("of |t|, in the top 1 % of all units", "share of 1"),
    auroc_attribution_causal=Float("of attribution for causal units"),
    auroc_t_causal=Float("of |t| for causal units"),
)

TABLES = (METHODS, UNITS, POWER)
