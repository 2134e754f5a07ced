"""Nothing that draws runs for ever: generators at the bounds of their options give items, or an error in words, within so many steps.

Steps are calls of functions, counted by the interpreter, so that the law does not depend on the machine.
"""

from __future__ import annotations

import ast
import sys
import tracemalloc
from contextlib import contextmanager
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Literal, get_args, get_origin

import annotated_types
import pytest

import broca
from broca.errors import BrocaError
from broca.instruments.sensitivity.sweep import swept
from broca.sites import sites
from broca.stimuli.benchmarks import BENCHMARKS, benchmark
from broca.stimuli.contrasts import CONTRASTS, contrast
from broca.stimuli.texts import plain, texts
from broca.stimuli.trees import TREES, trees

STEPS = 3_000_000
WHOLE = {"beliefs/stories": 30_000_000}
"""What makes all of its pairs whatever is asked for, and the steps that it takes."""
MANY = 12
"""More items than any test needs; what is drawn item by item ends for many as it does for few."""
MADE = ("kth", "rules")
ODD = {
    int: (-1, 0, 1, 2, 100, 2**40),
    float: (-1.0, 0.0, 1e-9, 0.5, 1.0, 2.0, float("nan"), float("inf")),
    bool: (False, True),
    str: ("", "x"),
}
DOORS = [
    *((benchmark, name, BENCHMARKS[name]) for name in BENCHMARKS),
    *((contrast, name, CONTRASTS[name]) for name in CONTRASTS),
    *((trees, name, TREES[name]) for name in MADE),
    (texts, "plain", plain),
]


class TooManyError(Exception):
    """More steps than allowed."""


@contextmanager
def limited(steps: int):
    left = steps

    def spend(_frame, event, _arg):
        nonlocal left
        left -= event in ("call", "c_call")
        if left < 0:
            sys.setprofile(None)
            raise TooManyError(f"more than {steps} calls")

    before = sys.getprofile()
    sys.setprofile(spend)
    try:
        yield
    finally:
        sys.setprofile(before)


def values(annotation):
    """What an option may be, at its bounds and beyond them."""
    found = []
    kind = (
        get_args(annotation)[0]
        if get_origin(annotation) is not None and hasattr(annotation, "__metadata__")
        else annotation
    )
    for bound in getattr(annotation, "__metadata__", ()):
        for one in getattr(bound, "metadata", ()):
            match one:
                case annotated_types.Ge(ge=limit):
                    found += [limit, limit - 1, limit + 1]
                case annotated_types.Le(le=limit):
                    found += [limit, limit + 1]
                case annotated_types.Lt(lt=limit):
                    found += [limit, limit - 1]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    for part in get_args(kind) or (kind,):
        found += ODD.get(part, ())
    return list(dict.fromkeys(found))


def cases():
    for door, name, make in DOORS:
        options = {
            n: p.annotation for n, p in signature(make, eval_str=True).parameters.items() if p.kind is p.KEYWORD_ONLY
        }
        few = {"n": 3} if "n" in options else {}
        for option, annotation in options.items():
            for value in values(annotation):
                # as many as may be asked for are made one by one, as a few are
                large = option in ("n", "sentences") and isinstance(value, int) and MANY < value <= 100_000
                if name in WHOLE and (large or (option == "seed" and value >= 0) or 0 < value <= 64):
                    continue
                yield pytest.param(door, name, {**few, option: MANY if large else value}, id=f"{name}-{option}-{value}")


@pytest.mark.parametrize(("door", "name", "options"), list(cases()))
def test_every_generator_ends_at_the_bounds_of_its_options(door, name, options):
    with limited(WHOLE.get(name, STEPS)):
        try:
            made = door(name, **options)
        except BrocaError as error:
            made = str(error)
    assert made


def test_rivals_need_detail_and_the_error_says_how_much():
    with limited(STEPS):
        for name, detail in (("beliefs/rival-belief", 0), ("beliefs/rival-belief", 0.58), ("beliefs", 0.5)):
            with pytest.raises(
                BrocaError, match=r"no story is told in which somebody else .* Give a detail above 0\.583"
            ):
                benchmark(name, n=1, detail=detail)
        assert len(benchmark("beliefs/rival-belief", n=4, detail=0.59)) == 4


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (partial(sites, n_layers=4), "0-3000000.z"),
        (partial(sites, n_layers=4), "1,2-3000000.z"),
        (swept, "0:1:3e-7"),
        (partial(swept, published=True), "0:1:3e-7"),
        (swept, "0:Infinity:1"),
        (swept, "0:1:NaN"),
    ],
)
def test_a_range_with_a_mistyped_number_is_not_counted_out(read, text):
    tracemalloc.start()
    try:
        with pytest.raises(BrocaError):
            read(text)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


LOOPS = {
    # a percentage that grows by what a float can say, until it selects one unit more
    "units/selection.py:percent_of",
    # walks towards an end that is there
    "stimuli/edits.py:edited_words",
    "stimuli/trees/proofs.py:group",
    "organisms/beliefs/exam.py:_batches",
    "stimuli/perturb/files.py:root",
    # takes a name from the header each time
    "stimuli/csv_files.py:read_delimited",
    # takes a run of regions from the bag each time
    "stimuli/published/syntaxgym.py:_passages",
    # takes a word from the list, or puts an edit where there was room, each time
    "stimuli/perturb/draws.py:_exactly",
    # takes an example of a group that gave none yet each time, and there are as many groups as examples
    "stimuli/examples.py:_choose",
    "stimuli/natural/questions.py:_draw",
    "stimuli/natural/questions.py:_examples",
    # fills the room that is left, letter by letter
    "stimuli/language.py:_body",
    # forgets one run each time, until few are left
    "interventions/circuit.py:writes",
    # reads one batch of lessons each time, until there are tokens enough
    "organisms/routed/features.py:_activations",
    # gives lessons as long as somebody asks for them
    "organisms/beliefs/lessons.py:lessons",
}


def test_what_draws_until_it_is_content_counts_its_tries():
    """A ``while`` in a room that draws is on this list with the reason why it ends; else it is `broca.tries`."""
    root, found = Path(broca.__file__).parent, set()
    for room in ("stimuli", "organisms", "units", "studies", "interventions", "scoring/orders.py"):
        place = root / room
        for file in [place] if place.suffix else sorted(place.rglob("*.py")):
            for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef) and any(own_loops(function)):
                    found.add(f"{file.relative_to(root).as_posix()}:{function.name}")
    assert found == LOOPS


def own_loops(function):
    """Its loops without an end of their own, those of inner functions apart."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.While):
            yield node
        waiting += ast.iter_child_nodes(node)
