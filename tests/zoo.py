"""Every decoder class that can be built tiny from its config, and a character tokenizer for all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from broca.models.build import fresh
from broca.models.lm import LM

VOCABULARY = 99
IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA: dict[str, Any] = {
    **IDS,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "head_dim": 8,
}
GPT2: dict[str, Any] = {**IDS, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
MOE: dict[str, Any] = {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}
QWEN_MOE: dict[str, Any] = {**LLAMA, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
DEEPSEEK: dict[str, Any] = {
    **LLAMA,
    "head_dim": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
FALCON: dict[str, Any] = {**IDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}

CONFIGS: dict[str, dict[str, Any]] = {
    **{
        name: {"model_type": name, **LLAMA}
        for name in [
            "llama",
            "mistral",
            "qwen2",
            "qwen3",
            "gemma",
            "gemma2",
            "gemma3_text",
            "phi3",
            "olmo",
            "olmo2",
            "olmo3",
            "stablelm",
            "cohere",
            "cohere2",
            "granite",
            "smollm3",
            "starcoder2",
            "glm",
            "glm4",
            "exaone4",
            "nemotron",
            "seed_oss",
            "hunyuan_v1_dense",
            "ministral",
            "gpt_neox",
            "arcee",
            "apertus",
            "helium",
            "persimmon",
            "ernie4_5",
            "diffllama",
            "gpt_neox_japanese",
            "bitnet",
        ]
    },
    "phi": {"model_type": "phi", **LLAMA, "partial_rotary_factor": 0.5},
    "granite-scaled": {"model_type": "granite", **LLAMA, "residual_multiplier": 0.22},
    "gpt2": {"model_type": "gpt2", **GPT2},
    "gpt_bigcode": {"model_type": "gpt_bigcode", **GPT2},
    "gptj": {"model_type": "gptj", **GPT2, "rotary_dim": 4},
    "codegen": {"model_type": "codegen", **GPT2, "rotary_dim": 4},
    "gpt_neo": {
        "model_type": "gpt_neo",
        **IDS,
        "hidden_size": 32,
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "max_position_embeddings": 128,
    },
    "mpt": {"model_type": "mpt", **IDS, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 128},
    "bloom": {"model_type": "bloom", **IDS, "hidden_size": 32, "n_layer": 3, "n_head": 4},
    "opt": {
        "model_type": "opt",
        **IDS,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "max_position_embeddings": 128,
        "word_embed_proj_dim": 32,
    },
    "falcon": {"model_type": "falcon", **FALCON, "new_decoder_architecture": False, "multi_query": True},
    "falcon-new": {"model_type": "falcon", **FALCON, "num_kv_heads": 2, "new_decoder_architecture": True},
    "mixtral": {"model_type": "mixtral", **MOE},
    "gpt_oss": {"model_type": "gpt_oss", **MOE, "sliding_window": 16},
    "qwen3_moe": {"model_type": "qwen3_moe", **QWEN_MOE},
    "olmoe": {"model_type": "olmoe", **LLAMA, "num_experts": 4, "num_experts_per_tok": 2},
    "granitemoe": {"model_type": "granitemoe", **MOE},
    "deepseek_v3": {"model_type": "deepseek_v3", **DEEPSEEK},
    "deepseek_v2": {"model_type": "deepseek_v2", **DEEPSEEK, "topk_method": "greedy"},
    "llama4_text": {"model_type": "llama4_text", **LLAMA, "num_local_experts": 2, "intermediate_size_mlp": 48},
}
"""By name; a name with a dash is a variant of the class before the dash."""


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a printable ASCII character, BOS in front."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *map(chr, range(32, 127))])}
    made = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def build(name: str, *, attention: str | None = None, seed: int = 0, positions: int | None = None) -> torch.nn.Module:
    """A tiny model whose weights are large enough for every part to matter; with more positions for whole stories."""
    more = {} if positions is None else {"max_position_embeddings": positions}
    model = fresh({**CONFIGS[name], **more}, seed, attention=attention).float()
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=draw)
    return model


def lm(name: str, **options: Any) -> LM:
    return LM.wrap(build(name, **options), tokenizer(), name=name)
