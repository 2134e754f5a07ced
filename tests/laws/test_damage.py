"""Whatever is done to a file of a run or a store, nothing is silently different: the damage is named, or the answer is the same.

A file is drawn, and what is done to it: a byte changed, an end cut off, a piece swapped with another, a digit edited, its content
replaced by another file's, or taken away. Then everything that reads it is asked.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import zoo
from broca.capture.raw import CaptureParts
from broca.errors import BrocaError
from broca.instruments.lesion.source import fields_of_run
from broca.reports.build import report
from broca.runs import list_runs, open_run, spec_of
from broca.runs.shards import open_raw, write_raw
from broca.runs.verify import verify
from broca.scoring.answer_store import AnswerStore
from broca.sites import Site
from broca.units import UnitMask
from reports.synthetic import causal_run, localize_run

FIGURES = ("log.jsonl",)
"""What is no part of a result."""


def flip(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def swap(content: bytes, draw: random.Random) -> bytes:
    size = max(1, len(content) // 10)
    a, b = sorted((draw.randrange(len(content) - size + 1), draw.randrange(len(content) - size + 1)))
    if b - a < size:
        return content[b:] + content[:b]
    return content[:a] + content[b : b + size] + content[a + size : b] + content[a : a + size] + content[b + size :]


def edit(content: bytes, draw: random.Random) -> bytes:
    digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
    if not digits:
        return flip(content, draw)
    at = draw.choice(digits)
    return content[:at] + b"%d" % ((content[at] - 47) % 10) + content[at + 1 :]


def noise(content: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(len(content))


def nest(_content: bytes, draw: random.Random) -> bytes:
    return draw.choice([b"[" * 20_000, b'{"a":' * 20_000, b"9" * 9000, b"null", b"[]", b"{}"])


DAMAGES = {"flip": flip, "cut": cut, "swap": swap, "edit": edit, "noise": noise, "nest": nest, "gone": None}


class Home(tuple):  # noqa: SLOT001 - two values that a failure need not print in full
    """The folder of whole runs, and what is said of each."""

    def __repr__(self) -> str:
        return f"Home({self[0]})"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Runs that are whole, and what those that read them say of each."""
    folder = tmp_path_factory.mktemp("damage") / "whole"
    localize_run(folder / "runs" / "map", n_layers=2, width=6)
    causal_run(folder / "runs" / "test", n_layers=2, width=6)
    for name in ("map", "test"):
        (folder / "runs" / name / "log.jsonl").write_text(
            '{"time": "2026-01-01T00:00:00+00:00", "event": "start"}\n' * 3
        )
    open_run(folder / "runs" / "map").units().save(folder / "mask.safetensors")
    list_runs(folder / "runs")
    return Home((folder, {name: said(folder / "runs" / name) for name in ("map", "test")}))


def told(read) -> tuple[str, object]:
    """What a reader says, or the error of our own tree that it raises."""
    try:
        return "said", read()
    except BrocaError as error:
        return "named", str(error)


def everything(path: Path) -> object:
    run = open_run(path)
    tables = {name: run.tables[name].to_dicts() for name in run.tables}
    arrays = {name: array.tobytes() for name, array in run.tensors.items()}
    return json.dumps([run.manifest, run.spec, run.result, tables], default=str), arrays


def listed(path: Path) -> object:
    return list_runs(path.parent).filter(name=path.name).drop("path").to_dicts()


def localized(path: Path) -> object:
    run = open_run(path)
    return json.dumps(fields_of_run(run, {}), default=str), run.units().fingerprint


def paged(path: Path) -> object:
    return report(path).read_text()


READERS = {"open": everything, "list": listed, "run": spec_of, "from": localized, "report": paged}


def said(path: Path) -> dict[str, tuple[str, object]]:
    return {name: told(lambda read=read: read(path)) for name, read in READERS.items()}


