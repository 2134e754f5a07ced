"""Proof strings, as ProofWriter and its relatives write them.

proofs = "[" tree ("OR" tree)* "]";  tree = atom | "(" tree+ ")" | tree+ "->" atom, in brackets or not, and again and again.
What an arrow ends in is the conclusion of everything that stands before it in the same brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from broca.errors import StimulusError

_TOKENS = re.compile(r"->|[()\[\]]|[^\s()\[\]]+?(?=->|[\s()\[\]]|$)")
_MARKS = frozenset({"(", ")", "[", "]", "->"})


@dataclass(frozen=True, slots=True)
class Proof:
    """The atoms of a proof in order of first appearance, and its steps from premise to conclusion."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    ends: tuple[str, ...]
    """What the whole proof concludes."""

    @property
    def is_ordered(self) -> bool:
        """Whether no atom rests on itself; one does where a proof uses the same rule twice in a row of steps."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for source, target in self.edges:
            sorter.add(target, source)
        try:
            sorter.prepare()
        except CycleError:
            return False
        return True


def proof(text: str, *, paper_compat: bool = False) -> Proof:
    """What a proof string says.

    The words OR and NAF are atoms like any other: ask `is_alternative` and `is_failure` first.

    Args:
        text: the proof.
        paper_compat: leave out an edge whose reverse was read before, and one from what stands in no brackets: of
            ``(5 4 1) -> 7 -> 8``, the step from 7 to 8.

    Raises:
        StimulusError: if the brackets or arrows do not fit.
    """
    tokens = _split(text)
    found = _Reading(text, bracketed=paper_compat)
    ends, rest = found.group(tokens, 0, closing="")
    if rest != len(tokens) or not ends:
        raise found.syntax_error(rest)
    edges: list[tuple[str, str]] = []
    for source, target in found.edges:
        if (source, target) not in edges and not (paper_compat and (target, source) in edges):
            edges.append((source, target))
    nodes = dict.fromkeys(token for token in tokens if token not in _MARKS)
    return Proof(tuple(nodes), tuple(edges), tuple(dict.fromkeys(ends)))


def is_alternative(text: str) -> bool:
    """Whether a proof string holds more than one proof."""
    return "OR" in _split(text)


def is_failure(text: str) -> bool:
    """Whether a proof rests on something that could not be proved (negation as failure)."""
    return "NAF" in _split(text)


def _split(text: str) -> list[str]:
    return _TOKENS.findall(text)


class _Reading:
    """One pass over the tokens; edges are noted as arrows are met, from what stands in brackets alone or from everything."""

    def __init__(self, text: str, *, bracketed: bool) -> None:
        self.text = text
        self.bracketed = bracketed
        self.edges: list[tuple[str, str]] = []

    def syntax_error(self, at: int) -> StimulusError:
        return StimulusError(
            f"The proof {self.text[:80]!r} is malformed at its part {at + 1}. Proofs look like "
            "[((triple1 triple3) -> rule2)]: brackets in pairs, and one name after each arrow."
        )

    def group(self, tokens: list[str], at: int, *, closing: str) -> tuple[list[str], int]:
        """What the trees from `at` up to `closing` conclude, and where they end; those in brackets come first."""
        nested: list[str] = []
        bare: list[str] = []
        while at < len(tokens) and tokens[at] != closing:
            part, at = tokens[at], at + 1
            if part in ("(", "["):
                ends, at = self.group(tokens, at, closing=")" if part == "(" else "]")
                if at >= len(tokens) or not ends:
                    raise self.syntax_error(at)
                nested, at = nested + ends, at + 1
            elif part == "->":
                if not (nested or bare) or at >= len(tokens) or tokens[at] in _MARKS:
                    raise self.syntax_error(at)
                self.edges += [(premise, tokens[at]) for premise in (nested if self.bracketed else nested + bare)]
                nested, bare, at = [], [tokens[at]], at + 1
            elif part in _MARKS:
                raise self.syntax_error(at - 1)
            else:
                bare.append(part)
        return nested + bare, at
