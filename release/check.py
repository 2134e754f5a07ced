"""What a release has to pass: workflows that are valid, a wheel that holds everything and is small, and a demo from it alone.

Run by `make release-check`. A wheel and an sdist are built into ``dist/``, the wheel from the sdist; the wheel is installed into an
environment of its own, far from the source, and `broca demo` and `broca verify` are run there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
LARGEST = 25e6
"""Bytes of a wheel."""
WANTED = (
    "broca/py.typed", "broca/__init__.pyi", "broca/reports/templates/page.html", "broca/stimuli/data/plain.json",
    "broca/organisms/beliefs/weights/model.safetensors", "broca/organisms/routed/weights/model.safetensors",
)  # fmt: skip
UNWANTED = ("tests/", "docs/", "benchmarks/", "shared/")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(each for each in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if each.name != "config.yml")


def main() -> None:
    """Each step, and a sentence about it; whatever fails ends it."""
    schemas = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    run([*schemas, "vendor.github-workflows", *WORKFLOWS])
    run([*schemas, "vendor.github-issue-forms", *FORMS])
    for old in DIST.glob("broca_interp-*"):
        old.unlink()
    run([sys.executable, "-m", "build", "--outdir", DIST, ROOT])
    run([sys.executable, "-m", "twine", "check", "--strict", *DIST.glob("broca_interp-*")])
    (wheel,) = DIST.glob("*.whl")
    print(check_wheel(wheel))
    with tempfile.TemporaryDirectory() as folder:
        print(check_demo(wheel, Path(folder)))


def check_wheel(wheel: Path) -> str:
    """What a wheel holds, and how large it is.

    Raises:
        SystemExit: if something is missing, should not be there, or makes it too large.
    """
    names = zipfile.ZipFile(wheel).namelist()
    if missing := [name for name in WANTED if name not in names]:
        raise SystemExit(f"{wheel.name} lacks {', '.join(missing)}.")
    if extra := [name for name in names if name.startswith(UNWANTED) or name.endswith(".pyc")]:
        raise SystemExit(f"{wheel.name} holds {', '.join(extra[:5])}, which are no part of the package.")
    size = wheel.stat().st_size
    if size >= LARGEST:
        raise SystemExit(f"{wheel.name} has {size / 1e6:.1f} MB, and may have {LARGEST / 1e6:.0f}.")
    return f"{wheel.name}: {len(names)} files, {size / 1e6:.1f} MB."


def check_demo(wheel: Path, folder: Path) -> str:
    """The demo from the wheel, in an environment of its own, and whether its runs are as written."""
    run([sys.executable, "-m", "venv", folder / "environment"])
    scripts = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
    # torch first: where there is no GPU the pinned version is the build without CUDA.
    for what in ("torch", wheel):
        run([scripts / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", what])
    told = run([scripts / "broca", "--version"], folder)
    if told.strip() != wheel.name.split("-")[1]:
        raise SystemExit(f"broca --version says {told.strip()}, and the wheel is {wheel.name}.")
    run([scripts / "broca", "demo"], folder)
    pages = sorted((folder / "runs").glob("*/report.html"))
    if not pages:
        raise SystemExit("broca demo wrote no report.")
    run([scripts / "broca", "verify", "runs"], folder)
    return f"broca {told.strip()} from its wheel: {', '.join(page.parent.name for page in pages)} written and verified."


def run(command: Sequence[object], where: Path = ROOT) -> str:
    """What a command prints, shown as well.

    Raises:
        SystemExit: if it fails.
    """
    words = [str(word) for word in command]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=where, env=kept, text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout, end="")
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:4])} … ended with {done.returncode}.")
    return done.stdout


if __name__ == "__main__":
    main()