def damaged_is_named(home, place: Path, run: str, name: str, how: str, seed: int) -> None:
    whole, before = home
    shutil.copytree(whole, place)
    file = place / "runs" / run / name
    content = file.read_bytes()
    after = DAMAGES[how](content, random.Random(seed)) if DAMAGES[how] else None
    file.unlink() if after is None else file.write_bytes(after)
    for reader, (state, answer) in said(place / "runs" / run).items():
        ours = f"{reader} of {run}/{name}, {how} {seed}"
        if (state, answer) == before[run][reader]:
            continue
        if state == "said" and reader == "list":
            assert answer == [] or answer[0]["status"] == "broken", ours
        elif state == "said" and reader == "report":
            marked = f"unverified: {name} " in str(answer)
            assert marked, ours
        else:
            assert state == "named" or name in FIGURES, ours
            named = state == "said" or Path(name).name in str(answer) or before[run][reader][0] == "named"
            assert named, f"{ours}: {str(answer)[:300]}"
    wrong = [text for found in _verified(place / "runs" / run) for text in found]
    if after != content and name not in FIGURES:
        assert any(Path(name).name in text for text in wrong) or _same(name, content, after), (
            f"{run}/{name}, {how} {seed}: {wrong}"
        )


def _verified(path: Path) -> list[tuple[str, ...]]:
    try:
        return [found.wrong for found in verify(path)]
    except BrocaError as error:
        return [(str(error) + "manifest.json",)]


def _same(name: str, content: bytes, after: bytes | None) -> bool:
    """A manifest that says the same in other bytes."""
    with contextlib.suppress(ValueError, RecursionError, UnicodeDecodeError, TypeError):
        return name == "manifest.json" and json.loads(content) == json.loads(after)
    return False


def files(home) -> list[tuple[str, str]]:
    folder = home[0] / "runs"
    found = [
        (run, str(file.relative_to(folder / run))) for run in ("map", "test") for file in (folder / run).rglob("*")
    ]
    return sorted(
        each
        for each in found
        if (folder / each[0] / each[1]).is_file() and not each[1].startswith(("figures", "report", "references"))
    )


def check(home, tmp_path_factory, which: int, how: str, seed: int) -> None:
    every = files(home)
    run, name = every[which % len(every)]
    place = tmp_path_factory.mktemp("one") / "home"
    try:
        damaged_is_named(home, place, run, name, how, seed)
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)


QUIET = settings(deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck], database=None)
ANY = {"which": st.integers(0, 10_000), "how": st.sampled_from(sorted(DAMAGES)), "seed": st.integers(0, 2**32)}


@settings(QUIET, max_examples=25)
@given(**ANY)
def test_nothing_is_silently_different(home, tmp_path_factory, which, how, seed):
    check(home, tmp_path_factory, which, how, seed)


@pytest.mark.slow
@settings(QUIET, max_examples=500)
@given(**ANY)
def test_nothing_is_silently_different_many_times(home, tmp_path_factory, which, how, seed):
    check(home, tmp_path_factory, which, how, seed)


class Asked:
    """A request, as AnswerStore takes it."""

    def __init__(self, text: str) -> None:
        self.args = (text,)


REQUESTS = [Asked(f"question {i}") for i in range(20)]


def answers(some: list[Asked]) -> list[object]:
    return [[len(each.args[0]), float(each.args[0][9:]) / 7] for each in some]


@settings(QUIET, max_examples=60)
@given(how=st.sampled_from(sorted(set(DAMAGES) - {"gone"})), seed=st.integers(0, 2**32))
def test_a_damaged_store_gives_the_same_answers_or_is_named(tmp_path_factory, how, seed):
    place = tmp_path_factory.mktemp("store") / "answers.db"
    true = AnswerStore(place)(["about"], REQUESTS, answers)
    place.write_bytes(DAMAGES[how](place.read_bytes(), random.Random(seed)))
    with contextlib.suppress(BrocaError):
        assert AnswerStore(place)(["about"], REQUESTS, answers) == true
    shutil.rmtree(place.parent)


