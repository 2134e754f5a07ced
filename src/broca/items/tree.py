"""Reasoning trees: questions over statements, with the steps that lead to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from broca.errors import StimulusError
from broca.items.item import Item, Span, fingerprint

CONCLUSION = -1
"""What the last edges of a reasoning tree lead to: the answer, which is no statement of the text."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A question over statements, with the steps that lead from statements to its answer (Hou et al., 2023).

    An edge leads from a premise to the statement that takes it, or to `CONCLUSION`. A statement is useful when the
    conclusion can be reached from it; edges among other statements are allowed, and make nothing useful.
    """

    id: str
    text: str
    """The whole prompt, statements and question; the answer comes after it."""
    statements: tuple[Span, ...]
    """Where each statement stands in the text, in the order of the text."""
    query: Span
    """The question, whose attention to the statements is read. It may be the last statement itself."""
    edges: tuple[tuple[int, int], ...]
    choices: tuple[str, ...]
    answer: int
    """`choices[answer]` is right."""
    group: str = ""
    """The theory, template or list that several questions share: folds and resampling keep it together."""
    kinds: tuple[str, ...] = ()
    """The surface form of each statement ("fact", "rule", "number", ...), which baselines may use; or none at all."""
    counted: Literal["leaf", "root"] = "leaf"
    """Where heights are counted from: up from the leaves, or, as the paper does, down from the root."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Item(self.id, self.text, self.choices, self.answer)  # the same demands, in the same words
        self._check_spans()
        if self.kinds and len(self.kinds) != len(self.statements):
            raise StimulusError(
                f"Tree {self.id!r} has {len(self.kinds)} kinds for {len(self.statements)} statements. Give one for each, "
                "or none."
            )
        self._check_edges()

    def _check_spans(self) -> None:
        before = 0
        for number, (start, end) in enumerate(self.statements):
            if not before <= start < end <= len(self.text):
                raise StimulusError(
                    f"Tree {self.id!r}: statement {number} is at characters {start} to {end}. Statements are in the order "
                    f"of the text ({len(self.text)} characters), hold one character or more, and do not overlap."
                )
            before = end
        if not self.statements:
            raise StimulusError(f"Tree {self.id!r} has no statements. Give at least one.")
        if not 0 <= self.query[0] < self.query[1] <= len(self.text):
            raise StimulusError(
                f"Tree {self.id!r}: the query is at characters {self.query[0]} to {self.query[1]} of {len(self.text)}. "
                "Give the place of the question in the text."
            )

    def _check_edges(self) -> None:
        n = len(self.statements)
        for edge in self.edges:
            if not (0 <= edge[0] < n and CONCLUSION <= edge[1] < n) or edge[0] == edge[1]:
                raise StimulusError(
                    f"Tree {self.id!r}: edge {edge[0]} -> {edge[1]}. Edges lead from one of the statements 0 to {n - 1} to "
                    f"another one, or to the conclusion ({CONCLUSION})."
                )
        if len(set(self.edges)) < len(self.edges):
            raise StimulusError(f"Tree {self.id!r} has the same edge twice. Give each once.")
        try:
            self._order()
        except CycleError as error:
            raise StimulusError(
                f"Tree {self.id!r}: the edges go in a circle ({' -> '.join(map(str, error.args[1]))}). A statement cannot "
                "rest on itself; remove an edge."
            ) from error
        if not any(target == CONCLUSION for _, target in self.edges):
            raise StimulusError(
                f"Tree {self.id!r} has no edge to its conclusion, so no statement is useful. Add (statement, "
                f"{CONCLUSION}) for each that the answer rests on."
            )

    def _order(self) -> list[int]:
        """Every node, premises before what takes them."""
        sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(range(len(self.statements)), ()))
        for source, target in self.edges:
            sorter.add(target, source)
        return list(sorter.static_order())

    @property
    def cluster(self) -> str:
        """Its group, or what it is by itself, as of its item."""
        return self.item.cluster

    @property
    def heights(self) -> tuple[int, ...]:
        """The reasoning step of each statement; 0 for one that is not useful.

        From the leaves: 1 for a leaf, else one more than the highest of its premises. From the root: the most edges that
        any useful statement is away from a last one, less those that this statement is, plus 1. Both count the longest
        path over all edges, agree on chains, and differ for a leaf that is taken late. The edge to the conclusion is no step.
        """
        useful, away = {CONCLUSION}, dict.fromkeys(range(len(self.statements)), 0)
        order = self._order()
        for node in reversed(order):
            targets = [target for source, target in self.edges if source == node and target in useful]
            if targets:
                useful.add(node)
                away[node] = max(0 if target == CONCLUSION else away[target] + 1 for target in targets)
        useful.discard(CONCLUSION)
        if self.counted == "root":
            far = max(away[node] for node in useful)
            return tuple(1 + far - away[node] if node in useful else 0 for node in range(len(self.statements)))
        found: dict[int, int] = {}
        for node in (node for node in order if node in useful):
            found[node] = 1 + max((found[source] for source, target in self.edges if target == node), default=0)
        return tuple(found.get(node, 0) for node in range(len(self.statements)))

    @property
    def useful(self) -> tuple[bool, ...]:
        """Whether the conclusion can be reached from each statement."""
        return tuple(height > 0 for height in self.heights)

    @property
    def statement_texts(self) -> tuple[str, ...]:
        """The text of each statement."""
        return tuple(self.text[start:end] for start, end in self.statements)

    @property
    def item(self) -> Item:
        """The question alone, for scorers."""
        return Item(self.id, self.text, self.choices, self.answer, self.tags.get("task", ""), self.group, self.tags)

    @property
    def fingerprint(self) -> str:
        """Content hash of the tree."""
        return fingerprint(self)
