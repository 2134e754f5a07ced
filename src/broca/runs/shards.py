"""Raw captures on disk: a folder of safetensors shards and a manifest that says what they are.

The manifest is written first, each shard whole or not at all. Whoever is killed repeats the call: shards that are there are
left alone, and the folder ends with the same bytes. A folder that lacks a shard cannot be opened. Tensors have the names that
converted captures of Error Mech Analysis have; these are ragged, those padded as they were stored.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from broca import __version__
from broca.capture.raw import CONVENTION, CaptureParts, Raw, raw, raw_bytes, split
from broca.errors import RunError
from broca.items import fingerprint
from broca.models.rendering import Prompt
from broca.models.tokens import Chat
from broca.runs.formats import json_to_bytes
from broca.runs.manifest import SEAL, CaptureManifest, check, seal, seal_fits
from broca.runs.spec import dtype_name
from broca.runs.store import parse_json as store_json
from broca.storage import digest, hold_lock, inside, read, sweep, write, writing

_log = logging.getLogger(__name__)

SCHEMA = 1
_HEADER = "broca"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One text's capture; `tensors` as of `broca.capture.raw.split`."""

    id: str
    tensors: Mapping[str, Tensor]
    completion: str
    """What the model wrote, without the prompt; empty if nothing was asked for."""


@dataclass(frozen=True, slots=True)
class RawCapture:
    """A whole folder, opened."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def ids(self) -> tuple[str, ...]:
        """The rows, in order."""
        return tuple(self.manifest["rows"])

    def __iter__(self) -> Iterator[Row]:
        """Every row, in order, one shard in memory at a time."""
        for number, ids in enumerate(_cut(self.ids, self.manifest["shard"])):
            found = self._shard(number, ids)
            completions = found.completions or ("",) * len(ids)
            yield from (Row(*row) for row in zip(ids, split(found), completions, strict=True))

    def find_damage(self) -> Iterator[str]:
        """What is wrong with each shard; nothing where it is whole."""
        for number, ids in enumerate(_cut(self.ids, self.manifest["shard"])):
            yield _wrong(self.path / _name(number), ids, self.manifest["config_hash"])

    def row(self, id: str) -> Row:  # noqa: A002 - what it is called in the manifest
        """One row.

        Raises:
            RunError: if there is no such row, or its shard is damaged.
        """
        if id not in self.ids:
            raise RunError(
                f"{self.path} has no row {id!r}. It has {len(self.ids)}, from {self.ids[0]!r} to {self.ids[-1]!r}."
            )
        at, size = self.ids.index(id), self.manifest["shard"]
        ids = _cut(self.ids, size)[at // size]
        found = self._shard(at // size, ids)
        return Row(id, list(split(found))[at % size], found.completions[at % size] if found.completions else "")

    def _shard(self, number: int, ids: Sequence[str]) -> Raw:
        return _shard(self.path / _name(number), ids, self.manifest["config_hash"])


def write_raw(
    folder: str | Path,
    lm: Any,
    rows: Sequence[tuple[str, Prompt]],
    wanted: CaptureParts,
    *,
    chat: Chat = "auto",
    shard: int = 64,
    size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> RawCapture:
    """Capture texts into a folder; repeat the call to go on after a kill.

    Args:
        folder: where; made if it is not there.
        lm: the model; whatever interventions are in force apply, and are named in the manifest.
        rows: an id and a prompt each.
        wanted: what to keep; `broca.capture.raw.raw_bytes` says how much it is.
        chat: see `broca.models.tokens.Chat`.
        shard: texts a file. What is wanted of so many texts must fit into memory.
        size: texts a batch: recorded, since the last bits depend on it.
        progress: called with (texts done, texts in all) after each shard.

    Raises:
        RunError: if ids repeat, the folder has captures of something else, there is too little space, or the disk refuses.
        SiteUnavailable: if the model has no such site.
        GuardError: if attention cannot be read from this model.
    """
    ids = [id for id, _ in rows]  # noqa: A001
    if not ids or len(set(ids)) < len(ids) or shard < 1:
        raise RunError(
            f"{len(ids)} rows with {len(set(ids))} ids, {shard} a shard. Give each row an id of its own, and at least one."
        )
    folder = Path(folder).expanduser()
    texts = [text for _, text in rows]
    volume = raw_bytes(lm, texts, wanted, chat=chat)
    more = {"chat": chat, "shard": shard, "batch_size": size}
    manifest = seal(_manifest(lm, rows, wanted, more) | {"tensor_bytes": volume})
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / ".lock"):
        sweep(folder, alone=True)
        _settle(folder, manifest)
        of = manifest["config_hash"]
        for number, part in enumerate(_cut(range(len(rows)), shard)):
            path = folder / _name(number)
            if path.exists() and (wrong := _wrong(path, [ids[i] for i in part], of)):
                _log.warning("%s Its texts are captured again.", wrong)
                path.unlink()
            if not path.exists():
                _room(folder, volume * len(part) // len(rows))
                found = raw(lm, [texts[i] for i in part], wanted, chat=chat, size=size)
                tensors = {name: each.contiguous() for name, each in found.tensors.items()}
                told = {"rows": [ids[i] for i in part], "completions": list(found.completions), "capture": of}
                header = json.dumps(told | {"sha256": _sum(told, tensors)})
                write(path, save(tensors, {_HEADER: header}))
            if progress is not None:
                progress(part[-1] + 1, len(rows))
    return open_raw(folder)


def open_raw(folder: str | Path) -> RawCapture:
    """A folder that `write_raw` has finished.

    Raises:
        RunError: if it has no manifest, or rows are missing.
    """
    path = Path(folder).expanduser()
    place = path / _MANIFEST
    manifest = store_json(read(inside(path, _MANIFEST)), place)
    check(manifest, CaptureManifest, place)
    if SEAL in manifest and not seal_fits(manifest):
        raise RunError(f"{place} is damaged: it does not match its own checksum. Capture again into another folder.")
    parts = _cut(manifest["rows"], manifest["shard"])
    missing = [id for number, ids in enumerate(parts) if not (path / _name(number)).exists() for id in ids]  # noqa: A001
    if missing:
        raise RunError(
            f"{path} lacks {len(missing)} of {len(manifest['rows'])} rows, {missing[0]!r} first. Repeat the call that wrote it: it "
            "goes on where it was stopped."
        )
    return RawCapture(path, manifest)


def _manifest(
    lm: Any, rows: Sequence[tuple[str, Prompt]], wanted: CaptureParts, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that the bytes of the shards depend on, and its hash; nothing of when or where."""
    config = {
        "model": {"name": lm.name, "revision": lm.revision, "fingerprint": lm.fingerprint, "identity": lm.identity},
        "dtype": dtype_name(lm),
        "wanted": {**asdict(wanted), "sites": [str(site) for site in wanted.sites]},
        **more,
        "rows": [id for id, _ in rows],  # noqa: A001
        "texts": [digest(repr(text).encode())[:16] for _, text in rows],
    }
    told = {"schema": SCHEMA, "broca": __version__, "convention": CONVENTION}
    return {**told, "config_hash": fingerprint(config), **config}


