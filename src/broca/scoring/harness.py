"""Any task of lm-eval, asked of a model under whatever is in force.

with lm.under(lesion):
    found = evaluate(lm, ["lambada_openai", "mine.yaml"], cache="answers.sqlite")
found.metrics, found.samples
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from broca.errors import SpecError, StimulusError
from broca.models.lm import LM
from broca.specs.fields import Chat, template_parts
from broca.storage.secrets import hide_secrets

METRIC_SCHEMA = pl.Schema(
    {
        "task": pl.String(),
        "filter": pl.String(),
        "metric": pl.String(),
        "value": pl.Float64(),
        "stderr": pl.Float64(),
        "n": pl.Int64(),
    }
)
"""Columns of the metrics: one row a task, filter and metric; the standard error is lm-eval's, and null where it has none."""

SAMPLE_SCHEMA = pl.Schema(
    {
        "task": pl.String(),
        "doc": pl.Int64(),
        "filter": pl.String(),
        "metric": pl.String(),
        "value": pl.Float64(),
        "answer": pl.String(),
        "response": pl.String(),
    }
)
"""Columns of the samples: one row a document, filter and metric, so that two conditions pair by ``task`` and ``doc``."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What lm-eval made of a model's answers."""

    metrics: pl.DataFrame
    """Of `METRIC_SCHEMA`."""
    samples: pl.DataFrame
    """Of `SAMPLE_SCHEMA`."""
    versions: Mapping[str, str]
    """Of each task, as its file says."""
    condition: tuple[str, ...]
    """Fingerprints of what was in force."""
    notes: tuple[str, ...] = ()


def evaluate(
    lm: LM,
    tasks: Sequence[str | Path],
    *,
    include: str | Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
    chat: bool | Chat = False,
    cache: str | Path | None = None,
    generation: Mapping[str, Any] | None = None,
    seed: int = 1234,
) -> Evaluation:
    """Ask a model the questions of lm-eval's tasks, under whatever is in force.

    Args:
        lm: The model.
        tasks: Names that lm-eval knows, or paths of task files (YAML).
        include: A folder of further task files.
        shots: Examples before each question, where the task does not forbid them.
        limit: Documents of each task at most.
        chat: Apply the model's chat template; with what it is told, where it is a `Template`.
        cache: A file in which answers are kept by weights, interventions in force, and request.
        generation: Options of texts that are generated, e.g. ``max_gen_toks``, over those of the task.
        seed: Of the choice of examples.

    Raises:
        SpecError: lm-eval is not installed, knows no such task, or a task file is malformed; or the template is told something and not used.
        StimulusError: A request cannot be asked of this model, or a task has no documents.
        GuardError: An intervention in force never ran.
    """
    files, manager = check_tasks(tasks, include=include)
    from broca.scoring.harness_model import Harness

    when, told = template_parts("always" if chat is True else chat or "never")
    if told and when != "always":
        raise SpecError(
            f"{' and '.join(told)} would do nothing: lm-eval asks in plain text, but with chat always. Give chat='always' (--chat)."
        )
    model = Harness(lm, cache=cache, thinking=told.get("thinking"))
    found = _ask(
        model,
        files,
        num_fewshot=shots,
        limit=limit,
        apply_chat_template=when == "always",
        system_instruction=told.get("system"),
        gen_kwargs=dict(generation) if generation else None,
        task_manager=manager,
        fewshot_random_seed=seed,
    )
    if not found or not any(found["samples"].values()):
        raise StimulusError(
            f"{', '.join(files)}: there are no documents to ask about. Check the task's data and the limit."
        )
    notes = (
        [f"lm-eval: {model.cut} requests were too long for the model and lost their beginning."] if model.cut else []
    )
    versions = {name: str(version) for name, version in found["versions"].items()}
    return Evaluation(_metrics(found), _samples(found), versions, lm.condition, tuple(notes))


