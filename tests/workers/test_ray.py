"""Real Ray: the same pool laws over actors of a cluster on this machine, and words for clusters that are not there."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from broca.cache.cache import no_cache
from broca.cache.mapping import map_cached, with_pool
from broca.errors import EngineError, GuardError, SpecError
from broca.workers import Local, Ray
from broca.workers.pool import TRIES
from workers import toys


@pytest.fixture(scope="module")
def pool():
    with Ray(workers=2, threads=1).open_pool(toys.opening) as pool:
        pool.ready()
        yield pool


def test_actors_give_what_one_process_gives(pool):
    lm, parts = toys.Held(), [3, 1, 4, 1, 5, 9, 2, 6]
    with lm.under(2):
        one = list(map_cached(toys.Draw(), parts, lm, no_cache))
        spread = list(map_cached(toys.Draw(), parts, lm, with_pool(no_cache, pool, lm)))
    assert repr(spread) == repr(one)
    found = dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()
    assert len({pid for pid, _ in found} - {os.getpid()}) == 2
    assert {threads for _, threads in found} == {1}


def test_parts_come_as_they_are_done(pool, tmp_path):
    done = pool.compute_parts(toys.Waits(str(tmp_path / "mark")), enumerate(range(2)))
    assert next(done)[0] == 1
    (tmp_path / "mark").touch()
    assert next(done)[0] == 0


def test_an_error_is_the_one_that_one_process_raises(pool):
    with pytest.raises(GuardError, match=r"^part 3$"):
        list(pool.compute_parts(toys.Fails(frozenset({3, 5})), enumerate(range(6))))


@pytest.mark.parametrize(("times", "works"), [(1, True), (TRIES, False)])
def test_a_killed_actor_costs_its_part_only(pool, tmp_path, times, works):
    task = toys.Kills(at=3, times=times, marks=str(tmp_path))
    if works:
        assert dict(pool.compute_parts(task, enumerate(range(8)))) == {i: i * i for i in range(8)}
    else:
        with pytest.raises(EngineError, match=rf"Part 3 has ended {TRIES} workers \(the last one: .+\)"):
            list(pool.compute_parts(task, enumerate(range(8))))
    assert dict(pool.compute_parts(toys.square, enumerate(range(5)))) == {i: i * i for i in range(5)}


def test_a_cluster_that_is_too_small_is_told_with_the_number_that_would_do(pool):
    with (
        Ray(workers=64, threads=2).open_pool(toys.opening) as large,
        pytest.raises(
            EngineError, match=r"64 workers of 2 threads need 128 CPUs, and this Ray cluster has 2\. Use at most 1"
        ),
    ):
        large.ready()
    # A cluster that was there before is left alone.
    assert dict(pool.compute_parts(toys.square, enumerate([2]))) == {0: 4}


def test_a_model_on_a_gpu_needs_a_cluster_with_one(pool):
    with (
        Ray(workers=1, threads=1).open_pool(lambda: toys.opening(toys.Opens(cuda=True))) as other,
        pytest.raises(EngineError, match="this Ray cluster has none"),
    ):
        other.ready()


@pytest.fixture
def nobody():
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def somebody():
    """An address at which something listens that is no Ray: it says hello to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            with server.accept()[0] as line:
                line.sendall(b"220 mail.example ready\r\n")
                line.recv(100)

        threading.Thread(target=greet, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("who", ["nobody", "somebody"])
def test_an_address_without_a_cluster_is_told_at_once(who, request, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    address = request.getfixturevalue(who)
    began = time.monotonic()
    with (
        Ray(workers=2, address=address, threads=1).open_pool(toys.opening) as pool,
        pytest.raises(EngineError, match=rf"No Ray cluster answers at {address}: .*ray start --head"),
    ):
        pool.ready()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "address", ["", "here", "http://1.2.3.4:5", "1.2.3.4", "1.2.3.4:port", "1.2.3.4:99999", "[::1"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(SpecError, match="Write HOST:PORT"):
        Ray(workers=2, address=address)


def test_how_many_workers_is_asked_where_it_cannot_be_known():
    with pytest.raises(SpecError, match="Give workers"):
        Ray(address="1.2.3.4:6379")
    with pytest.raises(SpecError, match="Give 1 or more"):
        Ray(workers=0)
    assert Ray().n == max(1, Ray(threads=1).n)
    assert Ray(workers=3, threads=2).threads_each == 2
    assert Ray(workers=2).here
    assert not Ray(workers=2, address="auto").here


def test_without_ray_the_install_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=r"pip install 'broca-interp\[ray\]'"):
        Ray()
    assert Local(workers=2).record == {"kind": "local", "workers": 2}


@pytest.mark.slow
def test_a_cluster_that_was_started_by_hand(tmp_path):
    """A head node with a token of its own, joined by address from another process, and left running."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    environment = os.environ | token | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    script = tmp_path / "join.py"
    script.write_text(
        "from broca.workers import Ray\nfrom workers import toys\n"
        f"with Ray(workers=2, address='127.0.0.1:{port}', threads=1).open_pool(toys.opening) as pool:\n"
        "    print(sorted(pool.compute_parts(toys.square, enumerate(range(4)))))\n"
    )
    start = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--num-cpus=2",
        f"--port={port}",
    ]
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(
            [*start, "--include-dashboard=false"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(2):  # it is there for the next one too
            deadline = time.monotonic() + 180
            while True:
                told = subprocess.run(
                    [sys.executable, script], env=environment, capture_output=True, text=True, check=False
                )
                if told.returncode == 0 or time.monotonic() > deadline:
                    break
            assert "[(0, 0), (1, 1), (2, 4), (3, 9)]" in told.stdout, told.stderr + (tmp_path / "head.log").read_text()
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
