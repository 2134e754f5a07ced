"""What an instrument asks can be read without torch: its command's help, its TOML and its checks answer at once."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOM = Path(find_spec("broca.instruments").submodule_search_locations[0])
SPECS = sorted(f"broca.instruments.{path.parent.name}.spec" for path in ROOM.glob("*/spec.py"))

READ = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
    heavy = {"torch", "transformers"} & sys.modules.keys()
    assert not heavy, f"{name} imports {heavy}"
"""


def test_no_spec_needs_torch():
    assert len(SPECS) >= 6
    done = subprocess.run([sys.executable, "-c", READ, *SPECS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
