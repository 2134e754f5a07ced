"""A layered graph as a picture: every text escaped, edges as wide as they are strong, nothing lost."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from broca.page.blocks import Edge, Graph, Node
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


def test_edges_of_nodes_that_are_not_there_are_left_out():
    svg = ET.fromstring(picture(Edge("m9", "logits", 1.0)).svg)
    assert not list(svg.iter(f"{NS}path"))
