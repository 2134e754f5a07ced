"""How another process gets the same model: loaded as this one was, or from a copy of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from broca.errors import EngineError
from broca.models.build import save
from broca.models.lm import LM
from broca.models.load import quiet
from broca.models.wiring.anatomy import Anatomy
from broca.workers.worker import WorkerId


@dataclass(frozen=True)
class Source:
    """An LM as a value: what it is loaded from, and what it is like. Called by a worker, it is that LM again."""

    path: str
    options: Mapping[str, Any]
    """Of `LM.load`, without the device."""
    device: str
    """cpu, cuda, ...: without a number."""
    name: str
    revision: str | None
    identity: Mapping[str, Any]
    batch_size: int
    attention: str | None
    """The attention implementation."""
    anatomy: Anatomy
    tokenizer: Any
    """None: the one that comes with the files."""
    generation: Any
    """The settings that generation starts from."""
    processor: Any = None
    """None: the one that comes with the files, or none."""

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"

    def __call__(self, worker_id: WorkerId, /) -> LM:
        """The LM, on the GPU that falls to this worker where it is on a GPU.

        Raises:
            ModelError: if it cannot be loaded.
            EngineError: if its weights are others.
        """
        quiet()
        device = f"cuda:{worker_id.index % torch.cuda.device_count()}" if self.cuda else self.device
        lm = LM.load(self.path, device=device, **self.options)
        lm = replace(
            lm, name=self.name, revision=self.revision, batch_size=self.batch_size, anatomy=self.anatomy, notes=[]
        )
        if self.tokenizer is not None:
            lm.tokenizer = self.tokenizer
        if self.processor is not None:
            lm.processor = self.processor
        if self.attention not in (None, getattr(lm.model.config, "_attn_implementation", None)):
            lm.model.set_attn_implementation(self.attention)
        if self.generation is not None:
            lm.model.generation_config = self.generation
        if other := [name for name, value in lm.identity.items() if value != self.identity.get(name)]:
            hooks = " Hooks of yours cannot be sent to workers: use one process." if "hooks" in other else ""
            raise EngineError(
                f"A worker that loaded {self.path} got another model than the one here (other {', '.join(other)}): either this one "
                f"or its files were changed after it was loaded. Save it with save_pretrained, and load it from there.{hooks}"
            )
        return lm


@contextmanager
def worker_source(lm: LM, *, here: bool = True) -> Iterator[Source]:
    """What workers make `lm` from, during the body; interventions in force are not part of it.

    A model that was wrapped, not loaded, is written to a temporary directory (safetensors).

    Args:
        lm: the model.
        here: whether the workers see this machine's disk.

    Raises:
        EngineError: if the model is spread over several devices, or would have to be written where no worker sees it.
    """
    places = {str(place) for place in (getattr(lm.model, "hf_device_map", None) or {}).values()}
    if len(places) > 1:
        raise EngineError(
            f"{lm.name} is spread over {', '.join(sorted(places))}, so each worker would want all of them. Use one process "
            "(engine=Local()), or a smaller dtype on one device."
        )
    config = lm.model.config
    source = Source(
        path="",
        options={},
        device=lm.device.type,
        name=lm.name,
        revision=lm.revision,
        identity={**lm.identity, "condition": []},
        batch_size=lm.batch_size,
        attention=getattr(config, "_attn_implementation", None),
        anatomy=lm.anatomy,
        tokenizer=lm.tokenizer,
        generation=getattr(lm.model, "generation_config", None),
        processor=lm.processor,
    )
    if lm.loaded is not None:
        remote = lm.loaded["trust_remote_code"]
        options = {name: value for name, value in lm.loaded.items() if name not in ("name", "device")}
        place = Path(lm.loaded["name"]).expanduser()
        path = str(place.resolve()) if place.exists() else lm.loaded["name"]
        own = {"tokenizer": None, "processor": None} if remote else {}
        yield replace(source, path=path, options=options, **own)
        return
    if not here:
        raise EngineError(
            f"{lm.name} was made in memory, and workers on other machines do not see this one's disk. Save it where they "
            "do, and load it from there: LM.load(path)."
        )
    with TemporaryDirectory(prefix="broca-") as folder:
        save(lm.model, lm.tokenizer, Path(folder))
        if lm.processor is not None:
            lm.processor.save_pretrained(folder)
        yield replace(source, path=folder)
