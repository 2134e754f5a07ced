"""A block that is a graph: nodes in levels, and what leads from one to another."""

from __future__ import annotations

from dataclasses import dataclass

from broca.page.blocks import Block


@dataclass(frozen=True)
class Node:
    """A part of a graph."""

    name: str
    """By which edges name it, and what is written in it."""
    level: int
    """The row that it stands in, from 0."""
    tip: str = ""


@dataclass(frozen=True)
class Edge:
    """What leads from one node to another of a later level."""

    start: str
    end: str
    weight: float
    """From -1 to 1: how wide, and the colour of its sign."""
    tip: str = ""


@dataclass(frozen=True)
class Graph(Block):
    """Nodes in levels, and what leads from one to another."""

    name: str
    """Of its file, without the ending."""
    caption: str
    """What it shows, in a sentence."""
    levels: tuple[str, ...]
    """What each level is called, the first one first; those without nodes are left out."""
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
