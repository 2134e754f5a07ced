"""What a perturbation does to answers: clean texts, their variants and their controls, asked of one model and compared by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Json, Progress
from broca.cache.mapping import map_cached
from broca.errors import StatisticsError
from broca.instruments.perturb.stimuli import StudyTexts, Way, source_of
from broca.items import Item, Pair
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.scoring.answers import completion_of, exact_match, grade_answers, number
from broca.scoring.likelihood import Likelihood
from broca.stats.corrections import holm
from broca.stats.intervals import Interval
from broca.stats.pairs import paired_bootstrap, sign_flip_p
from broca.stats.robust import consistency, drop_rate, flips, worst_case
from broca.stimuli.perturb.control import CONTROL

CLEAN = "clean"
ANSWERS = {"id": pl.String, "source": pl.String, "kind": pl.String, "of": pl.String, "group": pl.String, "gold": pl.String,
           "said": pl.String, "correct": pl.Boolean, "unparsed": pl.Boolean}  # fmt: skip
"""One row a text. `kind` is ``clean``, a kind of perturbation, or ``control``; `of`: the kind that a control is for; `said`: the
preferred choice, or the completion."""

_EMPTY = float("nan")
_NUMBERS = ("clean", "perturbed", "drop", "drop_low", "drop_high", "p", "p_holm", "drop_rate", "drop_rate_low", "drop_rate_high",
            "broken_rate", "mended_rate", "same_answer", "unparsed", "control", "over_control", "over_control_low",
            "over_control_high")  # fmt: skip
KINDS = {
    "kind": pl.String,
    "n": pl.Int64,
    "broken": pl.Int64,
    "mended": pl.Int64,
    "controls": pl.Int64,
} | dict.fromkeys(_NUMBERS, pl.Float64)
"""One row a kind. Differences are perturbed minus clean, or minus control, of the same sources; p is of sign flips of groups."""


@dataclass(frozen=True, slots=True)
class _Text:
    id: str
    source: str
    kind: str
    of: str
    pair: Pair
    said: str


@dataclass(frozen=True, slots=True, eq=False)
class _Condition:
    """Texts that are asked together: of one kind, and of controls for one kind."""

    kind: str
    of: str
    texts: tuple[_Text, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """How a model is asked; a task of which each condition is a part."""

    fingerprint: str
    """Of all texts."""
    items: Mapping[str, Item]
    way: Way
    chat: Chat
    max_new_tokens: int

    def key(self, lm: LM, part: _Condition) -> dict[str, Json]:
        return {"cell": "answers", "kind": part.kind, "of": part.of, "texts": self.fingerprint, "condition": list(lm.condition),
                "way": self.way, "chat": self.chat, "max_new_tokens": self.max_new_tokens}  # fmt: skip

    def __call__(self, lm: LM, part: _Condition) -> pl.DataFrame:
        said = self._choose_options(lm, part.texts) if self.way == "choices" else self._generate_answers(lm, part.texts)
        rows = [
            {"id": text.id, "source": text.source, "kind": text.kind, "of": text.of, "group": text.pair.cluster,
             "gold": text.pair.answer, **own}
            for text, own in zip(part.texts, said, strict=True)
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=ANSWERS)

    def _choose_options(self, lm: LM, some: Sequence[_Text]) -> list[dict[str, object]]:
        asked = [replace(self.items[text.source], id=text.id, prompt=text.said) for text in some]
        found = Likelihood(chat=self.chat)(lm, asked)
        return [
            {"said": row["text"], "correct": row["correct"], "unparsed": row["invalid"]}
            for row in found.iter_rows(named=True)
        ]

    def _generate_answers(self, lm: LM, some: Sequence[_Text]) -> list[dict[str, object]]:
        prompts = [text.said for text in some]
        made = lm.generate(prompts, max_new_tokens=self.max_new_tokens, chat=self.chat)
        if all(number(text.pair.answer) is not None for text in some):
            read = grade_answers([text.id for text in some], [text.pair.answer for text in some], made, prompts=prompts)
            return [
                {"said": said, "correct": row["correct"], "unparsed": row["unparsed"]}
                for said, row in zip(made, read.iter_rows(named=True), strict=True)
            ]
        return [
            {
                "said": said,
                "correct": exact_match(completion_of(said, prompt)[0], [text.pair.answer]),
                "unparsed": False,
            }
            for text, said, prompt in zip(some, made, prompts, strict=True)
        ]


def answers(
    lm: LM, texts: StudyTexts, way: Way, *, chat: Chat, max_new_tokens: int, cache: Cache, progress: Progress
) -> pl.DataFrame:
    """`ANSWERS` of every clean text, variant and control.

    Args:
        lm: the model.
        texts: what is asked.
        way: by choices, or by what is generated.
        chat: whether the chat template is used.
        max_new_tokens: of what is generated.
        cache: remembers the answers of each condition.
        progress: told the conditions.
    """
    by_condition: dict[tuple[str, str], list[_Text]] = {}
    for text in _texts(texts):
        by_condition.setdefault((text.kind, text.of), []).append(text)
    conditions = [_Condition(kind, of, tuple(some)) for (kind, of), some in by_condition.items()]
    asking = _Asking(texts.fingerprint, texts.items, way, chat, max_new_tokens)
    parts = []
    for part in map_cached(asking, conditions, lm, cache, lambda done, total: progress("asking", done, total)):
        assert isinstance(part, pl.DataFrame)
        parts.append(part)
    return pl.concat(parts)


def _texts(texts: StudyTexts) -> list[_Text]:
    return [
        *(_Text(name, name, CLEAN, "", pair, pair.clean) for name, pair in texts.clean.items()),
        *(_Text(pair.id, source_of(pair), pair.kind, "", pair, pair.perturbed) for pair in texts.pairs),
        *(_Text(pair.id, source_of(pair), CONTROL, pair.tags["of"], pair, pair.perturbed) for pair in texts.controls),
    ]


def by_kind(answers: pl.DataFrame, kinds: Sequence[str], *, n: int, seed: int) -> pl.DataFrame:
    """`KINDS`: each kind against the same texts clean, and against their controls.

    Args:
        answers: `ANSWERS`.
        kinds: in this order.
        n: resamplings of the bootstrap, whose units are groups.
        seed: of the bootstrap.
    """
    rows = [_kind(answers, kind, {"n": n, "seed": seed}) for kind in kinds]
    for row, q in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = float(q)
    return pl.DataFrame(rows, schema=KINDS)


def _kind(answers: pl.DataFrame, kind: str, boot: Mapping[str, int]) -> dict[str, object]:
    both = _beside(answers, pl.col("kind") == kind, pl.col("kind") == CLEAN)
    a, b, groups = both["correct_right"].to_numpy(), both["correct"].to_numpy(), both["group"].to_numpy()
    turned, change = flips(a, b), _interval(b, a, groups, boot)
    rate = _rate(a, b, groups, boot)
    beside = _beside(answers, pl.col("kind") == kind, (pl.col("kind") == CONTROL) & (pl.col("of") == kind), named=True)
    over = _interval(beside["correct"], beside["correct_right"], beside["group"].to_numpy(), boot)
    return {
        "kind": kind,
        "n": len(both),
        "clean": float(a.mean()),
        "perturbed": float(b.mean()),
        "drop": change.value,
        "drop_low": change.low,
        "drop_high": change.high,
        "p": sign_flip_p(b, a, groups=groups, seed=boot["seed"]),
        "drop_rate": rate.value,
        "drop_rate_low": rate.low,
        "drop_rate_high": rate.high,
        "broken": turned.broken,
        "mended": turned.mended,
        "broken_rate": turned.broken_rate,
        "mended_rate": turned.mended_rate,
        "same_answer": float(consistency([both["said_right"].to_list(), both["said"].to_list()]).mean()),
        "unparsed": float(both["unparsed"].mean()),  # type: ignore[arg-type]
        "controls": len(beside),
        "control": float(beside["correct_right"].mean()) if len(beside) else _EMPTY,  # type: ignore[arg-type]
        "over_control": over.value,
        "over_control_low": over.low,
        "over_control_high": over.high,
    }


def _beside(answers: pl.DataFrame, which: pl.Expr, other: pl.Expr, *, named: bool = False) -> pl.DataFrame:
    """Rows of one condition with those of another beside them, of the same source or, `named`, of the same pair."""
    right = answers.filter(other).with_columns(pl.col("id").str.strip_suffix(f"/{CONTROL}"))
    on = "id" if named else "source"
    return answers.filter(which).join(right, on=on, how="inner", maintain_order="left")


def _interval(a: object, b: object, groups: np.ndarray, boot: Mapping[str, int]) -> Interval:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    try:
        return paired_bootstrap(x, y, groups=groups, **boot)
    except StatisticsError:
        return Interval(float((x - y).mean()) if len(x) else _EMPTY, _EMPTY, _EMPTY)


def _rate(a: np.ndarray, b: np.ndarray, groups: np.ndarray, boot: Mapping[str, int]) -> Interval:
    try:
        return drop_rate(a, b, groups=groups, **boot)
    except StatisticsError:
        return Interval(float(1 - b.sum() / a.sum()) if a.any() else _EMPTY, _EMPTY, _EMPTY)


def worst(answers: pl.DataFrame, kinds: Sequence[str]) -> float:
    """The share of the texts that have every kind which are right clean and under each of them; NaN where there is none."""
    wide = (
        answers.filter(pl.col("kind").is_in([CLEAN, *kinds]))
        .pivot("kind", index="source", values="correct")
        .drop_nulls()
    )
    return float(worst_case({name: wide[name].to_numpy() for name in wide.columns[1:]}).mean()) if len(wide) else _EMPTY
