"""Every reader is registered, reads what is right, and refuses all else in words: here fifty inputs each, `make fuzz` has thousands."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from broca.errors import BrocaError, RunError, StimulusError
from broca.storage.parquet import read_parquet
from fuzz import listed, reach, samples
from fuzz.campaign import Inputs, Worker
from fuzz.mutate import mutated
from fuzz.readers import READERS, RUN, Reader

INPUTS = 50
REFUSED = {"model-adapter"}
"""Readers that take nothing: they look for what something is, in order to say so."""


@pytest.fixture(scope="module")
def worker():
    with Worker() as one:
        yield one


@pytest.mark.parametrize("name", READERS)
def test_whatever_a_file_holds_a_reader_refuses_it_in_words(worker, name):
    tally = worker.run(name, 0, INPUTS)
    assert tally.inputs == INPUTS
    assert tally.faults == {}


@pytest.mark.parametrize("name", [name for name in READERS if name not in REFUSED])
def test_a_reader_reads_its_own_seeds(name, tmp_path):
    inputs = Inputs(name, tmp_path)
    assert inputs.seeds
    for content in inputs.seeds:
        inputs.read(content)


def test_every_function_that_reads_is_registered_or_listed_with_a_reason():
    # In a process of its own: what is cached does not run again.
    text = "import json, fuzz.reach; print(json.dumps(sorted(fuzz.reach.reached())))"
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    told = subprocess.run([sys.executable, "-c", text], env=os.environ | paths, check=True, stdout=subprocess.PIPE)
    found, run = reach.reading(), {(file, name) for file, name in json.loads(told.stdout)}
    missing = {place for place in found - run if place[0] not in listed.FILES and place not in listed.FUNCTIONS}
    assert missing == set(), (
        "register a reader in tests/fuzz/readers.py, or say in tests/fuzz/listed.py why there is none"
    )
    assert len(found & run) > 50
    assert set(listed.FUNCTIONS) <= found - run
    assert set(listed.FILES) <= {file for file, _ in found - run}


def test_a_seed_always_makes_the_same_file():
    from random import Random

    for reader in READERS.values():
        seeds = reader.seeds()
        for seed in range(3):
            made = {mutated(seeds, reader.suffix, Random(f"{reader.name} {seed}")) for _ in range(2)}
            assert len(made) == 1


def _dies(path: Path) -> None:
    content = path.read_bytes()
    if content.startswith(b"die"):
        os._exit(3)
    if content.startswith(b"slow"):
        sum(range(10**9))
    if content.startswith(b"large"):
        bytearray(1 << 31)
    raise KeyError(content)


@pytest.mark.parametrize(
    ("content", "fault"),
    [("die", "the process ended with 3"), ("large", "MemoryError"), ("else", "KeyError")],
)
def test_what_goes_wrong_is_a_fault_and_the_next_input_is_read(content, fault, tmp_path, monkeypatch):
    text = (
        "from fuzz import campaign, readers, test_readers\n"
        f"readers.READERS['bad'] = readers.Reader('bad', test_readers._dies, lambda: [], 'x')\n"
        f"campaign.Inputs.content = lambda self, seed: {content.encode()!r}\n"
        "campaign.worker()\n"
    )
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **more: real([sys.executable, "-c", text], **more))
    with Worker() as one:
        tally = one.run("bad", 0, 2)
    assert tally.inputs == 2
    assert [each.partition(" at ")[0] for each in tally.faults.values()] == [fault, fault]


def test_every_file_of_a_run_is_registered():
    assert set(samples.run()) == set(RUN)


def test_registered_files_have_shapes():
    assert all(isinstance(reader, Reader) and reader.suffix for reader in READERS.values())


def table(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


BOMBS = {
    "rows of nothing": lambda: pl.DataFrame({"a": pl.repeat(None, 100_000_000, eager=True, dtype=pl.Int8)}),
    "one long text": lambda: pl.DataFrame({"a": pl.repeat("x" * 1_000_000, 700, eager=True)}),
    "one long list": lambda: pl.DataFrame({"a": [[0] * 20_000_000]}, schema={"a": pl.List(pl.Int8)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_table_that_unpacks_to_much_is_refused(name):
    with pytest.raises(StimulusError, match=r"t\.parquet is a damaged Parquet file: .* would fill [\d,]+ bytes"):
        read_parquet(table(BOMBS[name]()), name="t.parquet", error=StimulusError, plain=True)


def test_a_process_that_dies_of_a_table_is_started_again():
    content = table(pl.DataFrame({"a": [1, 2]}))
    from broca.storage import parquet

    assert read_parquet(content, name="t", error=RunError)[0].height == 2
    process = parquet._CHILD._process
    assert process is not None
    process.kill()
    process.wait()
    assert read_parquet(content, name="t", error=RunError)[0].height == 2


CASES = {
    "blimp.jsonl": "published.blimp",
    "capture-struct.pt": "old-capture",
    "mathvista.json": "published.mathvista",
    "mmtom-frames.pik": "mmtom-frames.pik",
    "mmtom-frames2.pik": "mmtom-frames.pik",
    "model-header": "model-header",
    "model-index": "model-index",
    "unitmask.safetensors": "mask",
    "weightset.safetensors": "weight-set",
    "wu-results.csv": "wu-results",
}
"""Which reader a case is of."""


def test_files_that_once_were_no_error_of_ours(shared, tmp_path):
    cases = sorted((shared / "cases" / "inputs").glob("*"))
    read = []
    for case in cases:
        name = CASES.get(
            case.name.partition("-")[0] if case.name.partition("-")[0] in CASES else "-".join(case.name.split("-")[:2])
        )
        if name is None:
            continue
        with suppress(BrocaError):
            Inputs(name, tmp_path / case.name[:60]).read(case.read_bytes())
        read.append(case)
    assert len(read) == sum(not case.name.startswith("run_manifest") for case in cases)
