"""Decoding is what the call asks for: greedy is greedy, whatever a model's `generation_config` holds.

Of that file only the ids of special tokens count, for a model cannot stop without them. Penalties, beams, forced tokens and all
else are left out, and the run's manifest lists what was taken and what was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import ModelError, StimulusError, first_line
from broca.models import hooks
from broca.models.arguments import picture_inputs
from broca.models.compilation import eager
from broca.models.force import on_words
from broca.models.passes import Pass
from broca.models.subject import Subject
from broca.models.tokens import Batch, Tokens
from broca.registry import unknown

_TAKEN = ("bos_token_id", "eos_token_id", "decoder_start_token_id")
_SAMPLED = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
"""What transformers would otherwise fill in: it keeps the 50 most probable tokens unless it is told not to."""
_MORE = ("logits_processor", "stopping_criteria", "tokenizer")
_REFUSED = {
    "max_length": "Give max_new_tokens.",
    "return_dict_in_generate": "What comes back are the texts.",
    "num_return_sequences": "Give a text as often as you want it continued, with seeds.",
    "assistant_model": "A draft model's tokens pass in numbers that nobody tells the interventions.",
    "prompt_lookup_num_tokens": "Guessed tokens pass in numbers that nobody tells the interventions.",
    "output_scores": "Use lm.next_logits, or a scorer.",
    "output_logits": "Use lm.next_logits, or a scorer.",
    "output_attentions": "Use broca.models.attention.",
    "output_hidden_states": "Use broca.capture.",
    "streamer": "Texts come back whole.",
    "prefill_chunk_size": "Prompts are read whole.",
}


def settings(lm: Subject, max_new_tokens: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of transformers' `generate`, each of them written out.

    Args:
        lm: the model.
        max_new_tokens: how many tokens at most.
        asked: what the caller wants otherwise.

    Raises:
        StimulusError: if an option cannot be had, or no token is asked for.
        UnknownName: if transformers has no such option.
        ModelError: if the model cannot generate.
    """
    from transformers import GenerationConfig

    if max_new_tokens < 1:
        raise StimulusError(f"max_new_tokens is {max_new_tokens}. Ask for 1 at least.")
    if not callable(getattr(lm.model, "generate", None)):
        raise ModelError(
            f"{type(lm.model).__name__} cannot generate: transformers gives it no head for it. Score options instead."
        )
    known = (*vars(GenerationConfig()), *_MORE)
    for name, value in asked.items():
        if name in _REFUSED and value not in (None, False) and (name, value) != ("num_return_sequences", 1):
            raise StimulusError(f"{name}={value!r} cannot be had here. {_REFUSED[name]}")
        if name not in known:
            raise unknown("option of generate", name, tuple(name for name in known if not name.startswith("_")))
    _ranges(asked)
    taken = {name: value for name, value in inherited_settings(lm.model).items() if name not in asked}
    plain = _SAMPLED if asked.get("do_sample") else {"do_sample": False}
    return {**plain, **taken, "num_beams": 1, "pad_token_id": lm.pad, "max_new_tokens": max_new_tokens, **asked}


def _ranges(asked: Mapping[str, Any]) -> None:
    """Refuse numbers that transformers would pass over."""
    bounds = {"temperature": (0, float("inf")), "top_p": (0, 1), "min_p": (0, 1), "typical_p": (0, 1)}
    for name, (low, high) in bounds.items():
        value = asked.get(name)
        if value is not None and not low < value <= high:
            raise StimulusError(
                f"{name} is {value}. Give a number above {low}{f' and up to {high}' if high == 1 else ''}."
            )
    if asked.get("temperature") is not None and not asked.get("do_sample"):
        raise StimulusError("A temperature is for sampling. Add do_sample=True and a seed, or leave it out.")


def inherited_settings(model: Any) -> dict[str, Any]:
    """What generation takes from the model's `generation_config`: ids of special tokens."""
    own = getattr(model, "generation_config", None)
    values = {name: getattr(own, name, None) for name in _TAKEN}
    return {name: value for name, value in values.items() if value is not None}


def ignored_settings(model: Any) -> dict[str, Any]:
    """What a model's `generation_config` asks for and generation leaves out, as it would be shown."""
    from transformers import GenerationConfig

    own = getattr(model, "generation_config", None)
    if own is None:
        return {}
    plain = GenerationConfig._get_default_generation_params()  # noqa: SLF001 - what transformers fills in
    left = (*_TAKEN, "pad_token_id", "transformers_version", "_from_model_config", "use_cache")
    return {
        name: value
        for name, value in own.to_dict().items()
        if name not in left and value not in (None, False) and value != plain.get(name)
    }


def generate(
    lm: Subject, tokens: Sequence[Tokens], *, max_new_tokens: int, seed: int | None, **options: Any
) -> list[str]:
    """The new text of each prompt; see `broca.models.lm.LM.generate` for the arguments and errors."""
    how = settings(lm, max_new_tokens, options)
    if how.get("do_sample") and seed is None:
        raise StimulusError("Sampling without a seed cannot be repeated. Give one: seed=0.")

    def step(batch: Batch) -> list[str]:
        return lm.tokenizer.batch_decode(generate_ids(lm, batch, how), skip_special_tokens=True)

    made = [""] * len(tokens)
    devices = [lm.device] if lm.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        for batch, texts in lm.each(tokens, step, more=max_new_tokens - 1):
            for i, text in zip(batch.index, texts, strict=True):
                made[i] = text
    return made


def generate_ids(lm: Subject, batch: Batch, how: Mapping[str, Any]) -> Tensor:
    """The ids that follow each text of a batch padded on the left, ``(text, token)``.

    Args:
        lm: the model, under whatever is in force.
        batch: the prompts.
        how: from `settings`.

    Raises:
        ModelError: if transformers cannot generate in this way with this model.
        GuardError: if an edit in force did not run in a pass.
    """

    def count_edits(shown: Pass) -> AbstractContextManager[None]:
        return lm.forces.count_runs(on_words, str(shown))

    # transformers reads pictures before the first pass of the whole model.
    pictures = lm.forces.count_runs(
        lambda site: bool(batch.beside) and not on_words(site), "the reading of the pictures"
    )
    passes = hooks.decoding(_generator(lm.model), batch, count_edits)
    with eager(), _without_defaults(lm.model), pictures, passes as columns:
        more = {"stopping_criteria": [*(how.get("stopping_criteria") or ()), columns]}
        given = {"input_ids": batch.ids, "attention_mask": batch.mask, **picture_inputs(lm, batch)}
        try:
            made = lm.model.generate(**given, **{**how, **more})
        except (ValueError, NotImplementedError) as error:
            first = first_line(error)
            raise ModelError(f"transformers cannot generate so with {type(lm.model).__name__}: {first}") from error
    return made[:, batch.ids.shape[1] :]


def _generator(model: nn.Module) -> nn.Module:
    """The module whose passes `generate` runs: the model itself, or the one inside what adapters have wrapped around it."""
    from transformers import GenerationMixin

    return next((module for module in model.modules() if isinstance(module, GenerationMixin)), model)


@contextmanager
def _without_defaults(model: nn.Module) -> Iterator[None]:
    """Run the body with generation settings of the model that say nothing: transformers fills in from them whatever a call leaves open."""
    from transformers import GenerationConfig

    owners = [module for module in model.modules() if "generation_config" in vars(module)]
    before = [vars(owner)["generation_config"] for owner in owners]
    try:
        for owner in owners:
            vars(owner)["generation_config"] = GenerationConfig()
        yield
    finally:
        for owner, own in zip(owners, before, strict=True):
            vars(owner)["generation_config"] = own