def _ask(model: Any, files: Sequence[str], **options: Any) -> Any:
    """What lm-eval's own evaluator gives.

    Raises:
        SpecError: whatever it stumbles over, in words.
    """
    from lm_eval.evaluator import simple_evaluate

    with sentences_of(files):
        return simple_evaluate(model, tasks=list(files), bootstrap_iters=0, **options)


@contextmanager
def sentences_of(files: Sequence[str]) -> Iterator[None]:
    """What lm-eval stumbles over, in words.

    Raises:
        SpecError: whatever it raised.
    """
    from jinja2 import TemplateError
    from yaml import YAMLError

    own = (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, TemplateError, YAMLError)
    try:
        yield
    except own as error:
        first = next((line for line in hide_secrets(str(error)).splitlines() if line.strip()), "no more is said")
        raise SpecError(
            f"lm-eval could not ask {', '.join(files)} ({type(error).__name__}: {first}). Check the task file and its data; a data set "
            "of the hub needs the network, or a copy in its cache."
        ) from error


def check_tasks(tasks: Sequence[str | Path], *, include: str | Path | None = None) -> tuple[list[str], Any]:
    """Refuse tasks that are not there, before a model is loaded; gives their names and lm-eval's manager of tasks.

    Raises:
        SpecError: lm-eval is not installed, or knows no such task.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise SpecError(f"Tasks of lm-eval need it: pip install 'broca-interp[lm-eval]' ({error}).") from error
    if include is not None and not Path(include).is_dir():
        raise SpecError(f"There is no folder {str(include)!r} of task files. Check the path.")
    files = [str(Path(task).expanduser()) if _is_file(task) else str(task) for task in tasks]
    for task in files:
        if _is_file(task) and not Path(task).is_file():
            raise SpecError(f"There is no task file {task!r}. Check the path.")
    manager = TaskManager(include_path=include, include_defaults=not all(map(_is_file, files)))
    _require_tasks(files, manager)
    return files, manager


def tasks_in(folder: str | Path) -> Any:
    """lm-eval's manager of the tasks of one folder."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder, include_defaults=False)


def _is_file(task: str | Path) -> bool:
    return str(task).endswith((".yaml", ".yml"))


def _require_tasks(tasks: Sequence[str], manager: Any) -> None:
    """Refuse tasks that are not there before anything is loaded.

    Raises:
        SpecError: One is not.
    """
    from broca.registry import unknown

    if not tasks:
        raise SpecError("No task is named. Give at least one.")
    for task in tasks:
        if not _is_file(task) and not manager.match_tasks([task]):
            near = tuple(name for name in manager.all_tasks if name[:3] == task[:3])[:12]
            raise SpecError(str(unknown("Task of lm-eval", task, near, "lm-eval ls tasks lists all.")))


def _metrics(found: Mapping[str, Any]) -> pl.DataFrame:
    rows: list[tuple[str, str, str, float, float | None, int | None]] = []
    for task, values in found["results"].items():
        counts = found.get("n-samples", {}).get(task, {})
        for name, value in values.items():
            metric, _, kind = name.partition(",")
            if not kind or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = values.get(f"{metric}_stderr,{kind}")
            stderr = float(error) if isinstance(error, int | float) else None
            rows.append((task, kind, metric, float(value), stderr, counts.get("effective")))
    return pl.DataFrame(rows, schema=METRIC_SCHEMA, orient="row")


def _samples(found: Mapping[str, Any]) -> pl.DataFrame:
    rows = [
        (
            task,
            sample["doc_id"],
            sample["filter"],
            metric,
            _number(sample[metric]),
            str(sample["target"]),
            _plain(sample),
        )
        for task, samples in found["samples"].items()
        for sample in samples
        for metric in sample["metrics"]
    ]
    return pl.DataFrame(rows, schema=SAMPLE_SCHEMA, orient="row").sort("task", "doc", "filter", "metric")


def _number(value: Any) -> float | None:
    """A metric of one document; None for those that only a whole task has."""
    return float(value) if isinstance(value, int | float) else None


def _plain(sample: Mapping[str, Any]) -> str:
    return "; ".join(str(response) for response in sample["filtered_resps"])
