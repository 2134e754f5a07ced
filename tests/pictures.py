"""Vision-language models, tiny and random, with processors of their own classes that nothing is downloaded for; and drawings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLProcessor,
)

from broca.models.lm import LM
from zoo import LLAMA

SPECIAL = [
    "<image>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image|>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]
ORDINARY = ["<pad>", "<bos>", "<eos>", "<unk>", "\n", *map(chr, range(32, 127))]
IDS = {token: i for i, token in enumerate([*ORDINARY, *SPECIAL])}

TEXT: dict[str, Any] = {**LLAMA, "vocab_size": len(IDS), "max_position_embeddings": 512}
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 28,
    "patch_size": 14,
}
SCALING = {"rope_type": "default", "mrope_section": [1, 1, 2]}
CONFIGS: dict[str, dict[str, Any]] = {
    "llava": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**TOWER, "model_type": "clip_vision_model"},
        "image_token_id": IDS["<image>"],
    },
    "qwen2_vl": {
        "text_config": {**TEXT, "rope_scaling": SCALING},
        "vision_config": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 14},
        "image_token_id": IDS["<|image_pad|>"],
        "video_token_id": IDS["<|video_pad|>"],
        "vision_start_token_id": IDS["<|vision_start|>"],
        "vision_end_token_id": IDS["<|vision_end|>"],
    },
    "mllama": {
        "text_config": {**TEXT, "num_hidden_layers": 5, "cross_attention_layers": [3]},
        "vision_config": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "intermediate_size": 24,
            "image_size": 28,
            "patch_size": 14,
            "vision_output_dim": 32,
            "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
            "intermediate_layers_indices": [0],
        },
        "image_token_index": IDS["<|image|>"],
    },
    "idefics3": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**TOWER, "image_size": 56},
        "scale_factor": 2,
        "image_token_id": IDS["<image>"],
    },
    "gemma3": {
        "text_config": TEXT,
        "vision_config": TOWER,
        "mm_tokens_per_image": 4,
        "image_token_index": IDS["<image_soft_token>"],
        "boi_token_index": IDS["<start_of_image>"],
        "eoi_token_index": IDS["<end_of_image>"],
    },
}
_PICTURE = {
    "qwen2_vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "mllama": "<|image|>",
    "gemma3": "<start_of_image>",
}


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, BOS in front; and the special tokens of every processor here."""
    made = Tokenizer(WordLevel({token: i for token, i in IDS.items() if token in ORDINARY}, unk_token="<unk>"))
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


class Still(Qwen2VLProcessor):
    """Without its half for videos, which needs torchvision: what a processor has is read from this signature."""

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = IDS[self.image_token], IDS[self.video_token]
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def processor(name: str) -> Any:
    """The processor of a class, with a chat template."""
    import transformers as t
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = tokenizer()
    words = PreTrainedTokenizerFast(tokenizer_object=words.backend_tokenizer, **words.special_tokens_map)
    square = {"height": 28, "width": 28}
    picture = _PICTURE.get(name, "<image>")
    template = (
        "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        "{% if part.type == 'image' %}" + picture + "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    if name == "llava":
        looks = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=square)
        return t.LlavaProcessor(
            looks,
            words,
            patch_size=14,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=template,
        )
    if name == "qwen2_vl":
        looks = Qwen2VLImageProcessorPil(
            patch_size=14, merge_size=2, size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 6}
        )
        return Still(looks, words, chat_template=template)
    if name == "mllama":
        looks = MllamaImageProcessorPil(size=square, max_image_tiles=2)
        return t.MllamaProcessor(looks, words, chat_template=template)
    if name == "idefics3":
        looks = Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
        return t.Idefics3Processor(looks, words, image_seq_len=4, chat_template=template)
    words = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer,
        **words.special_tokens_map,
        extra_special_tokens={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
    )
    return t.Gemma3Processor(Gemma3ImageProcessorPil(size=square), words, image_seq_length=4, chat_template=template)


def build(name: str, seed: int = 0) -> torch.nn.Module:
    """A tiny model whose weights are large enough for every part to matter, the gates of cross-attention too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(name, **CONFIGS[name])).float().eval()
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1 or "gate" in key:
                parameter.normal_(std=0.2, generator=draw)
    return model


def lm(name: str) -> LM:
    made = processor(name)
    return LM.wrap(build(name), made.tokenizer, processor=made, name=name)


def draw(path: Path, shape: str, color: str, *, size: tuple[int, int] = (40, 30), at: int = 0) -> str:
    """A picture of one shape, written to `path`."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    box = (4 + at, 4, size[0] - 8 + at, size[1] - 6)
    pen.ellipse(box, fill=color) if shape == "disc" else pen.rectangle(box, fill=color)
    image.save(path)
    return str(path)
