"""What a study of perturbations says: claim, guards, warnings, method, and the texts that the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import binomtest

from broca.evidence.duplicates import warn_of_near_duplicates
from broca.evidence.effects import limits, points
from broca.evidence.guards import too_few
from broca.evidence.token_effects import LONGEST
from broca.evidence.verdict import Guard
from broca.instruments.perturb.answers import CLEAN
from broca.instruments.perturb.cases import FlippedPair, Left
from broca.instruments.perturb.grid import Floats
from broca.instruments.perturb.stimuli import StudyTexts, Way
from broca.instruments.perturb.tables import EXAMPLES
from broca.models.lm import LM
from broca.models.surprise import token_surprise
from broca.page.numbers import limits as share_limits
from broca.page.numbers import number, p_value

CITATIONS = (
    "Zhang & Nanda (2024), Towards best practices of activation patching in language models, ICLR.",
    "Meng et al. (2022), Locating and editing factual associations in GPT, NeurIPS.",
    "Nanda (2023), Attribution patching: activation patching at industrial scale.",
    "Tsuji et al. (2025), Investigating neurons and heads in Transformer-based LLMs for typographical errors, EMNLP.",
    "Zhu et al. (2023), PromptBench, arXiv 2306.04528.",
    "Fisher (1935), The design of experiments.",
    "Holm (1979), Scand J Stat 6:65-70.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Crawford & Howell (1998), Clin Neuropsychol 12:482-486.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
)


def best(recovery: pl.DataFrame) -> dict[str, Any] | None:
    """The patch of the residual stream at the edited word that restores most; None where nothing was patched."""
    own = recovery.filter(
        (pl.col("direction") == "restore") & (pl.col("donor") == "own") & (pl.col("kind") == "resid_post")
    )
    own = own.filter(pl.col("at") == "edited").drop_nulls("share").filter(pl.col("share").is_not_nan())
    return own.sort("share", descending=True).row(0, named=True) if len(own) else None


def other(recovery: pl.DataFrame, row: dict[str, Any]) -> float | None:
    """What the same patch restores from another text's run."""
    own = recovery.filter(
        (pl.col("donor") == "other")
        & (pl.col("layer") == row["layer"])
        & (pl.col("at") == row["at"])
        & (pl.col("kind") == row["kind"])
    )
    return float(own["share"][0]) if len(own) else None


def claim(model: str, kinds: pl.DataFrame, recovery: pl.DataFrame, sentence: str) -> str:
    """The result in one sentence."""
    worst = kinds.sort("drop").row(0, named=True)
    hurting = kinds.filter((pl.col("p_holm") <= 0.05) & (pl.col("drop") < 0))
    told = (
        f"{len(hurting)} of {len(kinds)} kinds of perturbation cost {model} answers (sign flips, Holm); most {worst['kind']!r}: from "
        f"{worst['clean']:.1%} to {worst['perturbed']:.1%}, by {points(worst['drop'])} {limits(worst['drop_low'], worst['drop_high'])}."
    )
    row = best(recovery)
    if row is not None:
        beside = other(recovery, row)
        told += (
            f" Where an answer turned, the clean run's residual stream at the edited word restores {row['share']:.0%} "
            f"{share_limits(row['low'], row['high'], '.0%')} of the lost logit difference after layer {row['layer']}"
            + ("." if beside is None else f"; another text's run {number(beside, '.0%')}.")
        )
    return f"{told} {sentence}".strip()


def estimate(recovery: pl.DataFrame) -> dict[str, Any] | None:
    """The best recovery at the edited word, with its interval."""
    row = best(recovery)
    if row is None:
        return None
    return {
        "value": row["share"],
        "low": row["low"],
        "high": row["high"],
        "unit": "share restored at the edited word",
        "n": row["n"],
    }


