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

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is imported")

sys.meta_path.insert(0, NoTorch())
for name in sys.argv[1:]:
    import_module(name)
"""


def test_no_spec_needs_torch():
    assert len(SPECS) >= 6
    done = subprocess.run([sys.executable, "-c", READ, *SPECS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
