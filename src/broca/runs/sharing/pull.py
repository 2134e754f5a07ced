"""A run taken from the hub: what its manifest lists and nothing else, each file held against its checksum.

Everything in such a repository is a stranger's. Names are checked before anything is asked for by them, sizes before anything is read, and
no page of theirs is kept: a report is made here, from the run.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from broca.errors import RunError
from broca.models.access import access
from broca.runs.manifest import FinishedManifest, check, read_manifest
from broca.runs.opening import partial_of
from broca.runs.reading import MANIFEST, SPEC
from broca.runs.sharing.address import Address
from broca.runs.sharing.hub import hub_errors
from broca.storage import digest, hold_lock, read, write, writing

LARGEST = 4_000_000_000
"""Bytes of a run that is pulled."""
_SMALL = 20_000_000
"""Bytes of a manifest or a spec."""
_FILES = re.compile(r"(?:tables/)?[A-Za-z0-9_][A-Za-z0-9_-]*\.(?:parquet|safetensors|json|toml)")
"""Names of files that a run has."""


def pull(name: str, to: str | Path | None = None, *, out: str | Path = "runs") -> Path:
    """Take a run from the hub into a folder, whole or not at all.

    Args:
        name: ``user/name``, with ``@revision`` where one is meant.
        to: the run's directory; ``<out>/<name>`` when None.
        out: the folder of runs.

    Returns:
        The run's directory.

    Raises:
        RunError: if there is no such run, it is damaged or no run, something is in the way, or the hub cannot be reached.
    """
    address = Address.parse(name)
    final = Path(to) if to is not None else Path(out) / address.name.rpartition("/")[2]
    if final.exists():
        raise RunError(
            f"{final} exists, and is not overwritten. Give another place: broca pull {address.name} --to DIR."
        )
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(final.with_name(f".{final.name}.lock")):
        partial = partial_of(final)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _fetch_all(address, partial)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


def pull_spec(name: str, folder: Path) -> Path:
    """Take the spec alone of a run from the hub into a folder; see `broca.runs.sharing.strangers` for what it may hold.

    Raises:
        RunError: as `pull`.
    """
    address = Address.parse(name)
    manifest, _, commit = _manifest(address)
    content = _checked_manifest(address, SPEC, manifest, commit)
    write(folder / SPEC, content)
    return folder / SPEC


def _fetch_all(address: Address, folder: Path) -> None:
    manifest, raw, commit = _manifest(address)
    with writing(folder):
        (folder / "tables").mkdir(parents=True)
    for name in manifest["files"]:
        write(folder / name, _checked_manifest(address, name, manifest, commit))
    write(folder / MANIFEST, raw)


def _manifest(address: Address) -> tuple[dict[str, Any], bytes, str]:
    """The manifest of the run there, as it was read, and the commit that everything else is taken from."""
    from huggingface_hub import HfApi

    with hub_errors(address):
        info = HfApi(token=access().get("token")).dataset_info(address.name, revision=address.revision, timeout=30)
    commit = str(info.sha)
    raw = _download(address, MANIFEST, commit, _SMALL)
    place = Path(str(address)) / MANIFEST
    told, wrong = read_manifest(raw, place)
    if wrong:
        raise RunError(f"{address} is damaged: {wrong}.")
    check(told, FinishedManifest, place)
    _refuse_names(address, told)
    return told, raw, commit


def _refuse_names(address: Address, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that lists what no run has, or more than can be meant.

    Raises:
        RunError: naming it.
    """
    files = manifest["files"]
    if strange := [name for name in files if not _FILES.fullmatch(name) or name == MANIFEST]:
        raise RunError(f"{address} lists {strange[0][:80]!r}, which is no file of a run. Nothing of it was taken.")
    if SPEC not in files:
        raise RunError(f"{address} lists no {SPEC}, so it is no run. Nothing of it was taken.")
    size = sum(int(each["bytes"]) for each in files.values())
    if size > LARGEST:
        raise RunError(f"{address} has {size:,} bytes, and a run that is pulled has {LARGEST:,} at most.")


def _checked_manifest(address: Address, name: str, manifest: dict[str, Any], commit: str) -> bytes:
    written = manifest["files"][name]
    content = _download(address, name, commit, int(written["bytes"]))
    if digest(content) != written["sha256"]:
        raise RunError(f"{name} of {address} does not match its checksum. Nothing of it was taken.")
    return content


def _download(address: Address, name: str, commit: str, most: int) -> bytes:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    how = access()
    with hub_errors(address):
        api = HfApi(token=how.get("token"))
        listed = api.get_paths_info(address.name, [name], revision=commit, repo_type="dataset")
        size = next((each.size for each in listed if isinstance(each, RepoFile) and each.path == name), None)
        if size is None:
            raise RunError(f"{address} has no {name}, so it is no run.")
        if size > most:
            raise RunError(
                f"{name} of {address} has {size:,} bytes, and should have {most:,} at most. Nothing of it was taken."
            )
        file = api.hf_hub_download(
            address.name, name, repo_type="dataset", revision=commit, cache_dir=how.get("cache_dir")
        )
    return read(Path(file).resolve())
