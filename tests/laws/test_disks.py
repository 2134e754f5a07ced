"""A place that cannot be written to is refused in a sentence before any model is loaded; a disk that fills up within the work costs what
did not fit alone: nothing is half written, and with more room the same command ends as always.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import small

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits what a process may write"),
    pytest.mark.slow,
]
ON_A_DISK = [name for name, each in small.COMMANDS.items() if "*" not in each.words[-1]]
"""What is written to a place that is chosen."""


@pytest.mark.parametrize("name", ON_A_DISK)
def test_no_room_is_said_before_the_work_and_too_little_costs_nothing_else(tmp_path, name, record_property):
    if name == "tasks" and not importlib.util.find_spec("lm_eval"):
        pytest.skip("the extra lm-eval is not installed")
    script = Path(__file__).with_name("disks.py")
    settings = {"PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    record_property("disks", found["disks"])
    assert found["faults"] == []
    assert found["disks"] >= 4
