"""Loading from a directory or the hub: safetensors only, nothing half loaded, each failure told in words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from broca.errors import ModelError
from broca.models.access import access
from broca.models.memory import Need, announced, need
from broca.models.quantised import stored
from broca.registry import ORGANISMS, unknown
from broca.storage.secrets import hidden

_DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")

Head = Literal["CausalLM", "SequenceClassification"]


def load(
    name: str,
    *,
    revision: str | None,
    dtype: str,
    device: str | Mapping[str, Any],
    trust_remote_code: bool,
    head: Head = "CausalLM",
    offload: str | Path | None = None,
    notes: list[str] | None = None,
) -> tuple[Any, Any]:
    """A transformers model and its tokenizer; see `broca.models.lm.LM.load` for the arguments and errors.

    Where memory will not do, `notes` are told so before a weight is read.
    """
    from transformers import AutoConfig

    if dtype not in _DTYPES:
        raise unknown("dtype", dtype, _DTYPES)
    path = locate(name)
    options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
    tokenizer = load_tokenizer(path, name, revision=revision, trust_remote_code=trust_remote_code)
    config = _told(name, lambda: AutoConfig.from_pretrained(path, **options))
    text, tight = announced(name, need(path) or _planned(config, head), dtype, device)
    if tight and notes is not None:
        notes.append(text)
    spread = not isinstance(device, str) or device in ("balanced", "sequential", "balanced_low_0")
    placement = {"device_map": device} if spread else {}
    if spread and offload is not None:
        placement |= {"offload_folder": str(offload)}
    model, report = _told(
        name,
        lambda: model_class(config, head).from_pretrained(
            path,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            **options,
            **placement,
        ),
    )
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise ModelError(
            f"{name}: {len(missing)} weights are not in the files ({', '.join(missing[:3])}, ...), so they would be "
            "random. The checkpoint is incomplete or belongs to another class; get it again."
        )
    # Quantised weights are put in their place by the library that reads them.
    if not spread and getattr(model, "hf_quantizer", None) is None:
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else str(device)
        model = model.to(where)
    return model.eval(), tokenizer


def model_class(config: Any, head: Head = "CausalLM") -> Any:
    """Transformers' own loader for a config: of an image-text-to-text model the whole of it, not its language part."""
    import transformers as t

    if head != "CausalLM":
        return getattr(t, f"AutoModelFor{head}")
    if type(config) not in t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return t.AutoModelForCausalLM
    whole = getattr(t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)], "__name__", "")
    stored = next(iter(getattr(config, "architectures", None) or ()), whole)
    # The files of some hold the language part alone, under the same type of config.
    language = type(config) in t.MODEL_FOR_CAUSAL_LM_MAPPING and stored != whole
    return t.AutoModelForCausalLM if language else t.AutoModelForImageTextToText


def locate(name: str) -> str:
    """The directory of a shipped organism, or `name` itself when it is a directory or a hub id.

    Raises:
        ModelError: if `name` looks like a path and is no model directory.
    """
    if name in ORGANISMS:
        return str(ORGANISMS[name](name))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{name} is a directory without config.json. Give a directory written by save_pretrained.")
        return str(path)
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"{name} is not a model directory. Give a directory with config.json and model.safetensors, a hub id such "
            f"as 'owner/name', or a shipped organism ({', '.join(ORGANISMS)})."
        )
    return name


