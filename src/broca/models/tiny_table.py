"""What the rules of `broca.models.miniatures` would get wrong: fields of configs, by ``model_type``; dicts are parts."""

from __future__ import annotations

from typing import Any

_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
_ANGLES: dict[str, Any] = {"text_config": {"rope_parameters": {**_ROPE, "mrope_section": [2, 3, 3]}}}
"""For heads of 16 units: 8 angles for time, height and width."""
_HALF_ANGLES: dict[str, Any] = {
    "text_config": {"rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1]}}
}
_HYBRID = ["linear_attention", "hybrid", "linear_attention", "hybrid"]
_COMPASS: dict[str, Any] = {"rope_parameters": {"full_attention": {**_ROPE, "mrope_section": [2, 3, 3]}}}
_SPARSE: dict[str, Any] = {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1}
_VOCABULARY_MAP = {"<image>": 127, "IMGIMGAZ": 126, "IMGIMGBZ": 125, "<|extra_200|>": 124}
_VQ: dict[str, Any] = {"base_channels": 32, "channel_multiplier": (1, 1), "latent_channels": 32}
_NOTE: dict[str, Any] = {
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_q_lora_rank": 8,
    "swa_kv_lora_rank": 8,
    "swa_head_dim": 24,
    "swa_qk_nope_head_dim": 16,
    "swa_v_head_dim": 16,
}
_EXP: dict[str, Any] = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
    "ngram_vocab_size_base": 64,
    "ple_embed_dim": 64,
}

FIELDS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "blip-2": {"image_token_index": 127},
    "blt": {"encoder_hash_byte_group_vocab": 128},
    "chameleon": {"vocabulary_map": _VOCABULARY_MAP, "vq_config": _VQ},
    "codegen": {"rotary_dim": 8},
    "cohere_compass": {"text_config": _COMPASS},
    "cohere_compass_text": _COMPASS,
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_ocr2": {
        "text_config": {**_SPARSE, "mlp_layer_types": ["dense", "sparse", "sparse"], "first_k_dense_replace": None}
    },
    "deepseek_v2": _SPARSE,
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "dots3_note": {
        "text_config": _NOTE,
        "vision_config": {"num_hidden_layers": 42},
        "audio_config": {"adapter_input_size": 64},
    },
    "dots3_note_text": _NOTE,
    "emu3": {"vocabulary_map": _VOCABULARY_MAP, "vq_config": {**_VQ, "latent_channels": 4}},
    "ernie4_5_vl_moe": {"text_config": {"rope_parameters": {**_ROPE, "mrope_section": [3, 3, 2]}}},
    "gemma3n": {"text_config": {"num_kv_shared_layers": 0}},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "glm46v": _ANGLES,
    "glm4v": _ANGLES,
    "glm4v_moe": _HALF_ANGLES,
    "glm_ocr": _ANGLES,
    "glmga": _ANGLES,
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "granite4_vision": {"downsample_rate": "2/4", "deepstack_layer_map": [(-1, 0)]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "hunyuan_vl": {"text_config": {"head_dim": 16, "rope_parameters": {**_ROPE, "mrope_section": [2, 2, 2, 2]}}},
    "janus": {"vq_config": _VQ},
    "instructblip": {"image_token_index": 127},
    "instructblipvideo": {"video_token_index": 127},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "longcat_flash": {"head_dim": 8},
    "mamba2": {"num_heads": 8},
    "mllama": {"text_config": {"num_hidden_layers": 4, "cross_attention_layers": [1, 3]}},
    "ministral": {"head_dim": 16},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h_omni": {"vision_config": {"video_temporal_patch_size": 2}},
    "paddleocr_vl": _ANGLES,
    "qwen2_5_omni_thinker": _ANGLES,
    "qwen2_5_vl": _ANGLES,
    "qwen2_vl": _ANGLES,
    "qwen4_exp": {"text_config": _EXP},
    "qwen4_exp_text": _EXP,
    "reformer": {"axial_pos_shape": (16, 16), "axial_pos_embds_dim": (32, 32)},
    "step3p7": {"text_config": {"sliding_window": 16}},
    "vision-encoder-decoder": {"decoder": {"add_cross_attention": True}},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": _HYBRID},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": _HYBRID},
}
