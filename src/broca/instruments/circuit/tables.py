"""The tables of a study of a circuit."""

from broca.evidence.tables import LESIONS
from broca.specs.schema import Flag, Float, Int, Schema, Text

EDGES = Schema(
    "edges",
    "an edge",
    edge=Text("writer->reader, as EAP-IG writes them"),
    writer=Text("the part that writes"),
    reader=Text("what reads it: queries, keys or values of a head or of a group of heads, an MLP, or the logits"),
    writer_layer=Int("block, from 0; -1 for the input"),
    reader_layer=Int("block, from 0; the number of blocks for the logits"),
    score=Float("what the margin loses when it alone is patched, as far as the method says; all pairs", "logits"),
    first=Float("the same in the half of the pairs that chose", "logits"),
    second=Float("the same in the other half", "logits"),
    exact=Float("the same by one run each, in the half that chose; nothing where there was none", "logits"),
    t=Float("of the scores of pairs that did not choose, for the highest edges of the circuit"),
    p_max=Float("of arbitrary signs of these, family-wise"),
    circuit=Flag("whether it belongs to the circuit"),
    effective=Flag("whether it does, on a way of its edges from the input to the logits"),
    token=Text("of the circuit's highest edges: the token of the first text shown at which most of the score stands"),
    left_out=Float("what the circuit kept alone loses without it, for its weakest edges", "logits"),
)

NODES = Schema(
    "nodes",
    "a part that writes",
    node=Text("input, a head such as a3.h1, or an MLP such as m3"),
    layer=Int("block, from 0; -1 for the input"),
    score=Float("the sum over the edges that leave it: what patching it costs, to first order", "logits"),
    circuit=Int("edges of the circuit that leave it"),
)

CURVES = Schema(
    "curves",
    "a ranking, size and draw",
    ranking=Text('"signed", "absolute", or "random": matched with the absolute one in size and layers'),
    share=Float("of all edges, as it is named", "share of 1"),
    edges=Int("edges that are kept"),
    effective=Int("of these, edges on a way from the input to the logits"),
    draw=Int("of the random circuit; -1 where none is drawn"),
    margin=Float("mean margin with all other edges patched", "logits"),
    faithfulness=Float("margin above that with every edge patched, as a share of the model's"),
)

AREAS = Schema(
    "areas",
    "a ranking",
    ranking=Text('"signed", "absolute", or "random"'),
    cpr=Float("area under the faithfulness over the share of edges, as MIB takes it"),
    cmd=Float("area of its distance from 1"),
)

PATHS = Schema(
    "paths",
    "a path",
    path=Text("writer->reader->..., as far as the logits, or as its last reader"),
    loss=Float("what the margin loses when it alone is patched, in pairs that did not choose", "logits"),
    low=Float("lower end of the interval of 95 % over groups", "logits"),
    high=Float("its upper end", "logits"),
    share=Float("of the margin above that with every edge patched", "share of 1"),
)

SHOWN = Schema(
    "shown",
    "an item that is shown",
    id=Text("of the item"),
    text=Text("as the model was shown it"),
    counterfactual=Text("what patched edges carry the run of"),
    right=Text("the token that the margin is of"),
    wrong=Text("the token that it is taken against; of several the most likely"),
)

TABLES = (EDGES, NODES, CURVES, AREAS, PATHS, SHOWN, *LESIONS)