def footprint(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> dict[str, Any]:
    """Parameters, and bytes at each dtype, from the config alone: nothing is downloaded but the config.

    Raises:
        ModelError: if there is no such model.
    """
    from transformers import AutoConfig

    def build() -> Any:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        config = AutoConfig.from_pretrained(locate(name), **options)
        with torch.device("meta"):
            return model_class(config).from_config(config, trust_remote_code=trust_remote_code)

    model = _told(name, build)
    n = sum(p.numel() for p in model.parameters())
    return {
        "class": type(model).__name__,
        "parameters": n,
        "bytes": {"float32": 4 * n, "bfloat16": 2 * n, "float16": 2 * n},
    }


def announcement(name: str, dtype: str, device: str | Mapping[str, Any]) -> tuple[str, bool]:
    """What a model on disk needs and what is free, in words, and whether that is too little; nothing where it is not known."""
    return announced(name, need(locate(name)), dtype, device)


def _planned(config: Any, head: Head) -> Need | None:
    """The size of a model whose weights are not here yet, from its config; None where its class is not transformers' own."""
    if getattr(config, "auto_map", None):
        return None
    try:
        with torch.device("meta"):
            model = model_class(config, head).from_config(config)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, NotImplementedError):
        return None
    n = sum(p.numel() for p in model.parameters())
    return Need(n, n * (getattr(config, "dtype", None) or torch.float32).itemsize)


def quiet() -> None:
    """For programs with a progress of their own: no bar for reading weights from disk. Download bars stay."""
    from huggingface_hub.utils import enable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    enable_progress_bars()


def load_tokenizer(path: str, name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer that belongs to a model.

    Raises:
        ModelError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return _told(
            name,
            lambda: AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=trust_remote_code, **access()
            ),
        )
    except ModelError as error:
        raise ModelError(
            f"{error} If the model has no tokenizer of its own, load both yourself: LM.wrap(model, tokenizer)."
        ) from error


def load_processor(
    name: str, model: Any, *, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, list[str]]:
    """The processor of a model that takes pictures, and what a reader should know: without one it is shown words alone."""
    from transformers import AutoProcessor

    if not takes_pictures(model):
        return None, []
    try:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        found = AutoProcessor.from_pretrained(locate(name), **options)
    except (ImportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found, why = None, next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    else:
        why = "its files hold none"
    if not hasattr(found, "image_processor"):
        return None, [f"No processor could be loaded, so this model is shown words alone, no pictures: {why}"]
    return found, []


def takes_pictures(model: Any) -> bool:
    """Whether a model is of a class that transformers counts as image and text to text."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return type(model) in set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.values())


def weight_hash(model: Any) -> str:
    """The first 16 hex digits of the SHA-256 of every weight, by name, wherever it lies."""
    digest = hashlib.sha256()
    for key, value in sorted(stored(model).items()):
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        for part in _plain(_fetched(model, key) if value.is_meta else value):
            if part.is_meta:
                digest.update(str(model.config).encode())
            else:
                digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _fetched(model: Any, key: str) -> torch.Tensor:
    """A weight that accelerate keeps elsewhere, in main memory."""
    from accelerate.utils import align_module_device

    path, _, name = key.rpartition(".")
    module = model.get_submodule(path)
    with align_module_device(module, torch.device("cpu")):
        return getattr(module, name).detach().clone()


def _plain(value: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that a weight is made of: itself, or, of a packed one, its parts."""
    parts = getattr(value, "__tensor_flatten__", None)
    if parts is None or type(value) in (torch.Tensor, torch.nn.Parameter):
        yield value
        return
    for name in sorted(parts()[0]):
        yield from _plain(getattr(value, name))


def _told(name: str, action: Any) -> Any:
    """Run a transformers loader; turn what it may raise into one clear error."""
    from huggingface_hub.errors import HfHubHTTPError, StrictDataclassError
    from safetensors import SafetensorError

    try:
        return action()
    except SafetensorError as error:
        raise ModelError(f"{name}: a safetensors file is corrupt ({error}). Get it again.") from error
    except HfHubHTTPError as error:
        raise ModelError(
            f"{name}: the hub refused ({hidden(str(error)).splitlines()[0]}). Check the id, and HF_TOKEN for gated models."
        ) from error
    except ImportError as error:
        raise ModelError(f"{name}: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, StrictDataclassError) as error:
        first = next((line for line in hidden(str(error)).splitlines() if line.strip()), type(error).__name__)
        near = f" Shipped organisms: {', '.join(ORGANISMS)}." if "/" not in name else ""
        raise ModelError(
            f"{name} could not be loaded: {first} Give a directory with config.json and *.safetensors, or a hub id.{near}"
        ) from error
