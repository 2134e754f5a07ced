"""Several processes give what one gives: the same values in the same order, the same error at the same place."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.cache.cells import cells, crewed
from broca.cache.memo import forget
from broca.errors import BrocaError, EngineError, GuardError, SpecError
from broca.workers import Local
from broca.workers.crew import TRIES
from workers import toys


@pytest.fixture(scope="module")
def crew():
    with Local(workers=2, threads=1).opened(toys.opening) as crew:
        yield crew


def given_out(iterator):
    """What an iterator gives before it ends, and the error that ends it."""
    got = []
    try:
        got.extend(part if isinstance(part, dict) else part.to_dict(as_series=False) for part in iterator)
    except BrocaError as error:
        return got, (type(error), str(error))
    return got, None


def same(a, b):
    return repr(a) == repr(b)


@given(
    parts=st.lists(st.integers(0, 30), max_size=12),
    fails=st.frozensets(st.integers(0, 30), max_size=2),
    in_force=st.lists(st.integers(0, 3), max_size=2),
)
@settings(max_examples=40)
def test_two_processes_give_what_one_gives(crew, parts, fails, in_force):
    lm, task = toys.Held(), toys.Draw(fails=fails)
    with lm.under(*in_force):
        one = given_out(cells(task, parts, lm, forget))
        two = given_out(cells(task, parts, lm, crewed(forget, crew, lm)))
    assert same(one, two)
    assert len(one[0]) == next((i for i, part in enumerate(parts) if part in fails), len(parts))


def test_parts_are_spread_and_each_process_has_its_threads(crew):
    crew.ready()
    found = dict(crew.computed(toys.who, enumerate(range(8))))
    pids, threads = zip(*found.values(), strict=True)
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert set(threads) == {1}


def test_values_stand_in_the_order_of_the_parts_whoever_is_done_first(crew, tmp_path):
    task, lm = toys.Waits(str(tmp_path / "mark")), toys.Held()
    done = crew.computed(task, enumerate(range(2)))
    assert next(done)[0] == 1
    (tmp_path / "mark").touch()
    assert next(done)[0] == 0
    (tmp_path / "mark").unlink()
    told = []

    def tell(done, total):
        told.append((done, total))
        if done == 1:
            (tmp_path / "mark").touch()

    in_order = cells(task, range(2), lm, crewed(forget, crew, lm), tell)
    assert [part["at"].tolist() for part in in_order] == [[0], [1]]
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(("times", "works"), [(1, True), (TRIES - 1, True), (TRIES, False)])
def test_a_killed_worker_costs_its_part_only(crew, tmp_path, times, works, caplog):
    task = toys.Kills(at=3, times=times, marks=str(tmp_path))
    got = {}
    if works:
        got.update(crew.computed(task, enumerate(range(8))))
        assert got == {i: i * i for i in range(8)}
    else:
        with pytest.raises(EngineError, match=rf"Part 3 has ended {TRIES} workers .*SIGKILL, as when memory runs out"):
            got.update(crew.computed(task, enumerate(range(8))))
    assert len(list(tmp_path.iterdir())) == times
    assert ("Another one does its part again" in caplog.text) == (times > 0 and TRIES > 1)
    # The crew goes on, and nothing of a call that was given up turns up in the next one.
    assert dict(crew.computed(toys.square, enumerate(range(5)))) == {i: i * i for i in range(5)}


def test_a_worker_that_is_killed_between_two_calls_is_replaced(crew):
    crew.ready()
    pids = {pid for pid, _ in dict(crew.computed(toys.who, enumerate(range(8)))).values()}
    os.kill(min(pids), signal.SIGKILL)
    again = dict(crew.computed(toys.who, enumerate(range(8))))
    assert len(again) == 8
    assert min(pids) not in {pid for pid, _ in again.values()}


@pytest.mark.parametrize("at", [{0}, {5}, {3, 5}, {2, 3, 4, 5}])
def test_the_first_error_in_the_order_of_the_parts_is_raised_when_all_before_it_is_done(crew, at):
    got = {}
    with pytest.raises(GuardError, match=f"^part {min(at)}$"):
        got.update(crew.computed(toys.Fails(frozenset(at)), enumerate(range(6))))
    assert got.keys() >= set(range(min(at)))


def test_an_earlier_part_that_fails_later_is_waited_for(crew, tmp_path):
    crew.ready()
    with pytest.raises(GuardError, match=r"^part 0$"):
        list(crew.computed(toys.FailsLate(str(tmp_path / "mark")), enumerate(range(6))))


def test_foreign_errors_come_with_the_trace_of_the_worker(crew):
    with pytest.raises(ZeroDivisionError, match="part 1") as caught:
        list(crew.computed(toys.Fails(frozenset({1}), ZeroDivisionError), enumerate(range(2))))
    assert "toys.py" in caught.value.__notes__[0]
    with pytest.raises(BrocaError, match="TwoArgumentsError in a worker: part 1 and"):
        list(crew.computed(toys.Fails(frozenset({1}), toys.two), enumerate(range(2))))


def test_what_cannot_be_sent_is_told_before_it_is_tried(crew):
    with pytest.raises(EngineError, match="task cannot be sent to workers"):
        list(crew.computed(lambda _held, part: part, enumerate(range(2))))
    with pytest.raises(EngineError, match="part cannot be sent to workers"):
        list(crew.computed(toys.square, enumerate([lambda: 1])))
    assert dict(crew.computed(toys.square, enumerate([3]))) == {0: 9}


def test_an_abandoned_call_leaves_nothing_behind(crew, tmp_path):
    """Both workers are still at its parts when the next call begins."""
    crew.ready()
    first = crew.computed(toys.Waits(str(tmp_path / "mark")), enumerate([1, 0, 0, 0]))
    next(first)
    threading.Timer(0.1, (tmp_path / "mark").touch).start()
    assert dict(crew.computed(toys.square, enumerate(range(3)))) == {0: 0, 1: 1, 2: 4}


def test_no_more_workers_are_started_than_there_are_parts():
    with Local(workers=8, threads=1).opened(toys.opening) as crew:
        assert list(crew.computed(toys.who, [])) == []
        assert crew.seats == set()
        list(crew.computed(toys.who, enumerate([1])))
        assert crew.seats == {0}


def test_every_library_of_a_worker_computes_with_its_threads():
    with Local(workers=2, threads=2).opened(toys.opening) as crew:
        assert dict(crew.computed(toys.pools, enumerate(range(1)))) == {0: {2}}


def test_what_fails_in_opening_is_raised_here(tmp_path):
    for source, error, text in (
        (toys.Opens(GuardError("not this model")), GuardError, "not this model"),
        (toys.Opens(dies=True), EngineError, f"{TRIES} workers ended before they held the model .*__main__"),
    ):
        with (
            Local(workers=2, threads=1).opened(lambda source=source: toys.opening(source)) as crew,
            pytest.raises(error, match=text),
        ):
            list(crew.computed(toys.square, enumerate([1])))


def test_workers_end_with_the_crew():
    with Local(workers=2, threads=1).opened(toys.opening) as crew:
        crew.ready()
        pids = {pid for pid, _ in dict(crew.computed(toys.who, enumerate(range(8)))).values()}
    assert all(map(toys.dead, pids))


def test_one_process_has_no_workers():
    with Local(threads=3).opened(toys.opening) as crew:
        assert crew is None
    assert Local().threads_each is None
    assert Local(threads=3).threads_each == 3


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": -1}, {"threads": 0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(SpecError, match="Give 1 or more"):
        Local(**wrong)
