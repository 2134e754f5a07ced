"""What a probe reads from attention: scores with their controls, by layer and by head. Features in, tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from broca.instruments.probe.statements import Floats, Ints, Statements
from broca.stats.f1 import (
    by_cluster,
    confusion,
    difference_interval,
    f1_interval,
    f1_of_classes,
    macro_f1,
    probing_score,
    score_interval,
)
from broca.stats.intervals import Interval
from broca.stats.nulls import empirical_p
from broca.stats.probing import (
    Classifier,
    Votes,
    control_labels,
    folds,
    margins,
    nested_scores,
    predictions,
    shuffle_within,
    waiting,
)

TARGETS = ("useful", "step")
SYMBOLS = {"useful": "S_P1", "step": "S_P2"}
CHUNK = 25
"""Labellings that are voted on at once."""

PublishedScores = Mapping[str, Mapping[str, float | None]]
"""F1 and probing score of each target; None where there are too few rows."""
UNPUBLISHED: Mapping[str, float | None] = {"f1_published": None, "score_published": None}


@dataclass(frozen=True, slots=True)
class How:
    """What is done to every target alike."""

    classifier: Classifier
    layers: Literal["all", "nested"]
    folds: int
    permutations: int
    n_bootstrap: int
    seed: int


@dataclass(frozen=True, eq=False)
class Target:
    """One question about statements, its labels, and the features of the model and its untrained twins."""

    name: str
    statements: Statements
    own: Floats
    """``(row, layer, head)`` of every statement."""
    twins: tuple[Floats, ...]
    how: How

    @cached_property
    def _target(self) -> tuple[np.ndarray, Ints]:
        return self.statements.target(self.name)

    @property
    def rows(self) -> np.ndarray:
        """Which statements the question is about."""
        return self._target[0]

    @property
    def y(self) -> Ints:
        """The class of each."""
        return self._target[1]

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1 if len(self.y) else 0

    @property
    def group(self) -> Ints:
        """The theory of each row."""
        return self.statements.group[self.rows]

    @property
    def text(self) -> Ints:
        """The tree of each row."""
        return self.statements.text[self.rows]

    @property
    def why_undefined(self) -> str | None:
        """Why there is no score; None where there is one."""
        if len(np.unique(self.y)) < 2:
            only = "useful" if self.name == "useful" else "of one step"
            return f"every statement asked about is {only}, so there is nothing to tell apart"
        if len(np.unique(self.group)) < self.how.folds:
            return f"there are fewer theories than the {self.how.folds} folds"
        return None

    @cached_property
    def theory_folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Folds that keep theories whole."""
        return folds(len(self.y), self.group, k=self.how.folds, seed=self.how.seed)

    def votes(self, values: Floats, parts: Any = None, classifier: Classifier | None = None) -> Votes:
        """The classifier on features of every statement, ready for labels."""
        x = values[self.rows].reshape(len(self.y), -1)
        return waiting(x, parts or self.theory_folds, classifier or self.how.classifier)

    def guesses(self, votes: Votes) -> Ints:
        """Out-of-fold classes."""
        return predictions(votes(self.y[None], self.n_classes)[0])

    def f1(self, votes: Votes, y: Ints) -> Floats:
        """Macro-F1 of labellings ``(labelling, row)``."""
        parts = (y[start : start + CHUNK] for start in range(0, len(y), CHUNK))
        return np.concatenate(
            [macro_f1(confusion(part, predictions(votes(part, self.n_classes)), self.n_classes)) for part in parts]
        )

    def clusters(self, guess: Ints, y: Ints | None = None) -> np.ndarray:
        """Confusion counts of each theory."""
        return by_cluster(self.y if y is None else y, guess, self.group, self.n_classes)


@dataclass(frozen=True, eq=False)
class TargetScore:
    """The score of a target with everything that qualifies it."""

    target: Target
    row: dict[str, Any]
    """Of the table of scores."""
    controls: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    predicted: Ints | None
    margin: Floats | None
    """By how much each row's true class outscores the best other one, out of fold."""

    @property
    def name(self) -> str:
        return self.target.name


def score_target(target: Target) -> TargetScore:
    """Score a target; where it is undefined, say why."""
    how = target.how
    empty = {
        "target": target.name,
        "symbol": SYMBOLS[target.name],
        "n": len(target.y),
        "undefined": target.why_undefined,
    }
    if target.why_undefined:
        return TargetScore(target, _SCORES | empty, [], [], None, None)
    votes, chosen = target.votes(target.own), ""
    if how.layers == "nested":
        scores, names = _nested_scores(target, target.own)
        chosen = ", ".join(names)
    else:
        scores = votes(target.y[None], target.n_classes)[0]
    guess = predictions(scores)
    twin_votes = [target.votes(values) for values in target.twins]
    twin_guess = [
        predictions(_nested_scores(target, values)[0]) if how.layers == "nested" else target.guesses(waits)
        for values, waits in zip(target.twins, twin_votes, strict=True)
    ]
    table = target.clusters(guess)
    twin_tables = [target.clusters(each) for each in twin_guess]
    f1 = f1_interval(table, n=how.n_bootstrap, seed=how.seed)
    score = _score(table, twin_tables, how)
    random = [float(macro_f1(each.sum(0))) for each in twin_tables]
    mixed = shuffle_within(target.y, target.text, n=how.permutations, seed=how.seed)
    null = target.f1(votes, mixed) if how.permutations else np.zeros(0)
    row = _SCORES | empty | _interval("f1", f1) | _interval("score", score)
    row |= {
        "classes": [float(each) for each in f1_of_classes(table.sum(0))],
        "f1_random": float(np.mean(random)) if random else None,
        "f1_random_all": random,
        "score_random_all": [float(each) for each in _leave_one_out(random)],
        "p_learned": float(empirical_p(f1.value, random, "greater")) if random else None,
        "p": float(empirical_p(f1.value, null, "greater")) if len(null) else None,
        "layers_chosen": chosen,
        **_row_folds(target),
    }
    controls = _controls(target, votes, twin_votes, mixed, null)
    row["margin"] = next((f1.value - each["f1"] for each in controls if each["control"] == "control task"), None)
    return TargetScore(target, row, controls, _baselines(target), guess, margins(scores, target.y))


