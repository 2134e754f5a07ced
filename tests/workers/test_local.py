"""Several processes give what one gives: the same values in the same order, the same error at the same place."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.cache.cache import no_cache
from broca.cache.mapping import map_cached, with_pool
from broca.errors import BrocaError, EngineError, GuardError, SpecError
from broca.workers import Local
from broca.workers.pool import TRIES
from workers import toys


@pytest.fixture(scope="module")
def pool():
    with Local(workers=2, threads=1).open_pool(toys.opening) as pool:
        yield pool


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
def test_two_processes_give_what_one_gives(pool, parts, fails, in_force):
    lm, task = toys.Held(), toys.Draw(fails=fails)
    with lm.under(*in_force):
        one = given_out(map_cached(task, parts, lm, no_cache))
        two = given_out(map_cached(task, parts, lm, with_pool(no_cache, pool, lm)))
    assert same(one, two)
    assert len(one[0]) == next((i for i, part in enumerate(parts) if part in fails), len(parts))


def test_parts_are_spread_and_each_process_has_its_threads(pool):
    pool.ready()
    found = dict(pool.compute_parts(toys.who, enumerate(range(8))))
    pids, threads = zip(*found.values(), strict=True)
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert set(threads) == {1}


def test_values_stand_in_the_order_of_the_parts_whoever_is_done_first(pool, tmp_path):
    task, lm = toys.Waits(str(tmp_path / "mark")), toys.Held()
    done = pool.compute_parts(task, enumerate(range(2)))
    assert next(done)[0] == 1
    (tmp_path / "mark").touch()
    assert next(done)[0] == 0
    (tmp_path / "mark").unlink()
    told = []

    def tell(done, total):
        told.append((done, total))
        if done == 1:
            (tmp_path / "mark").touch()

    in_order = map_cached(task, range(2), lm, with_pool(no_cache, pool, lm), tell)
    assert [part["at"].tolist() for part in in_order] == [[0], [1]]
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(("times", "works"), [(1, True), (TRIES - 1, True), (TRIES, False)])
def test_a_killed_worker_costs_its_part_only(pool, tmp_path, times, works, caplog):
    task = toys.Kills(at=3, times=times, marks=str(tmp_path))
    got = {}
    if works:
        got.update(pool.compute_parts(task, enumerate(range(8))))
        assert got == {i: i * i for i in range(8)}
    else:
        with pytest.raises(EngineError, match=rf"Part 3 has ended {TRIES} workers .*SIGKILL, as when memory runs out"):
            got.update(pool.compute_parts(task, enumerate(range(8))))
    assert len(list(tmp_path.iterdir())) == times
    assert ("Another one does its part again" in caplog.text) == (times > 0 and TRIES > 1)
    # The pool goes on, and nothing of a call that was given up turns up in the next one.
    assert dict(pool.compute_parts(toys.square, enumerate(range(5)))) == {i: i * i for i in range(5)}


def test_a_worker_that_is_killed_between_two_calls_is_replaced(pool):
    pool.ready()
    pids = {pid for pid, _ in dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()}
    os.kill(min(pids), signal.SIGKILL)
    again = dict(pool.compute_parts(toys.who, enumerate(range(8))))
    assert len(again) == 8
    assert min(pids) not in {pid for pid, _ in again.values()}


@pytest.mark.parametrize("at", [{0}, {5}, {3, 5}, {2, 3, 4, 5}])
def test_the_first_error_in_the_order_of_the_parts_is_raised_when_all_before_it_is_done(pool, at):
    got = {}
    with pytest.raises(GuardError, match=f"^part {min(at)}$"):
        got.update(pool.compute_parts(toys.Fails(frozenset(at)), enumerate(range(6))))
    assert got.keys() >= set(range(min(at)))


def test_an_earlier_part_that_fails_later_is_waited_for(pool, tmp_path):
    pool.ready()
    with pytest.raises(GuardError, match=r"^part 0$"):
        list(pool.compute_parts(toys.FailsLate(str(tmp_path / "mark")), enumerate(range(6))))


def test_foreign_errors_come_with_the_trace_of_the_worker(pool):
    with pytest.raises(ZeroDivisionError, match="part 1") as caught:
        list(pool.compute_parts(toys.Fails(frozenset({1}), ZeroDivisionError), enumerate(range(2))))
    assert "toys.py" in caught.value.__notes__[0]
    with pytest.raises(BrocaError, match="TwoArgumentsError in a worker: part 1 and"):
        list(pool.compute_parts(toys.Fails(frozenset({1}), toys.two), enumerate(range(2))))


def test_what_cannot_be_sent_is_told_before_it_is_tried(pool):
    with pytest.raises(EngineError, match="task cannot be sent to workers"):
        list(pool.compute_parts(lambda _held, part: part, enumerate(range(2))))
    with pytest.raises(EngineError, match="part cannot be sent to workers"):
        list(pool.compute_parts(toys.square, enumerate([lambda: 1])))
    assert dict(pool.compute_parts(toys.square, enumerate([3]))) == {0: 9}


def test_an_abandoned_call_leaves_nothing_behind(pool, tmp_path):
    """Both workers are still at its parts when the next call begins."""
    pool.ready()
    first = pool.compute_parts(toys.Waits(str(tmp_path / "mark")), enumerate([1, 0, 0, 0]))
    next(first)
    threading.Timer(0.1, (tmp_path / "mark").touch).start()
    assert dict(pool.compute_parts(toys.square, enumerate(range(3)))) == {0: 0, 1: 1, 2: 4}


def test_no_more_workers_are_started_than_there_are_parts():
    with Local(workers=8, threads=1).open_pool(toys.opening) as pool:
        assert list(pool.compute_parts(toys.who, [])) == []
        assert pool.worker_ids == set()
        list(pool.compute_parts(toys.who, enumerate([1])))
        assert pool.worker_ids == {0}


def test_every_library_of_a_worker_computes_with_its_threads():
    with Local(workers=2, threads=2).open_pool(toys.opening) as pool:
        assert dict(pool.compute_parts(toys.pools, enumerate(range(1)))) == {0: {2}}


def test_what_fails_in_opening_is_raised_here(tmp_path):
    for source, error, text in (
        (toys.Opens(GuardError("not this model")), GuardError, "not this model"),
        (toys.Opens(dies=True), EngineError, f"{TRIES} workers ended before they held the model .*__main__"),
    ):
        with (
            Local(workers=2, threads=1).open_pool(lambda source=source: toys.opening(source)) as pool,
            pytest.raises(error, match=text),
        ):
            list(pool.compute_parts(toys.square, enumerate([1])))


def test_workers_end_with_the_crew():
    with Local(workers=2, threads=1).open_pool(toys.opening) as pool:
        pool.ready()
        pids = {pid for pid, _ in dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()}
    assert all(map(toys.dead, pids))


def test_one_process_has_no_workers():
    with Local(threads=3).open_pool(toys.opening) as pool:
        assert pool is None
    assert Local().threads_each is None
    assert Local(threads=3).threads_each == 3


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": -1}, {"threads": 0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(SpecError, match="Give 1 or more"):
        Local(**wrong)
