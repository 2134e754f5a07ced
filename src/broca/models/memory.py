"""What a model needs and what there is, told before its weights are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from broca.errors import ModelError
from broca.models.conversion import is_gguf
from broca.models.gguf import read_header
from broca.storage import Source, parse_json, tensor_header
from broca.storage.tensors import Entry

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_STORED = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I16": 2}


@dataclass(frozen=True, slots=True)
class Need:
    """How large a model is."""

    parameters: int
    stored: int
    """Bytes of its weights as they are stored."""

    def bytes_at(self, dtype: str) -> int:
        """Bytes of its weights in a dtype; "auto" is as stored."""
        return self.stored if dtype == "auto" else self.parameters * BYTES[dtype]


def need(path: str) -> Need | None:
    """The size of the model in a directory, from the headers of its safetensors files, or of one in GGUF; None where there are none."""
    folder = Path(path)
    if is_gguf(path):
        header = read_header(folder)
        return Need(header.parameters, header.parameters * BYTES[header.dtype])
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            told = parse_json(index.read_bytes(), _Index, name=index.name, error=ModelError, advice="")
            named = set(told.weight_map.values())
        except (OSError, ModelError):
            named = set()
        files = [file for file in files if file.name in named]
    tensors = [entry for file in files for entry in _header(file)]
    if not tensors:
        return None
    sizes = [(entry.count, _STORED.get(entry.dtype, 1)) for entry in tensors]
    return Need(sum(n for n, _ in sizes), sum(n * width for n, width in sizes))


def free(device: str | Mapping[str, Any]) -> int | None:
    """Bytes that are free where `device` points to: on one device, or, of a device map, on all of them together."""
    cuda = torch.cuda.is_available()
    if isinstance(device, str) and device in ("auto", "cpu"):
        return _host() if device == "cpu" or not cuda else torch.cuda.mem_get_info(0)[0]
    if isinstance(device, str) and device.startswith("cuda") and cuda:
        return torch.cuda.mem_get_info(torch.device(device))[0]
    places = _places(device)
    gpus = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()) if places is None or i in places]
    host = _host() if places is None or "cpu" in places else 0
    # Disk holds whatever is left over.
    return None if host is None or (places and "disk" in places) else sum(gpus) + host


def memory_forecast(name: str, size: Need | None, dtype: str, device: str | Mapping[str, Any]) -> tuple[str, bool]:
    """The need and what is free, in words; and whether the weights alone will not fit."""
    if size is None:
        return "", False
    wanted, there = size.bytes_at(dtype), free(device)
    as_what = "as stored" if dtype == "auto" else f"in {dtype}"
    text = f"{name}: {size.parameters:,} parameters, {in_words(wanted)} {as_what}"
    if there is None:
        return f"{text}.", False
    text += f"; {in_words(there)} free on {_where(device)}."
    if wanted <= there:
        return text, False
    return f"{text} That is too little: take a smaller dtype, or spread it (device='balanced', or a device_map).", True


def in_words(n: float) -> str:
    """``15.2 GiB`` for 16,320,875,724."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError


def _where(device: str | Mapping[str, Any]) -> str:
    if isinstance(device, str):
        return "cuda:0" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    return ", ".join(sorted({str(place) for place in device.values()}))


def _places(device: str | Mapping[str, Any]) -> set[Any] | None:
    if isinstance(device, str):
        return None
    found = {str(place) for place in device.values()}
    return {torch.device(p).index or 0 if p.startswith("cuda") else int(p) if p.isdigit() else p for p in found}


def _host() -> int | None:
    """Bytes of main memory that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = dict(line.split(":", 1) for line in lines)
        return int(known["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


class _Index(BaseModel):
    """Which file has which tensor."""

    weight_map: dict[str, str]


def _header(file: Path) -> Iterable[Entry]:
    """What the header of a safetensors file says of its tensors. A damaged one is the loader's to report."""
    try:
        return tensor_header(file, Source(file.name, ModelError, "")).tensors.values()
    except (FileNotFoundError, ModelError):
        return ()
