"""ProofWriter's theories (Tafjord, Dalvi & Clark, 2021), read from the ``meta-*.jsonl`` files that its users have.

A line is a theory: ``triples`` (facts) and ``rules`` by name, and ``questions``, each with its answer and proofs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from broca.errors import StimulusError
from broca.items import CONCLUSION, Tree
from broca.stimuli.options import expand_home
from broca.stimuli.tables import short_repr
from broca.stimuli.trees.files import Line, Reading, lines, trees_of
from broca.stimuli.trees.prompts import add_demos, add_question, check_demos, join_statements
from broca.stimuli.trees.proofs import Proof, is_alternative, is_failure, proof

ANSWERS = (" True", " False")


def read(
    path: str | Path,
    *,
    depth: int | None = None,
    statements: int | None = None,
    n: int | None = None,
    seed: int = 0,
    shuffled: bool = False,
    paper_compat: bool = False,
    demos: int = 0,
    demos_path: str | None = None,
) -> Reading:
    """The questions that have exactly one proof, and what was left out.

    Left out are questions without a proof, with proofs that rest on failure (NAF), with several (OR), of other depths or
    sizes than asked for, and with proofs that use a rule twice in a row of steps, whose steps have no order.

    Args:
        path: of the file.
        depth: only questions of this depth (QDep).
        statements: only theories of so many facts and rules.
        n: at most so many, drawn at random.
        seed: of the draw and the shuffling.
        shuffled: statements in random order (the same for every question of a theory), instead of facts before rules.
        paper_compat: labels and prompt of the released code: statements run together, the first `depth` edges of a
            proof alone count (in the order in which its parser met them), and heights are counted from the root; proofs
            with fewer than depth + 1 nodes are left out.
        demos: solved questions before each prompt, as in the published ones; with `paper_compat` alone.
        demos_path: where they are drawn from; the file itself when None. Published is the training file.

    Raises:
        StimulusError: if the file is malformed; the message names its line.
    """
    check_demos(demos, paper_compat=paper_compat)
    found: list[Tree] = []
    left_out: Counter[str] = Counter()
    for number, line in enumerate(lines(expand_home(path))):
        theory = _Theory.of(line)
        if shuffled:
            theory.shuffle(np.random.default_rng([seed, number]))
        if statements not in (None, len(theory.texts)):
            left_out["of another size"] += len(line.field("questions", dict))
            continue
        for name, question in line.inside("questions"):
            made = _tree(theory, name, question, depth, paper_compat=paper_compat)
            if isinstance(made, Tree):
                found.append(made)
            else:
                left_out[made] += 1
    kept = Reading.of(found, left_out, n=n, seed=seed)
    if not demos:
        return kept
    pool = _solved_questions(expand_home(demos_path or path))
    return replace(kept, trees=add_demos(kept.trees, pool, demos, seed))


proofwriter = trees_of(read)
"""The questions of one ``meta-*.jsonl`` that have exactly one proof; see `read`."""


def _solved_questions(path: Path) -> list[str]:
    """Every question of a file that has a proof, none by failure, with its answer, as published prompts show them."""
    return [
        f"{line.text('theory')} {question.text('question')}: True or False?{question.cells['answer']}\n"
        for line in lines(path)
        for _, question in line.inside("questions")
        if question.cells.get("QLen") != ""
        and question.field("answer", (bool, str)) in (True, False)
        and not is_failure(question.field("proofs", str))
    ]


class _Theory:
    """The statements of one line: name to text, in order."""

    def __init__(self, name: str, texts: dict[str, str], kinds: dict[str, str]) -> None:
        self.name, self.texts, self.kinds = name, texts, kinds

    @classmethod
    def of(cls, line: Line) -> _Theory:
        texts: dict[str, str] = {}
        kinds: dict[str, str] = {}
        for part, kind in (("triples", "fact"), ("rules", "rule")):
            for key, inner in line.inside(part):
                if key in texts:
                    raise StimulusError(f"{line.where}: {key!r} is the name of two statements. Rename one.")
                texts[key], kinds[key] = inner.text("text"), kind
        name = str(line.cells.get("id", line.where.rpartition(" ")[2]))
        return cls(name, texts, kinds)

    def shuffle(self, rng: np.random.Generator) -> None:
        keys = list(self.texts)
        self.texts = {keys[i]: self.texts[keys[i]] for i in rng.permutation(len(keys))}


def _tree(theory: _Theory, name: str, line: Line, depth: int | None, *, paper_compat: bool) -> Tree | str:
    """The tree of a question, or why it is left out."""
    text, answer, level = line.text("question"), line.field("answer", (bool, str)), line.field("QDep", int)
    proofs = line.field("proofs", str)
    if level < 0:
        raise StimulusError(f"{line.where}: 'QDep' is {level}. It must be 0 or more.")
    reasons = (
        ("of another depth", depth not in (None, level)),
        (
            "without a proof",
            line.cells.get("QLen") == "" or answer not in (True, False) or proofs.strip() in ("", "[]"),
        ),
        ("proved by failure", is_failure(proofs)),
        ("with several proofs", is_alternative(proofs)),
    )
    if reason := next((reason for reason, applies in reasons if applies), None):
        return reason
    steps = _steps(theory, line, proofs, paper_compat=paper_compat)
    if paper_compat:
        steps = replace(steps, edges=steps.edges[:level])
        if len(steps.nodes) < level + 1:
            return "with too short a proof"
    if not steps.is_ordered:
        return "with a rule that rests on itself"
    place = {key: i for i, key in enumerate(theory.texts)}
    edges = named_edges(steps, place)
    prompt, spans = join_statements(list(theory.texts.values()), between="" if paper_compat else " ")
    tail = f" {text} True or False?" if paper_compat else f"\nQuestion: {text} True or false?\nAnswer:"
    prompt, query = add_question(prompt, tail, whole=paper_compat)
    return Tree(
        id=f"{theory.name}/{name}",
        text=prompt,
        statements=spans,
        query=query,
        edges=edges,
        choices=ANSWERS,
        answer=0 if answer else 1,
        group=theory.name,
        kinds=tuple(theory.kinds[key] for key in theory.texts),
        counted="root" if paper_compat else "leaf",
        tags={"task": "proofwriter", "depth": str(level), "statements": str(len(spans))},
    )


def _steps(theory: _Theory, line: Line, proofs: str, *, paper_compat: bool) -> Proof:
    try:
        steps = proof(proofs, paper_compat=paper_compat)
    except StimulusError as error:
        raise StimulusError(f"{line.where}: {error}") from error
    for node in steps.nodes:
        if node not in theory.texts:
            raise StimulusError(
                f"{line.where}: the proof names {short_repr(node)}, which is no triple or rule of its theory. Correct it."
            )
    return steps


def named_edges(steps: Proof, place: dict[str, int]) -> tuple[tuple[int, int], ...]:
    """The edges of a proof between the places of statements by name, and from each node that nothing takes to the conclusion."""
    taken = {source for source, _ in steps.edges}
    return (
        *((place[source], place[target]) for source, target in steps.edges),
        *((place[node], CONCLUSION) for node in steps.nodes if node not in taken),
    )
