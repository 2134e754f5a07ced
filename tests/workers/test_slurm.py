"""Jobs that submitit starts on this machine, and those of a cluster whose commands are scripts of this machine; each wait has an end."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

import zoo
from broca.cache.cache import no_cache
from broca.cache.mapping import map_cached, with_pool
from broca.cli.execute import engine_of
from broca.cli.options import Working
from broca.errors import EngineError, GuardError, SpecError
from broca.instruments.localize.spec import Localize
from broca.models.build import save
from broca.models.lm import LM
from broca.runs import run
from broca.workers import Local, Slurm
from broca.workers.jobs import CallBack
from broca.workers.pool import TRIES
from broca.workers.worker import WorkerId
from workers import cluster_here, toys

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Slurm and submitit are of Unix")
SECONDS = 60


@pytest.fixture(autouse=True)
def _an_end():
    """Whatever waits longer fails."""

    def fail(*_):
        pytest.fail(f"waited for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs") / "jobs"


@pytest.fixture(scope="module")
def pool(folder):
    with Slurm(workers=2, threads=1, cluster="local").open_pool(toys.opening, folder) as pool:
        yield pool


def test_jobs_give_what_one_process_gives(pool):
    lm, parts = toys.Held(), [3, 1, 4, 1, 5, 9, 2, 6]
    with lm.under(2):
        one = list(map_cached(toys.Draw(), parts, lm, no_cache))
        spread = list(map_cached(toys.Draw(), parts, lm, with_pool(no_cache, pool, lm)))
    assert repr(spread) == repr(one)
    pool.ready()
    found = dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()
    assert len({pid for pid, _ in found} - {os.getpid()}) == 2
    assert {threads for _, threads in found} == {1}


def test_an_error_is_the_one_that_one_process_raises(pool):
    with pytest.raises(GuardError, match=r"^part 3$"):
        list(pool.compute_parts(toys.Fails(frozenset({3, 5})), enumerate(range(6))))


def test_nobody_else_sees_the_folder_and_no_cell_stands_in_it(pool, folder):
    list(pool.compute_parts(toys.Says("a cell's own word"), enumerate(range(2))))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".pkl" for path in kept)
    assert not any(b"a cell's own word" in path.read_bytes() for path in kept)


def test_who_does_not_know_the_key_is_let_in_nowhere(pool):
    port = pool._staff._door.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), 10) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 300)
        assert dict(pool.compute_parts(toys.square, enumerate(range(4)))) == {i: i * i for i in range(4)}
    call = CallBack(("127.0.0.1",), port, b"another key", 0, WorkerId(0, 1), ())
    with pytest.raises(EngineError, match=r"cannot reach the process that submitted it .* within a job of its own"):
        # Two sides in one process: what is waiting is let in, and turned away, by whoever asks for reports.
        list(pool.compute_parts(toys.Calls(call), enumerate(range(1))))


@pytest.mark.parametrize("told", [signal.SIGUSR2, signal.SIGKILL], ids=["its time is over", "killed"])
def test_a_job_that_ends_costs_its_part_only(pool, tmp_path, told, caplog):
    task = toys.Kills(at=3, times=1, marks=str(tmp_path), told=told)
    assert dict(pool.compute_parts(task, enumerate(range(8)))) == {i: i * i for i in range(8)}
    assert "Another one does its part again." in caplog.text
    assert ("its time is over (--hours)" in caplog.text) == (told == signal.SIGUSR2)


def test_what_ends_job_after_job_is_said_with_the_log(pool, tmp_path):
    task = toys.Kills(at=0, times=TRIES, marks=str(tmp_path))
    with pytest.raises(
        EngineError, match=rf"Part 0 has ended {TRIES} workers \(the last one: job \d+: .+; its log is "
    ) as error:
        list(pool.compute_parts(task, enumerate(range(2))))
    (log,) = re.findall(r"its log is (\S+\.err)\)", str(error.value))
    assert Path(log).is_file()


def test_a_source_that_cannot_be_opened_is_the_error(tmp_path):
    opening = toys.Opens(error=GuardError("no such model"))
    with (
        Slurm(1, threads=1, cluster="local").open_pool(lambda: toys.opening(opening), tmp_path / "jobs") as pool,
        pytest.raises(GuardError, match="no such model"),
    ):
        pool.ready()


# -- a cluster of this machine -------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The commands of Slurm on the path; gives the folder in which what was submitted stays."""
    place = tmp_path / "cluster"
    place.mkdir()
    cluster_here.install(place)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER_HERE", str(place))
    return place