def _settle(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, also in the place of a damaged one, or see that what is there is of the same capture.

    Raises:
        RunError: if it is of another one, or too damaged to tell.
    """
    path = folder / _MANIFEST
    if not path.exists():
        if any(folder.glob("*.safetensors")):
            raise RunError(f"{folder} has safetensors files and no manifest. Choose an empty folder.")
        write(path, json_to_bytes(manifest))
        return
    try:
        there = store_json(read(inside(folder, _MANIFEST)), path)
    except RunError:
        there = {SEAL: ""}
    damaged = SEAL in there and not seal_fits(there)
    if there.get("config_hash") == manifest["config_hash"]:
        if damaged:
            _log.warning("%s was damaged; it is written anew from what is asked.", path)
            write(path, json_to_bytes(manifest))
        return
    if damaged:
        raise RunError(
            f"{path} is damaged, and nothing else says what the captures beside it are of. Remove {folder}, or choose another folder."
        )
    other = [name for name, value in manifest.items() if there.get(name) != json.loads(json.dumps(value))]
    raise RunError(
        f"{folder} has captures of something else: {', '.join(n for n in other if n not in ('config_hash', SEAL))} differ. Choose another "
        "folder, or repeat the call as it was."
    )


def _room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise RunError(
            f"The next shard takes {size / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB left. Keep fewer sites or texts, or "
            "choose another disk; then repeat the call: it resumes."
        )


def _shard(path: Path, ids: Sequence[str], of: str) -> Raw:
    """A shard of these rows, of the capture with this hash; older ones do not say of which capture they are."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            found = Raw({name: file.get_tensor(name) for name in file.keys()}, tuple(header["completions"]))  # noqa: SIM118
        same = header["rows"] == list(ids) and header.get("capture", of) == of
        whole = "sha256" not in header or header["sha256"] == _sum(header, found.tensors)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged ({type(error).__name__}). Remove it and repeat the call that wrote it."
        ) from error
    if not whole:
        raise RunError(f"{path} is damaged: it does not match its checksum. Repeat the call that wrote it.")
    if not same:
        raise RunError(
            f"{path} holds other rows than the manifest says, or of another capture. Remove it and repeat the call that wrote it."
        )
    return found


def _wrong(path: Path, ids: Sequence[str], of: str) -> str:
    try:
        _shard(path, ids, of)
    except RunError as error:
        return str(error)
    return ""


def _sum(told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Of what a shard holds, whatever way it was written."""
    return digest(json.dumps([told["rows"], told["completions"]]).encode() + save(dict(tensors)))


def is_capture(folder: Path) -> bool:
    """Whether a folder is one of captures: its manifest says so, or, where that is damaged, the names of its files do."""
    try:
        told = store_json(read(folder / _MANIFEST), folder / _MANIFEST)
    except RunError:
        told = {}
    return {"shard", "config_hash"} <= told.keys() or any(folder.glob("shard-*.safetensors"))


def _cut(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"
