"""What is left of a run that is stopped from outside: whole cells, and no processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broca.runs.cells import Cells
from workers import toys

SCRIPT = Path(__file__).with_name("held_up.py")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param("local", signal.SIGINT, id="local-ctrl-c"),
        pytest.param("local", signal.SIGKILL, id="local-kill"),
        pytest.param("ray", signal.SIGINT, marks=pytest.mark.slow, id="ray-ctrl-c"),
        pytest.param("ray", signal.SIGKILL, marks=pytest.mark.slow, id="ray-kill"),
        pytest.param("slurm", signal.SIGKILL, id="slurm-kill"),
    ],
)
def test_a_stopped_run_leaves_whole_cells_and_no_processes(kind, how, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, str(SCRIPT), kind, str(tmp_path)]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        assert run.stdout is not None
        assert run.stderr is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        assert len(pids) == 2, run.stderr.read()
        assert run.stdout.readline() == "ready\n"
        started = time.monotonic()
        if how == signal.SIGINT:
            # As a terminal does it: to every process of the group.
            os.killpg(run.pid, signal.SIGINT)
        else:
            run.kill()
        told = run.communicate(timeout=60)[1]
    finally:
        run.kill()
        run.wait()
    assert run.returncode == -how
    deadline = started + 60
    while not all(map(toys.dead, pids)):
        assert time.monotonic() < deadline, "workers outlive the run"
    assert told.count("KeyboardInterrupt") == (how == signal.SIGINT), told
    # A new process finds the one cell that was done, whole, and nothing half-written.
    files = list((tmp_path / "cells").iterdir())
    assert len(files) == 1
    found = Cells(tmp_path / "cells")({"cell": "blocks", "part": 0}, pytest.fail)
    assert found["part"].tolist() == [0]