def test_options_become_jobs(cluster):
    asked = Working("slurm", 3, 2, partition="gpu,long", hours=1.5, gpus=1, memory=24, account="lab")
    engine = engine_of(asked)
    assert engine == Slurm(3, "gpu,long", 1.5, 1, 24, "lab", 2)
    assert engine_of(Working("slurm", 3)) == Slurm(3)
    assert engine.record == {"kind": "slurm", "workers": 3}
    assert not engine.here


def test_an_array_of_jobs_is_asked_for(cluster, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "broca.workers.jobs")
    monkeypatch.setattr(socket, "gethostname", lambda: "127.0.0.1")
    engine = Slurm(2, partition="long", hours=1.5, memory=3, account="lab", threads=2)
    with engine.open_pool(toys.opening, tmp_path / "jobs") as pool:
        pool.ready()
        assert dict(pool.compute_parts(toys.square, enumerate(range(5)))) == {i: i * i for i in range(5)}
        pids = {pid for pid, _ in dict(pool.compute_parts(toys.who, enumerate(range(8)))).values()}
    script = (cluster / "1.script").read_text()
    asked = set(re.findall(r"(?m)^#SBATCH --(.*)$", script))
    assert {
        "array=0-1%2",
        "partition=long",
        "time=90",
        "mem=3GB",
        "account=lab",
        "cpus-per-task=2",
        "job-name=broca",
    } <= asked
    assert "signal=USR2@90" in asked
    assert not any(option.startswith("gpus") for option in asked)
    assert re.search(r"(?m)^srun .*--cpus-per-task=2 .*-m submitit\.core\._submit ", script)
    assert f"Jobs asked for: 1_0, 1_1. Their logs: {tmp_path / 'jobs'}" in caplog.text
    while not all(map(toys.dead, pids)):  # the fixture's alarm ends it
        os.sched_yield()


def test_jobs_that_are_refused_are_told(cluster, tmp_path):
    with (
        Slurm(2, partition="full").open_pool(toys.opening, tmp_path / "jobs") as pool,
        pytest.raises(
            EngineError, match=r"The cluster took no jobs: sbatch: error: invalid partition specified: full\..*sinfo"
        ),
    ):
        pool.ready()


def test_a_model_on_the_cpu_wants_no_gpu(cluster):
    assert "gpus_per_node" not in Slurm(2).parameters(cuda=False)
    assert Slurm(2).parameters(cuda=True)["gpus_per_node"] == 1
    with pytest.raises(EngineError, match=r"on the CPU here, and jobs were asked for with gpus=1\."):
        Slurm(2, gpus=1).parameters(cuda=False)
    with pytest.raises(EngineError, match=r"on a GPU here, and jobs were asked for with gpus=0\..*--gpus 1"):
        Slurm(2, gpus=0).parameters(cuda=True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"hours": 0}, "hours is 0. Give more than 0"),
        ({"hours": float("nan")}, "hours is nan"),
        ({"memory": -1}, "memory is -1"),
        ({"gpus": 2}, "at most: give 0 or 1, and more workers"),
        ({"gpus": -1}, "gpus is -1"),
        ({"partition": "a b"}, "partition is 'a b'"),
        ({"account": "a\n#SBATCH --exclusive"}, "account is"),
    ],
)
def test_what_no_job_can_have_is_refused(given, told):
    with pytest.raises(SpecError, match=told):
        Slurm(**{"workers": 2, "cluster": "local"} | given)


def test_what_is_missing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="There is no Slurm here"):
        Slurm(2)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=r"pip install 'broca-interp\[slurm\]'"):
        Slurm(2)


@pytest.mark.slow
def test_a_run_on_a_cluster_ends_with_the_bytes_of_one_process(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "127.0.0.1")
    save(zoo.build("llama", positions=1024), zoo.tokenizer(), tmp_path / "tiny")
    lm = LM.load(str(tmp_path / "tiny"), device="cpu")
    spec = Localize(contrast="pain", sites="*.mlp_act", twins=2, permutations=60)
    one = run(spec, lm, tmp_path / "one", engine=Local(threads=1))
    made = run(spec, lm, tmp_path / "made", engine=Slurm(2, threads=1))
    assert (made.path / "result.json").read_bytes() == (one.path / "result.json").read_bytes()
    assert (made.path / "tensors.safetensors").read_bytes() == (one.path / "tensors.safetensors").read_bytes()
    assert made.manifest["engine"]["kind"] == "slurm"
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
