"""The package as it is built and installed: its names, its extras, and what it imports before anything is asked of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import broca

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]

HEAVY = ("torch", "transformers", "polars", "pydantic", "numpy", "scipy", "altair", "jinja2", "huggingface_hub")
HELP = f"""
import sys
sys.argv = ["broca", "--help"]
from broca import cli
try:
    cli.main()
except SystemExit:
    pass
assert not (found := set({HEAVY}) & sys.modules.keys()), found
"""


def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lesion" in done.stdout


def test_the_extra_of_all_names_every_other():
    (everything,) = EXTRAS["all"]
    assert Requirement(everything).name == PROJECT["project"]["name"] == broca.DISTRIBUTION
    assert Requirement(everything).extras == EXTRAS.keys() - {"all"}


def test_every_extra_stands_on_the_page_of_installing():
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| `([\w-]+)` \|", page) == [name for name in EXTRAS if name != "all"]


def test_every_requirement_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    groups = [entry for group in PROJECT["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    asked = [*PROJECT["project"]["dependencies"], *(entry for extra in EXTRAS.values() for entry in extra), *groups]
    named = {canonicalize_name(Requirement(entry).name) for entry in asked} - {broca.DISTRIBUTION}
    assert named - pinned == set()


def test_the_citation_is_of_the_last_version_that_was_released():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    released = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == released[0]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "constraints.txt"])
def test_the_source_distribution_holds(name):
    assert name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert (ROOT / name).is_file()
