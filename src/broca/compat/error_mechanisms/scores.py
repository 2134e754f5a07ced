"""Scores of the completions in old captures: what the README of Error Mech Analysis promised as ``score_scripts.py``.

A capture holds prompt and completion in one text and no word of its kind. Here the prompt file says what was asked: the kind
is the one whose prompts begin the texts, the prompt is cut off, and what is scored is the completion after the clean question.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from broca.compat.error_mechanisms.captures import old_captures
from broca.errors import RunError, StimulusError
from broca.items import cluster
from broca.models.embedding import Embedder
from broca.models.reward import RewardModel
from broca.scoring.answers import completion_of, grade_answers, rates
from broca.scoring.completions import Completion, score_differences, score_summary
from broca.scoring.judge import RUBRIC, Rubric, judge_completions
from broca.scoring.reward import rewards
from broca.scoring.semantic import CLEAN, similarities
from broca.scoring.writers import Writer
from broca.stimuli.perturb.entries import Entry, entries
from broca.storage import write, writing

_ROLE = re.compile(r"\s*(?:model|assistant)\s*\n")
"""What a chat template leaves between prompt and completion when its special tokens are removed."""

_READ = ("first_correct", "last_correct", "unparsed")


@dataclass(frozen=True, slots=True)
class Condition:
    """The completions of one folder."""

    kind: str
    """``clean``, or the name of the kind in the prompt file."""
    completions: tuple[Completion, ...]
    gold: tuple[str, ...]
    """Right answers; nothing where the prompt file has none."""
    sources: tuple[tuple[str, int], ...]
    """The capture file of each completion, and its row in the prompt file, counted from 0."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """What to score with; completions that have a right answer are graded in any case."""

    reward: RewardModel | None = None
    embedder: Embedder | None = None
    judge: Writer | None = None
    rubric: Rubric = RUBRIC
    cache: Path | None = None
    """A file in which scores are kept."""


def conditions(
    folders: Sequence[str | Path], prompts: str | Path, *, kinds: Sequence[str] | None = None
) -> tuple[Condition, ...]:
    """The completions of each folder of captures, each of one condition.

    Args:
        folders: of ``.pt`` files.
        prompts: the typo file that the captures were made from.
        kinds: of each folder (``clean``, or a name in the file); found by their prompts when None.

    Raises:
        RunError: if a folder is missing, empty or damaged, its texts do not begin with any one kind's prompts, or two folders
            are of the same kind.
        StimulusError: if the prompt file is missing or malformed.
    """
    if not folders or (kinds is not None and len(kinds) != len(folders)):
        raise StimulusError(
            f"There are {len(folders)} folders and kinds {kinds}. Give a kind for each folder, or none."
        )
    known = entries(prompts)
    made = tuple(
        _condition(Path(folder), known, kinds[i] if kinds else None, Path(prompts).name)
        for i, folder in enumerate(folders)
    )
    names = [condition.kind for condition in made]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise RunError(
                f"{folders[names.index(name)]} and {folders[i]} are both of the kind {name!r}. Give one of each."
            )
    return made


def scores(found: Sequence[Condition], by: Scorers) -> dict[str, pl.DataFrame]:
    """Tables by name: ``grade``, ``reward``, ``semantic``, ``judge``, each with ``_summary`` and, against clean, ``_differences``.

    Raises:
        StimulusError: if nothing is to be scored: no scorer is given, and no completion has a right answer.
    """
    completions = [one for condition in found for one in condition.completions]
    paired = len(found) > 1 and any(condition.kind == CLEAN for condition in found)
    tables: dict[str, pl.DataFrame] = {}

    def keep(name: str, rows: pl.DataFrame, column: str) -> None:
        tables[name], tables[f"{name}_summary"] = rows, score_summary(rows, column)
        if paired and name != "semantic":
            tables[f"{name}_differences"] = score_differences(rows, column, clean=CLEAN)

    grade = _grade(found)
    if grade is not None:
        keep("grade", grade.with_columns(pl.col("correct").cast(pl.Float64)), "correct")
        parts = grade.partition_by("kind", maintain_order=True)
        more = pl.DataFrame([{name: rates(part)[name] for name in _READ} for part in parts])
        tables["grade_summary"] = tables["grade_summary"].hstack(more)
    if by.reward is not None:
        keep("reward", rewards(by.reward, completions, cache=by.cache), "raw_score")
    if by.embedder is not None:
        keep("semantic", similarities(by.embedder, completions, cache=by.cache), "similarity")
        floors = tables["semantic"].group_by("kind", maintain_order=True).agg(floor=pl.col("floor").mean())
        tables["semantic_summary"] = tables["semantic_summary"].join(floors, on="kind", maintain_order="left")
    if by.judge is not None:
        keep("judge", judge_completions(by.judge, completions, by.rubric, cache=by.cache), "score")
    if not tables:
        raise StimulusError(
            "There is nothing to score with: the prompt file has no right answers. Give a reward model, a model of sentences, or "
            "a judge."
        )
    return tables


def write_scores(found: Sequence[Condition], tables: Mapping[str, pl.DataFrame], to: str | Path) -> tuple[Path, ...]:
    """Write each table as CSV; and for each kind the reward model's scores in the ancestor's three files.

    These are ``rewards_KIND.csv`` (pt_file, original_index, prediction, reward_label, reward_score), ``.json`` (min_score,
    max_score, avg_score, count) and ``.txt`` (one line: scores with three decimals, then their average). Its scores were of
    prompt and completion in one, through a sigmoid; these are raw logits of the clean question and the completion.

    Raises:
        RunError: if the disk refuses.
    """
    to = Path(to).expanduser()
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {f"{name}.csv": table.write_csv().encode() for name, table in tables.items()}
    if "reward" in tables:
        for condition in found:
            files |= _as_before(condition, tables["reward"].filter(kind=condition.kind))
    for name, content in files.items():
        write(to / name, content)
    return tuple(to / name for name in files)


def _condition(folder: Path, known: Sequence[Entry], kind: str | None, file: str) -> Condition:
    found = [
        (f"{batch.name}.pt", row, text)
        for batch in old_captures(folder)
        for row, text in zip(batch.rows, batch.texts, strict=True)
    ]
    found.sort(key=lambda each: each[1])
    beyond = [row for _, row, _ in found if not 0 <= row < len(known)]
    if beyond:
        raise RunError(
            f"{folder} has row {beyond[0]}, and {file} has {len(known)} entries. Give the file it was made from."
        )
    told = [(known[row], text) for _, row, text in found]
    name = _kind(folder, told, file, kind)
    completions, gold = [], []
    for entry, text in told:
        group = entry.task.request if entry.task else ""
        completions.append(
            Completion(entry.name, name, entry.clean, _completion(text, _prompt(entry, name) or ""), group)
        )
        gold.append(entry.task.answer if entry.task else "")
    return Condition(name, tuple(completions), tuple(gold), tuple((file, row) for file, row, _ in found))


def _prompt(entry: Entry, kind: str) -> str | None:
    return entry.clean if kind == CLEAN else entry.variants.get(kind)


def _kind(folder: Path, told: Sequence[tuple[Entry, str]], file: str, asked: str | None) -> str:
    """The kind whose prompts stand in all texts: at their beginning, or else anywhere (behind a template's own words)."""
    candidates = [asked] if asked else [CLEAN, *dict.fromkeys(name for entry, _ in told for name in entry.variants)]
    hits = {name: [_where(text, _prompt(entry, name)) for entry, text in told] for name in candidates}
    for good in ({"start"}, {"start", "inside"}):
        fitting = [name for name, places in hits.items() if set(places) <= good]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise RunError(
                f"The texts in {folder} begin with prompts of {', '.join(fitting)} alike. Say with kinds which it is."
            )
    best = max(candidates, key=lambda name: sum(place != "" for place in hits[name]))
    n = sum(place != "" for place in hits[best])
    raise RunError(
        f"The texts in {folder} are not of one kind of {file}: the nearest is {best}, whose prompts stand in {n} of {len(told)}. "
        f"The first text is {told[0][1][:80]!r}. Give the prompt file that the captures were made from."
    )


def _where(text: str, prompt: str | None) -> str:
    if not prompt or not prompt.strip():
        return ""
    if completion_of(text, prompt)[1]:
        return "start"
    return "inside" if _inside(text, prompt) else ""


def _inside(text: str, prompt: str) -> re.Match[str] | None:
    return re.search(r"\s*".join(map(re.escape, prompt.split())), text)


def _completion(text: str, prompt: str) -> str:
    cut, echo = completion_of(text, prompt)
    if echo:
        return cut
    found = _inside(text, prompt)
    after = text[found.end() :] if found else text
    role = _ROLE.match(after)
    return after[role.end() :] if role else after


def _grade(found: Sequence[Condition]) -> pl.DataFrame | None:
    """Of every completion that has a right answer, with its kind; None where none has."""
    tables = []
    for condition in found:
        kept = [i for i, gold in enumerate(condition.gold) if gold]
        if not kept:
            continue
        rows = grade_answers(
            [condition.completions[i].id for i in kept],
            [condition.gold[i] for i in kept],
            [condition.completions[i].text for i in kept],
        )
        groups = pl.Series(
            "group", [cluster(condition.completions[i].group, condition.completions[i].id) for i in kept], pl.String
        )
        tables.append(rows.rename({"id": "row_id"}).with_columns(pl.lit(condition.kind).alias("kind"), groups))
    return pl.concat(tables) if tables else None


def _as_before(condition: Condition, rows: pl.DataFrame) -> dict[str, bytes]:
    values = rows["raw_score"].to_list()
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["pt_file", "original_index", "prediction", "reward_label", "reward_score"])
    for (file, row), one, label, value in zip(
        condition.sources, condition.completions, rows["label"], values, strict=True
    ):
        table.writerow([file, row, one.text, label, value])
    mean = sum(values) / len(values)
    told = {"min_score": min(values), "max_score": max(values), "avg_score": mean, "count": len(values)}
    line = ", ".join([*(f"{value:.3f}" for value in values), f"average={mean:.3f}"])
    base = f"rewards_{condition.kind}"
    return {
        f"{base}.csv": out.getvalue().encode(),
        f"{base}.json": (json.dumps(told, indent=2) + "\n").encode(),
        f"{base}.txt": (line + "\n").encode(),
    }
