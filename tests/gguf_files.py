"""A tiny model of Llama's class with a tokenizer of bytes, and GGUF files of it as llama.cpp would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from broca.models.build import fresh

HEADS, KEY_VALUE_HEADS = 4, 2
CONFIG = {
    "model_type": "llama",
    "vocab_size": 259,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_VALUE_HEADS,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-6,
}
_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def build() -> torch.nn.Module:
    model = fresh(CONFIG, seed=0).float()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=draw)
    return model


def write(
    path: Path,
    *,
    kind: str = "F32",
    architecture: str = "llama",
    tokenizer: bool = True,
    template: str | None = TEMPLATE,
    without: tuple[str, ...] = (),
    more: dict[str, int] | None = None,
) -> Path:
    """A GGUF file.

    Args:
        path: where.
        kind: ggml's type of every matrix; vectors are float32.
        architecture: by llama.cpp's name.
        tokenizer: whether it has one.
        template: of chats.
        without: names of tensors that are left out.
        more: further numbers of its head.
    """
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_vocab_size(CONFIG["vocab_size"])
    for key, value in (more or {}).items():
        writer.add_uint32(key, value)
    if tokenizer:
        _add_tokenizer(writer, template)
    for name, value in build().state_dict().items():
        if (called := _name(name)) not in without:
            _add(writer, called, _as_llama_cpp(called, value.numpy()), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, template: str | None) -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*bytes_to_unicode().values(), "<bos>", "<eos>", "th"])
    writer.add_token_types([1] * 256 + [3, 3, 1])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(True)
    if template is not None:
        writer.add_chat_template(template)


def _name(name: str) -> str:
    whole, _, suffix = name.rpartition(".")
    if whole in _WHOLE:
        return f"{_WHOLE[whole]}.{suffix}"
    _, _, layer, part = whole.split(".", 3)
    return f"blk.{layer}.{_PARTS[part]}.{suffix}"


def _as_llama_cpp(name: str, value: np.ndarray) -> np.ndarray:
    """Rotary pairs lie beside each other there, and half a head apart in transformers."""
    heads = HEADS if "attn_q" in name else KEY_VALUE_HEADS if "attn_k" in name else 0
    if not heads:
        return value
    rows, columns = value.shape
    return value.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _add(writer: Any, name: str, value: np.ndarray, kind: str) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    how = GGMLQuantizationType[kind if value.ndim > 1 else "F32"]
    writer.add_tensor(name, quantize(value, how), raw_dtype=how)
