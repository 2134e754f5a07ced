"""Fixtures that every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from broca.storage.user_cache import VARIABLE

# A busy machine is no bug. A change is judged by the same examples twice; everywhere else they are drawn anew.
settings.register_profile("laws", deadline=None)
settings.register_profile("change", deadline=None, derandomize=True)
settings.load_profile("change" if os.environ.get("CI") else "laws")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _user_cache(tmp_path_factory):
    """What is kept for a user is kept for the tests alone, for all of their processes."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "user-cache"
    os.environ.setdefault(VARIABLE, str(place))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party samples, where there is one."""
    path = (ROOT / os.environ.get("BROCA_SHARED", "../shared")).resolve()
    if not path.is_dir():
        pytest.skip(f"no third-party samples: {path.name} is absent (set BROCA_SHARED)")
    return path


def pytest_terminal_summary(terminalreporter):
    """Sum up what laws have counted, such as kills."""
    counts: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
                counts[name] = counts.get(name, 0) + value
    for name, value in counts.items():
        terminalreporter.write_line(f"{name}: {value:,}")
