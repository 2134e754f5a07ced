"""Memory that runs out for real: the batch is halved wherever one runs, said once, and the numbers are the same."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from broca.capture.activations import capture
from broca.capture.gradient import attribution
from broca.capture.metrics import LogitDifference
from broca.capture.objectives import OBJECTIVES, AnsweredQuestion
from broca.capture.reduce import Moments
from broca.capture.weight_gradients import sensitivity
from broca.errors import BrocaError
from broca.models.continuation import continuation_logprobs
from broca.models.fitting import halving, in_parts, is_out_of_memory
from broca.models.questions import split
from broca.models.weight_matrices import matrices
from broca.sites import Site

TEXTS = [f"{i} the cat sat on the mat and looked at the dog " * 6 for i in range(48)]
SITE = Site(1, "mlp_act")


def lm_of():
    lm = zoo.lm("llama", positions=512)
    lm.batch_size = 48
    return lm


def captured(lm):
    found = capture(lm, lm.tokenize(TEXTS), [SITE], Moments)[SITE].result()
    return np.asarray(found.mean)


def generated(lm):
    return lm.generate(TEXTS, max_new_tokens=2)


def priced(lm):
    return np.array([one.logprobs for one in continuation_logprobs(lm, TEXTS, [(" box", " bag!")] * len(TEXTS))])


def attributed(lm):
    return np.asarray(attribution(lm, lm.tokenize(TEXTS), [SITE], LogitDifference(5, 6))[SITE].result().mean)


def scored(lm):
    asked = [
        AnsweredQuestion(question, 0)
        for question in split(lm, [text[:40] for text in TEXTS], [(" box", " bag")] * len(TEXTS))
    ]
    sums = sensitivity(lm, asked, OBJECTIVES["full"], matrices(lm.model, lm.anatomy), mode="batched")
    return np.concatenate([part.flatten().numpy() for half in sums.squares for part in half.values()])


WORK = {work.__name__: work for work in (captured, generated, priced, attributed, scored)}


def main(name: str, room: int) -> None:
    """In a process of its own, whose heap holds nothing that was freed: the work, with so many bytes more than it has."""
    ctypes.CDLL(None).mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD: what is freed goes back to the system
    torch.set_num_threads(1)
    few, lm = TEXTS[:2], lm_of()
    TEXTS[:], every = few, TEXTS[:]
    WORK[name](lm_of())
    TEXTS[:] = every
    with Path("/proc/self/statm").open() as pages:
        held = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + room, resource.RLIM_INFINITY))
    try:
        found, said = WORK[name](lm), None
    except BrocaError as error:
        found, said = [], str(error)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.stdout.write(json.dumps([np.asarray(found).tolist(), said, lm.notes, lm.batch_size]) + "\n")


def limited(name: str, room: int):
    """What `main` prints: what was found, the error, the model's notes and its batch size."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", __file__, name, str(room)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | path, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_a_cpu_that_refuses_memory_halves_the_batch_and_the_numbers_stay(name):
    whole = WORK[name](lm_of())
    for room in (3 << 24, 1 << 25, 3 << 23, 1 << 24, 3 << 22, 1 << 23, 3 << 21, 1 << 22):
        found, said, notes, size = limited(name, room)
        if size < 48:
            break
    assert size < 48
    assert said is None
    if isinstance(whole, list):
        assert found == whole
    else:
        np.testing.assert_allclose(found, whole, rtol=2e-3, atol=1e-5)
    assert [note.startswith("Out of memory: batch size lowered from 48 to") for note in notes].count(True) == 1


REFUSALS = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 4 bytes"
    ),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_every_way_of_saying_so_is_understood(error):
    assert is_out_of_memory(error)
    shrunk = []

    def step(rows):
        if len(rows) > 2:
            raise error
        return sum(rows)

    batches = [tuple(range(8)), (8, 9, 10)]
    found = dict(halving(batches, step, shrink=shrunk.append, what=str))
    assert sorted(row for rows in found for row in rows) == list(range(11))
    assert all(sum(rows) == value for rows, value in found.items())
    assert shrunk == [4, 2]


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_pass(error):
    def step(_rows):
        raise error

    with pytest.raises(type(error)):
        list(halving([(1, 2)], step, shrink=print, what=str))
    with pytest.raises(type(error)):
        in_parts([1, 2], step, size=2)


def test_sums_of_gradients_are_the_same_after_a_batch_failed_half_way(monkeypatch):
    lm, plain = lm_of(), scored(lm_of())
    from broca.capture.samples import Work

    add, calls = Work._add, []

    def failing(self, *args):
        calls.append(1)
        if len(calls) in (40, 90):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        add(self, *args)

    monkeypatch.setattr(Work, "_add", failing)
    np.testing.assert_allclose(scored(lm), plain, rtol=1e-4, atol=1e-12)
    assert lm.batch_size == 6, "24 samples of a half, halved twice"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
