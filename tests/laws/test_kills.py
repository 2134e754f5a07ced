"""What is killed at any moment, and typed again, ends as if nothing had happened: same bytes, nothing left, nothing locked.

`make test` kills two commands at a few moments; `make test-all` every command that writes, at a dozen; BROCA_KILLS=40 at so many.
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

MANY, FEW = int(os.environ.get("BROCA_KILLS", "12")), 5
SHORT = ("score", "train")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits what a process may write")


def killed(folder: Path, moments: int, *names: str) -> list[dict]:
    """What `kills` prints of these commands."""
    script = Path(__file__).with_name("kills.py")
    settings = {"PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-W", "ignore", str(script), str(folder), str(moments), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: dict, moments: int) -> None:
    assert found["faults"] == []
    # The last moments may come after the end of what is counted, when nothing is left to be killed in.
    assert found["kills"] >= min(moments, found["events"]) * 0.8


def test_two_commands_killed_at_a_few_moments_end_the_same(tmp_path, record_property):
    found = killed(tmp_path, FEW, *SHORT)
    assert [each["name"] for each in found] == list(SHORT)
    record_property("kills", sum(each["kills"] for each in found))
    for each in found:
        check(each, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", small.COMMANDS)
def test_every_command_killed_at_many_moments_ends_the_same(tmp_path, name, record_property):
    if name == "tasks" and not importlib.util.find_spec("lm_eval"):
        pytest.skip("the extra lm-eval is not installed")
    (found,) = killed(tmp_path, MANY, name)
    record_property("kills", found["kills"])
    check(found, MANY)
