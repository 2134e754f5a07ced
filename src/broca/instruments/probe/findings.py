"""What a probe found, in words and tables: rungs, claim, warnings, and the trees that the report draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from broca.evidence.guards import too_few
from broca.evidence.rungs import learned, selective
from broca.evidence.rungs import reliable as reliable_rung
from broca.evidence.verdict import Guard, Rung
from broca.instruments.probe.scores import UNPUBLISHED, PublishedScores, TargetScore
from broca.instruments.probe.statements import Floats, Statements
from broca.items import CONCLUSION
from broca.page.numbers import limits, number, p_value
from broca.stats.reliability import SplitHalf

CITATIONS = (
    "Hou et al. (2023), Towards a mechanistic interpretation of multi-step reasoning capabilities of language models, EMNLP.",
    "Hewitt & Liang (2019), Designing and interpreting probes with control tasks, EMNLP.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Benjamini & Hochberg (1995), J R Stat Soc B 57:289-300.",
    "Liang & Zeger (1986), Biometrika 73:13-22.",
)

CONTROLS = {"target": pl.String, "control": pl.String} | dict.fromkeys(("f1", "f1_random", "score"), pl.Float64)
BASELINES = {"target": pl.String, "baseline": pl.String} | dict.fromkeys(
    ("f1", "f1_with", "gain", "gain_low", "gain_high"), pl.Float64
)
_TEXT, _LIST = ("target", "symbol", "undefined", "layers_chosen"), ("classes", "f1_random_all", "score_random_all")


ASKED = {"useful": "which statements are useful", "step": "which step a useful statement belongs to"}


def score_table(found: Sequence[TargetScore], published: PublishedScores | None = None) -> pl.DataFrame:
    """One row a target, with the published scores beside ours where there are any."""
    rows = [each.row | dict((published or {}).get(each.target.name, UNPUBLISHED)) for each in found]
    schema = {
        name: pl.String if name in _TEXT else pl.List(pl.Float64) if name in _LIST else pl.Float64 for name in rows[0]
    }
    return pl.DataFrame(rows, schema=schema | {"n": pl.Int64})


def prediction_table(found: Sequence[TargetScore], statements: Statements) -> pl.DataFrame:
    """One row a statement and target: its true class, the one predicted out of fold, and the margin."""
    names = np.array([tree.id for tree in statements.trees])
    parts = []
    for each in found:
        if each.predicted is None or each.margin is None:
            continue
        rows = each.target.rows
        parts.append(
            pl.DataFrame(
                {"target": [each.target.name] * len(each.predicted), "tree": statements.text[rows],
                 "id": names[statements.text[rows]], "statement": statements.place[rows], "group": statements.group[rows],
                 "true": each.target.y, "predicted": each.predicted, "margin": each.margin},
                schema=_PREDICTIONS,
            )
        )  # fmt: skip
    return pl.concat(parts) if parts else pl.DataFrame(schema=_PREDICTIONS)


_PREDICTIONS = {"target": pl.String, "tree": pl.Int64, "id": pl.String, "statement": pl.Int64, "group": pl.Int64,
                "true": pl.Int64, "predicted": pl.Int64, "margin": pl.Float64}  # fmt: skip


def margins_of_trees(found: Sequence[TargetScore], statements: Statements) -> dict[str, Floats]:
    """Mean out-of-fold margin of each tree's rows, by target; NaN where it has none."""
    n = len(statements.trees)
    out = {}
    for each in found:
        if each.margin is not None:
            count = np.bincount(each.target.text, minlength=n)
            sums = np.bincount(each.target.text, each.margin, minlength=n)
            out[each.target.name] = np.divide(sums, count, out=np.full(n, np.nan), where=count > 0)
    return out


def rungs(found: Sequence[TargetScore], reliable: SplitHalf | None, *, alpha: float) -> tuple[Rung, ...]:
    """The first three rungs: over shuffled labels and surface, over halves, over untrained networks."""
    defined = [each for each in found if not each.row["undefined"]]
    if not defined:
        why = "; ".join(f"{each.row['symbol']}: {each.row['undefined']}" for each in found)
        return tuple(
            Rung(name, "not tested", f"No score is defined ({why}).", {})
            for name in ("selective", "reliable", "learned")
        )
    return (
        selective.probe_scores(defined, ASKED, shuffles=defined[0].target.how.permutations, alpha=alpha),
        _halves_agree(reliable),
        learned.probe_scores(defined, alpha),
    )


def _halves_agree(halves: SplitHalf | None) -> Rung:
    if halves is None:
        few = "Too few heads or theories for the maps of two halves: 3 heads and 4 theories are the fewest."
        return Rung("reliable", "undecided", few, {})
    return reliable_rung.map_agreement(halves, "which heads look at useful statements", "theories")