@settings(QUIET, max_examples=60)
@given(how=st.sampled_from(sorted(set(DAMAGES) - {"gone"})), seed=st.integers(0, 2**32))
def test_a_damaged_mask_is_named(home, tmp_path_factory, how, seed):
    place = tmp_path_factory.mktemp("mask") / "mask.safetensors"
    content = (home[0] / "mask.safetensors").read_bytes()
    place.write_bytes(DAMAGES[how](content, random.Random(seed)))
    state, answer = told(lambda: UnitMask.load(place))
    true = UnitMask.load(home[0] / "mask.safetensors")
    assert state == "named" or answer == true
    [found] = _verified(place)
    assert bool(found) == (state == "named")
    shutil.rmtree(place.parent)


WANTED = CaptureParts((Site(1, "resid_post"),), top=3, new_tokens=2)
ROWS = [(f"r{i}", text) for i, text in enumerate(["3 + 4 =", "what is 12 - 5?", "sum: 1 1", "a", "b c"])]


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    """A folder of captures, another one of the same rows, and the model that both are of."""
    lm, folder = zoo.lm("llama"), tmp_path_factory.mktemp("captures")
    write_raw(folder / "whole", lm, ROWS, WANTED, shard=2)
    write_raw(folder / "other", lm, ROWS, CaptureParts((Site(0, "resid_post"),), top=3, new_tokens=2), shard=2)
    return Home((folder, lm))


def contents(path: Path) -> list[object]:
    return [[row.id, row.completion, *((k, v.tolist()) for k, v in row.tensors.items())] for row in open_raw(path)]


def recaptured(captured, folder: Path, name: str, content: bytes | None) -> None:
    """A file of captures has another content: it is named, and the same call makes it what it was or names it too."""
    whole, lm = captured[0] / "whole", captured[1]
    shutil.copytree(whole, folder)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    true, state = contents(whole), told(lambda: contents(folder))
    [found] = verify(folder)
    assert (state[0] == "named") == bool(found.wrong)
    assert found.kind == "capture"
    assert state == ("said", true) or found.wrong
    again = told(lambda: write_raw(folder, lm, ROWS, WANTED, shard=2))
    if again[0] == "named":
        assert name == "manifest.json"
        assert re.search(r"manifest\.json is damaged|no manifest|something else", str(again[1]))
        return
    assert contents(folder) == true
    assert [found.wrong for found in verify(folder)] == [()]
    if state[0] == "named":
        assert content is None or any(name in text for text in found.wrong)
        assert all((folder / file.name).read_bytes() == file.read_bytes() for file in whole.iterdir())


@settings(QUIET, max_examples=25)
@given(which=st.integers(0, 3), how=st.sampled_from(sorted(DAMAGES)), seed=st.integers(0, 2**32))
def test_damaged_captures_are_named_and_captured_again(captured, tmp_path_factory, which, how, seed):
    file = sorted((captured[0] / "whole").iterdir())[which]
    after = DAMAGES[how](file.read_bytes(), random.Random(seed)) if DAMAGES[how] else None
    place = tmp_path_factory.mktemp("capture")
    recaptured(captured, place / "raw", file.name, after)
    shutil.rmtree(place)


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "manifest.json"])
def test_what_belongs_to_another_capture_is_named(captured, tmp_path, name):
    recaptured(captured, tmp_path / "raw", name, (captured[0] / "other" / name).read_bytes())


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'{"hash": "1"}'])
def test_a_capture_whose_manifest_says_nothing_is_a_capture_still(captured, tmp_path, content):
    recaptured(captured, tmp_path / "raw", "manifest.json", content)


@settings(QUIET, max_examples=30)
@given(how=st.sampled_from(sorted(set(DAMAGES) - {"gone"})), seed=st.integers(0, 2**32))
def test_a_damaged_index_is_made_anew(home, tmp_path_factory, how, seed):
    place = tmp_path_factory.mktemp("index") / "home"
    shutil.copytree(home[0] / "runs", place, copy_function=shutil.copy2)
    before = list_runs(place)
    index = place / ".broca-index.json"
    index.write_bytes(DAMAGES[how](index.read_bytes(), random.Random(seed)))
    assert list_runs(place).equals(before)
    shutil.rmtree(place.parent)
