"""STREET's annotations of ARC questions (Ribeiro et al., 2023), read from ``reasoning_annotated_*.jsonl``.

A line has ``textual_logical_units`` (premises, intermediate conclusions, pieces of the question, and the answer) and
``reasoning_graph_edges`` among them. Intermediate conclusions are statements of the prompt, as in Hou et al. (2023).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Tree
from broca.stimuli.options import expand_home
from broca.stimuli.tables import short_repr
from broca.stimuli.trees.files import Line, Reading, lines, trees_of
from broca.stimuli.trees.prompts import add_demos, add_question, check_demos, join_statements
from broca.writing import words_in

_ANSWER = "the answer is"
_LABEL = re.compile(r"\(?([A-Za-z0-9])[).:]\s")

Edges = list[tuple[int, int]]


def read(
    path: str | Path,
    *,
    n: int | None = None,
    seed: int = 0,
    shuffled: bool = False,
    fragments: bool = False,
    depth: int | None = None,
    paper_compat: bool = False,
    demos: int = 0,
    demos_path: str | None = None,
) -> Reading:
    """The questions in which a step leads to the answer or to a premise of it, and what was left out.

    Args:
        path: of the file.
        n: at most so many, drawn at random.
        seed: of the draw and the shuffling.
        shuffled: statements in random order, instead of that of the annotation, in which conclusions stand last.
        fragments: keep units that repeat the question or an option as statements. Nothing else in the prompt looks like
            them, so a probe that finds them useless has found out little.
        depth: only questions whose longest way between statements has so many steps.
        paper_compat: labels and prompt of the released code: fragments kept and run together; questions of one step have
            all useful statements at one height, and of two steps one premise alone stands below the others (which one was a
            matter of chance; here it is the first that is not on the longest way); longer ones are left out.
        demos: solved questions before each prompt, as in the published ones; with `paper_compat` alone.
        demos_path: where they are drawn from; the file itself when None. Published is the training file.

    Raises:
        StimulusError: if the file is malformed; the message names its line.
    """
    check_demos(demos, paper_compat=paper_compat)
    found: list[Tree] = []
    left_out: Counter[str] = Counter()
    for number, line in enumerate(lines(expand_home(path))):
        units = _Units.of(line, fragments=fragments or paper_compat)
        if shuffled:
            units.shuffle(np.random.default_rng([seed, number]))
        made = _tree(units, line, depth, paper_compat=paper_compat)
        if isinstance(made, Tree):
            found.append(made)
        else:
            left_out[made] += 1
    kept = Reading.of(found, left_out, n=n, seed=seed)
    if not demos:
        return kept
    pool = [_solved_questions(line) for line in lines(expand_home(demos_path or path))]
    return replace(kept, trees=add_demos(kept.trees, pool, demos, seed))


arc = trees_of(read)
"""The questions of one annotation file; see `read`."""


def _solved_questions(line: Line) -> str:
    """A question with its answer, as published prompts show them."""
    answer = line.field("answer", (list, str))
    first = answer[0] if isinstance(answer, list) and answer else answer
    return f"{line.text('context')} {line.text('question')}{' '.join(_options(line))}{first}\n"


class _Units:
    """The statements of one line by number, and the edges among them and to the answer."""

    def __init__(self, texts: dict[int, str], pieces: frozenset[int], edges: Edges) -> None:
        self.texts, self.pieces, self.edges = texts, pieces, edges

    @classmethod
    def of(cls, line: Line, *, fragments: bool) -> _Units:
        raw = line.field("textual_logical_units", dict)
        texts = {_number(line, key): _unit(line, key, text) for key, text in raw.items()}
        ends = [number for number, text in texts.items() if _ANSWER in text.lower()]
        last = min(ends, default=max(texts, default=0) + 1)
        asked_about = f" {_plain(line.text('question') + ' ' + ' '.join(_options(line)))} "
        pieces = frozenset(key for key, text in texts.items() if key < last and f" {_plain(text)} " in asked_about)
        kept = {key: text for key, text in sorted(texts.items()) if key < last and (fragments or key not in pieces)}
        edges: Edges = []
        for entry in line.field("reasoning_graph_edges", list):
            for source, target in _edges(line, entry):
                for key in (source, target):
                    if key not in texts:
                        raise StimulusError(
                            f"{line.where}: an edge names unit {key}, and there is none. Correct the edge."
                        )
                if source in kept and (target in kept or target >= last):
                    edges.append((source, target if target in kept else CONCLUSION))
        return cls(kept, pieces, list(dict.fromkeys(edges)))

    def shuffle(self, rng: np.random.Generator) -> None:
        keys = list(self.texts)
        self.texts = {keys[i]: self.texts[keys[i]] for i in rng.permutation(len(keys))}


def _tree(units: _Units, line: Line, depth: int | None, *, paper_compat: bool) -> Tree | str:
    options = _options(line)
    choices, answer = _choices(line, options)
    inner = [edge for edge in units.edges if edge[1] != CONCLUSION]
    if not (inner if paper_compat else units.edges):
        return "without a step between statements" if paper_compat else "without a step to the answer"
    way = _longest(inner)
    if depth not in (None, max(0, len(way) - 1)):
        return "of another depth"
    if paper_compat and len(set(way)) < len(way):
        raise StimulusError(f"{line.where}: the edges go in a circle over unit {way[-1]}. Remove one of them.")
    if paper_compat and len(way) > 3:
        return "of more than two steps"
    edges = _released_edges(inner, way) if paper_compat else units.edges
    # an annotation may leave out the step from the last conclusion to the answer
    if all(target != CONCLUSION for _, target in edges):
        taken = {source for source, _ in edges}
        edges = [*edges, *((node, CONCLUSION) for node in sorted({t for _, t in edges} - taken))]
    place = {key: i for i, key in enumerate(units.texts)} | {CONCLUSION: CONCLUSION}
    text, spans = join_statements(list(units.texts.values()), between="" if paper_compat else " ")
    question = line.text("question")
    tail = f" {question}{' '.join(options)}" if paper_compat else f"\nQuestion: {question} {' '.join(options)}\nAnswer:"
    text, query = add_question(text, tail, whole=paper_compat)
    name = str(line.cells.get("id", line.where.rpartition(" ")[2]))
    targets = {target for _, target in inner}
    try:
        return Tree(
            id=name,
            text=text,
            statements=spans,
            query=query,
            edges=tuple((place[source], place[target]) for source, target in edges),
            choices=tuple(choices) if paper_compat else tuple(f" {choice}" for choice in choices),
            answer=answer,
            group=name,
            kinds=tuple(_kind(key, units, targets) for key in units.texts),
            counted="root" if paper_compat else "leaf",
            tags={"task": "arc", "statements": str(len(spans))},
        )
    except StimulusError as error:
        raise StimulusError(f"{line.where}: {error}") from error


def _kind(key: int, units: _Units, targets: set[int]) -> str:
    return "fragment" if key in units.pieces else "conclusion" if key in targets else "premise"


def _released_edges(edges: Edges, way: list[int]) -> Edges:
    """The released labels: of one step, every node is a root; of two, all but one premise, which leads to the middle of the way."""
    nodes = sorted({node for edge in edges for node in edge})
    if len(way) < 3:
        return [(node, CONCLUSION) for node in nodes]
    below = next((node for node in nodes if node not in way), way[0])
    return [(below, way[1]), *((node, CONCLUSION) for node in nodes if node != below)]


def _longest(edges: Edges) -> list[int]:
    """The statements on the longest way, of several that whose edges come first; too many of them where steps go in a circle."""
    ways = {node: [node] for edge in edges for node in edge}
    for _ in range(len(ways)):
        for source, target in edges:
            if len(ways[source]) >= len(ways[target]):
                ways[target] = [*ways[source], target]
    return max(ways.values(), key=len, default=[])


def _edges(line: Line, entry: Any) -> Edges:
    if not isinstance(entry, dict) or not isinstance(entry.get("antecedents"), list) or "consequent" not in entry:
        raise StimulusError(
            f"{line.where}: {short_repr(entry)} is no edge. Edges have a list of 'antecedents' and one 'consequent'."
        )
    target = _number(line, entry["consequent"])
    return [(_number(line, source), target) for source in entry["antecedents"]]


def _number(line: Line, key: object) -> int:
    match = re.fullmatch(r"\(?(\d{1,6})\)?", str(key).strip())
    if match is None:
        raise StimulusError(
            f"{line.where}: {short_repr(key)} is no number of a unit. Units are numbered 1, 2, ... or (1), (2), ..."
        )
    return int(match[1])


def _unit(line: Line, key: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise StimulusError(f"{line.where}: unit {key} is {short_repr(text)}. Give a text.")
    return text.strip()


def _options(line: Line) -> list[str]:
    options = line.field("options", list)
    if len(options) < 2 or not all(isinstance(option, str) and option.strip() for option in options):
        raise StimulusError(
            f"{line.where}: 'options' is {short_repr(options)}. It must be a list of two or more texts."
        )
    return [option.strip() for option in options]


def _choices(line: Line, options: list[str]) -> tuple[list[str], int]:
    """The letters of the options where all have one, else the options; and which is right."""
    given = line.field("answer", (list, str))
    first = given[0] if isinstance(given, list) and given else given
    letters = [match[1] for option in options if (match := _LABEL.match(option + " "))]
    choices = letters if len(set(letters)) == len(options) else options
    right = str(first).strip() if isinstance(first, str | int) else ""
    if right in options:
        return choices, options.index(right)
    if right.strip("().: ") in choices:
        return choices, choices.index(right.strip("().: "))
    raise StimulusError(f"{line.where}: the answer {short_repr(given)} is none of the options {short_repr(options)}.")


def _plain(text: str) -> str:
    return " ".join(words_in(text.lower()))
