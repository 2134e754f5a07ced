"""Items by name or from files: questions with an answer, by which an ability is measured.

benchmark("beliefs/false-belief", n=100)
benchmark("cells/contents", form="question")
benchmark("facts/capitals", level="hard", wording=2)
benchmark("tomi.csv", order="first", belief="both")
benchmark("fantom_v1.json", preset="tl")
benchmark("SeacowX/OpenToM")
benchmark("questions.jsonl", answers="letter")
benchmark("lm-eval/arc_easy", limit=200)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from broca.errors import StimulusError
from broca.items import Item, Items
from broca.registry import COMPAT, Registry, unknown
from broca.stimuli.cell_items import ABILITIES as CELL_ABILITIES
from broca.stimuli.cell_items import TASKS as CELL_TASKS
from broca.stimuli.degeneracy import refuse_constant
from broca.stimuli.examples import Shots, add_examples
from broca.stimuli.item_tables import REWORDING, table_items
from broca.stimuli.natural import ABILITIES as NATURAL
from broca.stimuli.natural.controls import RECALLED
from broca.stimuli.options import call, expand_home, hints, looks_like_path
from broca.stimuli.orders import all_orders, shuffle_choices
from broca.stimuli.published import Format, find, format_of, nearest_format, preset
from broca.stimuli.published.sources import HUB, check, columns_of, fetch
from broca.stimuli.tables import SUFFIXES

__all__ = [
    "BENCHMARKS",
    "all_orders",
    "benchmark",
    "option_types",
    "second_wording",
    "shuffle_choices",
    "sources",
    "table_items",
]

_BELIEFS, _CELLS = "beliefs", "cells"
_ABILITIES = (
    "false-belief",
    "true-belief",
    "belief",
    "photograph",
    "reality",
    "memory",
    "arithmetic-easy",
    "arithmetic-hard",
    "rival-belief",
)

BENCHMARKS = Registry(
    "Benchmark",
    # by name alone: the world of the organisms lies above this room and is met only when it is asked for
    dict.fromkeys((_BELIEFS, *(f"{_BELIEFS}/{ability}" for ability in _ABILITIES)), "broca.organisms.beliefs:benchmark")
    | dict.fromkeys(
        (_CELLS, *(f"{_CELLS}/{which}" for which in (*CELL_TASKS, *CELL_ABILITIES))), "broca.stimuli.cell_stories:cells"
    )
    | dict.fromkeys(NATURAL, "broca.stimuli.natural:natural")
    | dict.fromkeys(RECALLED, "broca.stimuli.natural.controls:recall")
    | {
        "belief-stories": "broca.stimuli.stories:belief_stories",
        "photograph-stories": "broca.stimuli.stories:photograph_stories",
        "induction": "broca.stimuli.induction:induction",
        "ioi": "broca.stimuli.ioi:ioi",
        "mcqa": "broca.stimuli.copycolors:copycolors",
        "formality": "broca.stimuli.tones:formality_items",
        "passkey": "broca.stimuli.passkey:passkey",
        "sums": "broca.stimuli.sums:sums",
    },
    group="broca.benchmarks",
)
"""The benchmarks that come with broca, and those of packages with an entry point in ``broca.benchmarks``. ``beliefs`` is all abilities of the belief world, one after the other;
``beliefs/belief`` is false and true belief, half and half. ``cells`` is theory-of-mind tasks told in cells; below it are
their names and those of their abilities. ``facts/capitals`` and the like are in natural language (`broca.stimuli.natural`), and ``recall/capitals``
the control with the same answers."""
HARNESS, TASKS = "lm-eval/", Registry("Harness", {"lm-eval/": "broca.scoring.harness_items:task_items"})
"""What stands before the name of a task of lm-eval, and what reads it: by name alone, as what asks it lies in another room."""


def benchmark(name_or_path: str | Path, **options: object) -> Items:
    """A benchmark that comes with broca, or one read from a file.

    Args:
        name_or_path: A name of `BENCHMARKS`; a data set of the Hugging Face hub that is known by its id; a folder that holds
            one benchmark; or a file: `broca.stimuli.published` says which formats are known by their columns, any other
            table is read by `table_items`; or ``lm-eval/NAME``, a task of multiple choice that lm-eval knows. The task file of Wu et al.
            (2025), ``.json`` or ``.py``, is known by its lists; a ``.py`` is read and never run.
        options: Of the generator or reader, e.g. ``n`` and ``seed`` (of each ability), ``order``, ``answers``. Of all ``shots``: so many
            of its own items stand before each question as examples (`broca.stimuli.examples`). Of files also
            ``sha256`` (refuse another content), of known formats ``preset`` (options of published work; others given beside
            it hold) and ``degenerate`` (``keep`` items whose key is constant), of the hub ``revision``.

    Raises:
        UnknownName: Neither a name nor a file, or an option that the benchmark does not have.
        StimulusError: The file is missing or malformed, its items are degenerate, or an option is of the wrong type.
    """
    if "shots" in options and "shots" not in _own_options(name_or_path):
        own = {name: value for name, value in options.items() if name != "shots"}
        what, items = f"benchmark {Path(name_or_path).name!r}", tuple(benchmark(name_or_path, **own))
        return Items(call(what, add_examples, items, options={"shots": options["shots"]}))
    if (maker := _maker(name_or_path)) is not None:
        make, own = maker
        return Items(call(f"benchmark {name_or_path!r}", make, *own, options=options))
    return Items(item for path in sources(name_or_path, options) for item in _read(path, options))


def second_wording(name_or_path: str | Path, **options: object) -> tuple[Item, ...]:
    """The same items in other words: wording 2, or 1 where the options ask for 2; none where they come in one wording.

    A benchmark brings a second wording if it takes an option ``wording`` of 1 or 2; a table of items if it has a column
    ``rewording``.

    Args:
        name_or_path: As for `benchmark`.
        options: As for `benchmark`.

    Raises:
        UnknownName, StimulusError: As `benchmark`.
    """
    if "wording" not in option_types(name_or_path):
        return ()
    if not all(REWORDING in columns_of(path) for path in sources(name_or_path, options)):
        return ()
    return benchmark(name_or_path, **{**options, "wording": 1 if options.get("wording") == 2 else 2})


def option_types(name_or_path: str | Path) -> dict[str, Any]:
    """The options of `benchmark` that these items take, and the type of each.

    Raises:
        UnknownName, StimulusError: as `sources`.
    """
    return {"shots": Shots, **_own_options(name_or_path)}


def _own_options(name_or_path: str | Path) -> dict[str, Any]:
    """Those of the generator or reader."""
    if (maker := _maker(name_or_path)) is not None:
        return hints(maker[0])
    path = sources(name_or_path)[0]
    form = None if path.suffix.lower() == _task_file().suffix else format_of(path)
    columns = {"columns": str | None} if path.suffix.lower() in SUFFIXES else {}
    common = ("sha256", "revision", *(("preset", "degenerate") if form else ()))
    return columns | hints(_reader(path, form)) | dict.fromkeys(common, str)


def sources(name_or_path: str | Path, options: Mapping[str, object] | None = None) -> tuple[Path, ...]:
    """The files that the items of a name or path are read from; none for a benchmark that comes with broca.

    Args:
        name_or_path: As for `benchmark`.
        options: Of the benchmark; a ``revision`` is heeded.

    Raises:
        UnknownName: Neither a name nor a file.
        StimulusError: A folder does not hold one benchmark, or the hub cannot be reached.
    """
    if _maker(name_or_path) is not None:
        return ()
    if looks_like_path(name_or_path, suffixes=(*SUFFIXES, _task_file().suffix)):
        return find(expand_home(name_or_path))
    if str(name_or_path) in HUB:
        revision = (options or {}).get("revision")
        files = HUB[str(name_or_path)]
        return find(fetch(str(name_or_path), files, None if revision is None else str(revision)))
    known = (*BENCHMARKS, *HUB)
    raise unknown("Benchmark", str(name_or_path), known, "Or give the path of a table of items.")


def _maker(name: str | Path) -> tuple[Callable[..., tuple[Item, ...]], tuple[str, ...]] | None:
    """What makes the items of a name, and what of the name it is told; None where they are read from files."""
    if not isinstance(name, str):
        return None
    if name.startswith(HARNESS):
        return TASKS[HARNESS], (name,)
    if name not in BENCHMARKS:
        return None
    world, _, ability = name.partition("/")
    told = (
        (name,) if name in NATURAL or name in RECALLED else (ability or "all",) if world in (_BELIEFS, _CELLS) else ()
    )
    return BENCHMARKS[name], told


class TaskFile(NamedTuple):
    """A file of tasks of an earlier project, which is no table."""

    suffix: str
    """That no other file of items has."""
    fits: Callable[[Path], bool]
    """Whether a file is one."""
    reader: Callable[..., tuple[Item, ...]]


def _task_file() -> TaskFile:
    return COMPAT["task-file"]


def _read(path: Path, options: Mapping[str, object]) -> tuple[Item, ...]:
    what, own = f"benchmark {path.name!r}", {name: value for name, value in options.items() if name != "revision"}
    if "sha256" in own:
        check(path, str(own.pop("sha256")))
    named = "columns" in own and path.suffix.lower() in SUFFIXES
    form = None if named or path.suffix.lower() == _task_file().suffix else format_of(path)
    if "preset" in own:
        own = {**preset(str(own.pop("preset")), form), **own}
    keep = form is None or own.pop("degenerate", "refuse") == "keep"
    items = call(what, table_items if named else _reader(path, form), path, options=own)
    if not keep:
        refuse_constant(path.name, items)
    return items


def _reader(path: Path, form: Format | None) -> Callable[..., tuple[Item, ...]]:
    if form:
        return form.reader
    if _task_file().fits(path):
        return _task_file().reader
    near = nearest_format(path)
    if near and not {"prompt", "choices", "answer"} <= columns_of(path):
        raise StimulusError(
            f"{path.name} has the columns of {near[0].name} but for {near[1]!r}. Give the file as it was published, or a table of items with "
            "the columns prompt, choices and answer."
        )
    return table_items
