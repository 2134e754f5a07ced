"""Models made here rather than loaded: random initialisations of any config, and how to write one to disk.

Organisms are trained from these; untrained twins are these; tests build every architecture this way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from broca.errors import ModelError
from broca.registry import unknown
from broca.storage import filling


def fresh(config: Mapping[str, Any], seed: int = 0, *, attention: str | None = None) -> torch.nn.Module:
    """A causal language model with random weights.

    Args:
        config: the fields of a transformers config, with its ``model_type``.
        seed: of the initialisation; torch's global generator is left as it was.
        attention: attention implementation ("sdpa", "eager"); transformers' own choice when None.

    Raises:
        UnknownName: if transformers has no such ``model_type``.
        ModelError: if the config cannot be built.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

    fields = dict(config)
    kind = fields.pop("model_type", None)
    if kind not in CONFIG_MAPPING:
        raise unknown("model_type", str(kind), tuple(CONFIG_MAPPING))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModelForCausalLM.from_config(
                AutoConfig.for_model(kind, **fields), attn_implementation=attention
            )
        except (TypeError, ValueError, KeyError, AttributeError, StrictDataclassError) as error:
            raise ModelError(
                f"A {kind!r} model cannot be built from this config: {error}. Correct the config."
            ) from error
    return model.eval()


def save(model: torch.nn.Module, tokenizer: Any, path: Path) -> None:
    """Write config, weights (safetensors) and tokenizer to the directory `path`, as transformers reads them.

    Args:
        model: a transformers model.
        tokenizer: a transformers tokenizer, or a `tokenizers.Tokenizer` with special tokens <pad>, <bos>, <eos>.
        path: the directory; made if absent.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    if isinstance(tokenizer, Tokenizer):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
        )
    with filling(path) as folder:
        model.save_pretrained(folder)  # type: ignore[operator]
        tokenizer.save_pretrained(folder)