_SCORES: dict[str, Any] = dict.fromkeys(
    ("target", "symbol", "n", "undefined", "f1", "f1_low", "f1_high", "score", "score_low", "score_high", "f1_random", "p",
     "p_learned", "margin", "f1_rows", "score_rows")
) | {"classes": [], "f1_random_all": [], "score_random_all": [], "layers_chosen": ""}  # fmt: skip


def _interval(name: str, found: Interval | None) -> dict[str, float | None]:
    low_high = (None, None, None) if found is None else (found.value, found.low, found.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), low_high, strict=True))


def _score(table: np.ndarray, twins: Sequence[np.ndarray], how: How) -> Interval | None:
    return score_interval(table, twins, n=how.n_bootstrap, seed=how.seed) if twins else None


def _leave_one_out(random: Sequence[float]) -> Floats:
    """The probing score of each untrained network against the mean of the others: what scores from nothing look like."""
    values = np.asarray(random, np.float64)
    if len(values) < 2:
        return np.zeros(0)
    return probing_score(values, (values.sum() - values) / (len(values) - 1))


def _nested_scores(target: Target, values: Floats) -> tuple[Floats, tuple[str, ...]]:
    """Out-of-fold scores of the best layers, which each fold chooses among single ones, prefixes and all."""
    x, n_layers = values[target.rows], values.shape[1]
    candidates = {"all": x.reshape(len(x), -1)}
    candidates |= {f"layer {layer}": x[:, layer] for layer in range(n_layers)}
    candidates |= {f"layers 0-{layer}": x[:, : layer + 1].reshape(len(x), -1) for layer in range(1, n_layers - 1)}
    how = target.how
    return nested_scores(candidates, target.y, target.group, how.classifier, k=how.folds, seed=how.seed)


def _row_folds(target: Target) -> dict[str, float | None]:
    """The same with folds that tear theories apart: the difference is what leaks."""
    parts = folds(len(target.y), k=target.how.folds, seed=target.how.seed)

    def f1(values: Floats) -> float:
        return float(target.f1(target.votes(values, parts), target.y[None])[0])

    own, random = f1(target.own), [f1(values) for values in target.twins]
    return {"f1_rows": own, "score_rows": float(probing_score(own, np.mean(random))) if random else None}


def _controls(target: Target, votes: Votes, twins: Sequence[Votes], mixed: Ints, null: Floats) -> list[dict[str, Any]]:
    rows = []

    def add(control: str, f1: float, random: Sequence[float]) -> None:
        mean = float(np.mean(random)) if random else None
        score = None if mean is None else float(probing_score(f1, mean))
        rows.append({"target": target.name, "control": control, "f1": f1, "f1_random": mean, "score": score})

    if len(null):
        add("permuted labels", float(null.mean()), [float(target.f1(waits, mixed).mean()) for waits in twins])
    said = [said for said, kept in zip(target.statements.said, target.rows, strict=True) if kept]
    labels = control_labels(target.y, said, seed=target.how.seed)
    if len(np.unique(labels)) == target.n_classes:
        own, *random = (float(target.f1(waits, labels[None])[0]) for waits in (votes, *twins))
        add("control task", own, random)
    wrong = target.statements.of_another()
    if wrong is not None:
        other = replace(target, statements=_with_heights(target.statements, wrong))
        if other.why_undefined is None:
            add("tree of another theory", *_f1_of(other))
    return rows


def _with_heights(statements: Statements, height: Ints) -> Statements:
    return replace(statements, height=height)


def _f1_of(target: Target) -> tuple[float, list[float]]:
    found = [float(target.f1(target.votes(values), target.y[None])[0]) for values in (target.own, *target.twins)]
    return found[0], found[1:]


def _baselines(target: Target) -> list[dict[str, Any]]:
    """What is known of statements without a model, put to the same classifier in the same folds, and what attention adds to it."""
    how, classifier = target.how, replace(target.how.classifier, standardise=True)
    own, rows = target.own.reshape(len(target.own), -1), []
    for name, x in target.statements.surface().items():
        alone, both = (
            target.clusters(target.guesses(target.votes(part, classifier=classifier)))
            for part in (x, np.column_stack([x, own]))
        )
        gain = difference_interval(both, alone, n=how.n_bootstrap, seed=how.seed)
        f1 = {"f1": float(macro_f1(alone.sum(0))), "f1_with": float(macro_f1(both.sum(0)))}
        rows.append({"target": target.name, "baseline": name, **f1, **_interval("gain", gain)})
    return rows