def guards_of(statements: Statements, answers: pl.DataFrame, kept: Floats) -> tuple[Guard, ...]:
    """Does the model have the ability, and do features vary?"""
    right, n = int(answers["correct"].sum()), len(answers)
    chance = float(np.mean([1 / len(tree.choices) for tree in statements.trees]))
    p = float(binomtest(right, n, min(chance, 1.0), alternative="greater").pvalue)
    text = f"The model answers {right / n:.1%} of {n} trees (chance {chance:.1%}, {p_value(p)})."
    able, few = p <= 0.05 and chance < 1, too_few(n, chance, 0.05)
    if not able:
        text += (
            f" {few}"
            if few
            else " It does not have the ability, so what is read from its attention did not lead to answers."
        )
    still = int((kept.std(0) == 0).sum())
    moves = f"{still} of {kept[0].size} heads give every statement the same attention."
    return (
        Guard("gate", "passed" if able else "marked", text),
        Guard("degenerate statistic", "marked" if still else "passed", moves),
    )


def warnings(found: Sequence[TargetScore]) -> tuple[str, ...]:
    """What a reader must know: undefined scores, leakage between rows of one theory."""
    out = [f"{each.row['symbol']} is undefined: {each.row['undefined']}." for each in found if each.row["undefined"]]
    for each in found:
        row = each.row
        if not row["undefined"] and row["f1_rows"] - row["f1"] > 0.02:
            out.append(
                f"{row['symbol']}: folds that tear theories apart give F1 {number(row['f1_rows'], '.3f')} instead of {number(row['f1'], '.3f')}: "
                "the difference is leakage between statements of one theory."
            )
    return tuple(out)


def claim(found: Sequence[TargetScore], model: str, task: str, sentence: str) -> str:
    """The result in one sentence."""
    parts = []
    for each in found:
        row = each.row
        if row["undefined"] or row["score"] is None:
            parts.append(f"{row['symbol']} ({ASKED[each.target.name]}) is undefined")
            continue
        band = row["score_random_all"]
        parts.append(
            f"{row['symbol']} = {number(row['score'])} {limits(row['score_low'], row['score_high'])} ({ASKED[each.target.name]}; "
            f"random networks {number(min(band, default=0), '+.2f')} to {number(max(band, default=0), '+.2f')})"
        )
    return f"Read from the attention of {model} on {task}: {' and '.join(parts)}. {sentence}"


def estimate(found: Sequence[TargetScore]) -> dict[str, Any] | None:
    """The first defined score with its interval."""
    row = next((each.row for each in found if each.row["score"] is not None), None)
    if row is None:
        return None
    return {
        "value": row["score"],
        "low": row["score_low"],
        "high": row["score_high"],
        "unit": row["symbol"],
        "n": row["n"],
    }


def task_summary(task: str, statements: Statements) -> dict[str, Any]:
    """The task in numbers."""
    heights = np.bincount(statements.height)
    return {
        "name": task,
        "trees": len(statements.trees),
        "theories": int(statements.group.max()) + 1,
        "statements": len(statements.text),
        "useful": int((statements.height > 0).sum()),
        "of_step": {f"{step}": int(n) for step, n in enumerate(heights) if step},
        "example": statements.trees[0].text,
    }


def plot_rows(
    n: int,
    found: Sequence[TargetScore],
    statements: Statements,
    answers: pl.DataFrame,
    *,
    kept: Floats,
    layers: Sequence[int],
) -> pl.DataFrame:
    """One row a statement of n trees, spread over all: what the probe said of it, and its attention in each layer."""
    guess: dict[tuple[str, int], int] = {}
    for each in found:
        if each.predicted is not None:
            at = np.flatnonzero(each.target.rows)
            guess |= {(each.target.name, int(row)): int(value) for row, value in zip(at, each.predicted, strict=True)}
    rows = []
    for text in np.unique(np.linspace(0, len(statements.trees) - 1, n).astype(int)) if n else ():
        tree = statements.trees[text]
        own = np.flatnonzero(statements.text == text)
        for place, row in enumerate(own):
            step = guess.get(("step", int(row)))
            rows.append(
                {"tree": int(text), "id": tree.id, "question": tree.text[slice(*tree.query)],
                 "answer": tree.choices[tree.answer].strip(), "correct": bool(answers["correct"][int(text)]), "statement": place,
                 "said": statements.said[row], "height": int(statements.height[row]),
                 "targets": [target for source, target in tree.edges if source == place and target != CONCLUSION],
                 "last": (place, CONCLUSION) in tree.edges, "found_useful": bool(guess.get(("useful", int(row)), 0)),
                 "found_step": None if step is None else step + 1, "layers": list(layers),
                 "attention": kept[row].mean(1).tolist()}
            )  # fmt: skip
    return pl.DataFrame(rows, schema=_DRAWN)


_DRAWN = {"tree": pl.Int64, "id": pl.String, "question": pl.String, "answer": pl.String, "correct": pl.Boolean,
          "statement": pl.Int64, "said": pl.String, "height": pl.Int64, "targets": pl.List(pl.Int64), "last": pl.Boolean,
          "found_useful": pl.Boolean, "found_step": pl.Int64, "layers": pl.List(pl.Int64),
          "attention": pl.List(pl.Float64)}  # fmt: skip
