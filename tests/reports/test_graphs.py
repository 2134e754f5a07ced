"""A layered graph as a picture: every text escaped, edges as wide as they are strong, nothing lost."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

from broca.page.graph import Edge, Graph, Node
from broca.reports.graphs import THICK, THIN, graph_picture

NS = "{http://www.w3.org/2000/svg}"


def picture(*edges: Edge, nodes=None):
    nodes = nodes or (Node("input", 0), Node("a0.h0", 1, "<b>tip</b>"), Node("logits", 3))
    return graph_picture(Graph("g", "A graph.", ("input", "heads 0", "MLP 0", "logits"), tuple(nodes), edges))


def test_levels_stand_one_above_the_other_and_empty_ones_are_left_out():
    svg = ET.fromstring(picture(Edge("input", "logits", 1.0)).svg)
    heights = {t.text: float(t.get("y")) for t in svg.iter(f"{NS}text")}
    assert heights["input"] > heights["heads 0"] > heights["logits"]
    assert "MLP 0" not in heights


def test_width_and_colour_tell_size_and_sign():
    svg = picture(Edge("input", "a0.h0", 1.0), Edge("a0.h0", "logits", -0.5), Edge("input", "logits", 0.0)).svg
    widths = sorted(float(w) for w in re.findall(r'<path[^>]*stroke-width="([\d.]+)"', svg))
    assert widths == [THIN, round(THIN + (THICK - THIN) / 2, 2), THICK]
    assert len(set(re.findall(r'<path[^>]*stroke="(#\w+)"', svg))) == 2


def test_every_text_is_escaped_and_every_edge_has_a_tip():
    hostile = '"><script>x</script>'
    svg = picture(
        Edge("input", hostile, 1.0, hostile), nodes=(Node("input", 0, hostile), Node(hostile, 1, hostile))
    ).svg
    assert "<script" not in svg
    tree = ET.fromstring(svg)
    assert all(path.find(f"{NS}title").text for path in tree.iter(f"{NS}path"))


def test_a_model_of_twelve_by_twelve_stays_as_wide_as_its_fullest_level():
    nodes = [
        Node("input", 0),
        *(Node(f"a{i}.h{h}", 1 + i, "") for i in range(12) for h in range(12)),
        Node("logits", 13),
    ]
    edges = [Edge(f"a{i}.h{h}", f"a{i + 1}.h{11 - h}", 0.5) for i in range(11) for h in range(12)]
    made = graph_picture(Graph("g", "A graph.", tuple(map(str, range(14))), tuple(nodes), tuple(edges)))
    svg = ET.fromstring(made.svg)
    assert float(svg.get("width")) < 780
    boxes = sorted((float(r.get("y")), float(r.get("x")), float(r.get("width"))) for r in svg.iter(f"{NS}rect"))
    assert all(a[1] + a[2] <= b[1] for a, b in itertools.pairwise(boxes) if a[0] == b[0])


def test_edges_of_nodes_that_are_not_there_are_left_out():
    svg = ET.fromstring(picture(Edge("m9", "logits", 1.0)).svg)
    assert not list(svg.iter(f"{NS}path"))