def gate(answers: pl.DataFrame, texts: StudyTexts, way: Way) -> Guard:
    """Does the model have the ability at all when texts are clean? What is generated is right by chance hardly ever."""
    clean = answers.filter(pl.col("kind") == CLEAN)
    right, n = int(clean["correct"].sum()), len(clean)
    chance = float(np.mean([1 / len(item.choices) for item in texts.items.values()])) if way == "choices" else 0.0
    p = float(binomtest(right, n, chance, alternative="greater").pvalue if chance else right == 0)
    text = f"The model answers {right / n:.1%} of {n} clean texts" + (
        f" (chance {chance:.1%}, {p_value(p)})." if chance else "."
    )
    if p <= 0.05:
        return Guard("gate", "passed", text)
    why = too_few(n, chance, 0.05) or "It does not have the ability that mistakes could cost."
    return Guard("gate", "marked", f"{text} {why}")


def warnings(kinds: pl.DataFrame, left: Left, texts: StudyTexts) -> tuple[str, ...]:
    """What a reader must know."""
    out = []
    wordings = len({pair.cluster for pair in texts.pairs})
    if wordings < 20:
        out.append(
            f"The texts have {wordings} wordings: intervals resample wordings, and 20 are needed for them to be worth reading."
        )
    if left.same_start:
        out.append(
            f"{left.same_start} turned texts were not patched: their two answers cannot be told apart by one token."
        )
    silent = kinds.filter(pl.col("unparsed") > 0.05)["kind"].to_list()
    if silent:
        out.append(f"More than 5 % of the answers could not be read under {', '.join(silent)}: these count as wrong.")
    clean = {pair.clean: pair.cluster for pair in texts.pairs}
    return (*out, *warn_of_near_duplicates("texts", [*clean], [*clean.values()]))


def examples(lm: LM, cases: Sequence[FlippedPair], lost: Floats, n: int) -> pl.DataFrame:
    """The tokens of the texts that lost most, one of each kind first, and how much more or less probable the mistake makes them."""
    order = sorted(range(len(lost)), key=lambda i: -lost[i])
    seen: set[str] = set()
    first = [i for i in order if cases[i].pair.kind not in seen and not seen.add(cases[i].pair.kind)]
    chosen = [*first, *(i for i in order if i not in set(first))][:n]
    rows = [row for i in chosen for row in _tokens(lm, cases[i], float(lost[i]))]
    return pl.DataFrame(rows, schema={name: field.dtype for name, field in EXAMPLES.columns.items()})


def _changes(lm: LM, one: FlippedPair) -> dict[int, float]:
    """Log-probability, less that in the clean text, of each token of the perturbed text that both have; nothing of a very long text."""
    texts = [one.case.donor, one.case.run]
    if max(map(len, texts)) > LONGEST:
        return {}
    clean, perturbed = token_surprise(lm, texts)
    return {j: float(clean[i - 1] - perturbed[j - 1]) for i, j in one.aligned.matched if i and j}


def _tokens(lm: LM, one: FlippedPair, lost: float) -> list[dict[str, object]]:
    rows, changes = [], _changes(lm, one)
    matched = [{i for i, _ in one.aligned.matched}, {j for _, j in one.aligned.matched}]
    for side, ids, classes, same in (
        ("clean", one.case.donor.ids, one.aligned.clean, matched[0]),
        ("perturbed", one.case.run.ids, one.aligned.perturbed, matched[1]),
    ):
        texts = _pieces(lm, ids[: len(classes)])
        rows += [
            {"id": one.pair.id, "kind": one.pair.kind, "side": side, "place": place, "text": text, "class": name,
             "matched": place in same, "right": one.right, "wrong": one.wrong, "lost": lost,
             "change": changes.get(place) if side == "perturbed" else None}
            for place, (name, text) in enumerate(zip(classes, texts, strict=True))
        ]  # fmt: skip
    return rows


def _pieces(lm: LM, ids: Sequence[int]) -> list[str]:
    """What each token says; a character that several tokens share stands at the last of them."""
    found, waiting = [], list[int]()
    for token in ids:
        waiting.append(token)
        text = lm.tokenizer.decode(waiting)
        if _BROKEN in text and len(waiting) < _BYTES:
            found.append("")
            continue
        found.append(text)
        waiting = []
    return found


_BROKEN, _BYTES = "\ufffd", 4
"""What stands for a character that is not whole, and how many bytes one has at most."""
