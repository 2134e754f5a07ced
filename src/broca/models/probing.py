"""One pass over a plain input, with every module of every block watched: what the proof of a wiring is about.

The plainest input that a model takes is used: a few ids; with ids for the decoder too, where an encoder reads the first;
with an image, where blocks are skipped or the model refuses without one.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import AnatomyError
from broca.models.placement import device_of
from broca.models.stream import Record
from broca.models.streams import Streams, several

TOKENS = 16
_STREAM = ("hidden_states", "hidden", "x", "activations", "input")
_NORMS = ("norm", "ln")


@dataclass(slots=True, eq=False)
class Seen:
    """What one block was given and gave."""

    pre: Tensor | None = None
    post: Tensor | None = None
    calls: int = 0
    outputs: dict[str, Tensor] = field(default_factory=dict)
    """Outputs of modules of the stream's size, by path relative to the block."""
    inputs: dict[str, Tensor] = field(default_factory=dict)
    thin: dict[str, Tensor] = field(default_factory=dict)
    """Outputs ``(1, token, channel)`` of the block's own parts that are narrower than the stream."""
    thin_inputs: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of what modules were given."""
    runs: Counter[str] = field(default_factory=Counter)
    """How often each module was called."""
    streams: int = 1
    """Hidden states that the block takes and gives."""

    def record(self, block: nn.Module) -> Record:
        """For `broca.models.stream`: modules that run once, those with weights first, then the outermost."""
        assert self.pre is not None
        assert self.post is not None
        modules = dict(block.named_modules())
        idle = {name: not any(True for _ in modules[name].parameters()) for name in self.outputs}
        order = sorted((n for n in self.outputs if self.runs[n] == 1), key=lambda n: (idle[n], n.count(".")))
        return Record(self.pre, self.post, {n: self.outputs[n] for n in order}, self.inputs, norms_of(block))


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A pass over a plain input."""

    seen: list[Seen]
    images: bool
    """Whether it took an image."""
    text: frozenset[int]
    """The blocks that run without one."""
    positions: bool
    """Whether position ids counted from 0 are those that the model makes itself."""
    tokens: int
    """How many tokens the decoder was shown; 0 where an image may add some."""


def streams_of(seen: Seen, width: int) -> Streams | None:
    """A block of several streams of this width, for `broca.models.streams`; None where there is one."""
    if seen.pre is None or seen.post is None or seen.pre.shape != seen.post.shape:
        return None
    pre, post = (several(x, width, TOKENS) for x in (seen.pre, seen.post))
    if pre is None or post is None:
        return None
    points = {name: x for name, given in seen.inputs.items() if (x := several(given, width, TOKENS)) is not None}
    writers = {name: out[0] for name, out in seen.thin.items() if out.shape[-1] == width and seen.runs[name] == 1}
    return Streams(pre, post, points, writers)


def first_tensor(value: Any) -> Tensor | None:
    """The hidden state in a module's output, which may be a tuple or list that starts with it."""
    if isinstance(value, Tensor):
        return value
    return value[0] if isinstance(value, tuple | list) and value and isinstance(value[0], Tensor) else None


def _alike(values: Iterable[Any], like: Tensor | None) -> int:
    """How many of the values are hidden states of the same shape."""
    if like is None:
        return 0
    return sum(isinstance(x, Tensor) and x.is_floating_point() and x.shape == like.shape for x in values)


def stream_key(kwargs: Mapping[str, Any]) -> str:
    """The name under which a block is given its hidden state, where that is not its first positional argument."""
    known = (name for name in _STREAM if isinstance(kwargs.get(name), Tensor))
    return next(known, None) or next(
        (name for name, x in kwargs.items() if isinstance(x, Tensor) and x.is_floating_point() and x.ndim == 3),
        "hidden_states",
    )


def norms_of(block: nn.Module) -> tuple[str, ...]:
    """Modules of a block that may normalise its stream."""
    return tuple(
        name
        for name, module in block.named_modules()
        if name
        and ("norm" in type(module).__name__.lower() or any(part in name.split(".")[-1].lower() for part in _NORMS))
    )


@torch.no_grad()
def probe(model: nn.Module, stack: nn.Module) -> Probe:
    """Show the model a plain input.

    Raises:
        AnatomyError: if it takes none that is known, or blocks run otherwise than once.
    """
    best, failures = _best(model, stack)
    if best is None:
        raise AnatomyError(f"{type(model).__name__} takes no plain input: {failures[-1] if failures else 'no tokens'}.")
    silent = [layer for layer, block in enumerate(best.seen) if not block.calls]
    if silent:
        raise AnatomyError(
            f"{type(model).__name__}: block {silent[0]} of {len(best.seen)} runs on no input that was tried, so nothing can "
            f"be proved about it{f' ({failures[-1]})' if failures else ''}."
        )
    often = max(block.calls for block in best.seen)
    if often > 1:
        raise AnatomyError(
            f"{type(model).__name__} runs its blocks {often} times in one pass: a site would be several places at once."
        )
    return best


def _best(model: nn.Module, stack: nn.Module) -> tuple[Probe | None, list[str]]:
    """The plainest input on which most blocks run, and why others failed."""
    best: Probe | None = None
    failures: list[str] = []
    text: frozenset[int] | None = None
    for images, given in _inputs(model):
        try:
            seen = _watched(model, stack, given)
        except Exception as error:  # noqa: BLE001 - any class may refuse in any way
            failures.append(next(iter(str(error).strip().splitlines()), type(error).__name__))
            continue
        ids = given.get("decoder_input_ids", given["input_ids"])
        if not images and any(block.pre is not None and block.pre.shape[:2] == (1, 1) for block in seen):
            continue  # the decoder was shown a start token of its own
        ran = frozenset(layer for layer, block in enumerate(seen) if block.calls)
        if text is None:
            text = frozenset() if images else ran
        if best is None or len(ran) > sum(bool(block.calls) for block in best.seen):
            best = Probe(seen, images, text, _counts_from_0(model, given), 0 if images else ids.shape[1])
        if len(ran) == len(seen):
            break
    return best, failures


def _watched(model: nn.Module, blocks: nn.Module, given: Mapping[str, Any]) -> list[Seen]:
    """What every block was given and gave."""
    found: list[Seen] = []
    handles: list[Any] = []
    try:
        for block in blocks.children():
            seen = Seen()
            found.append(seen)
            handles.append(block.register_forward_pre_hook(partial(_enters, seen), with_kwargs=True))
            handles.append(block.register_forward_hook(partial(_leaves, seen), with_kwargs=True))
            handles += [
                module.register_forward_hook(partial(_runs, seen, name), with_kwargs=True)
                for name, module in block.named_modules()
                if name
            ]
        model(**given)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _enters(seen: Seen, _block: nn.Module, args: Any, kwargs: Any) -> None:
    seen.calls += 1
    into = args[0] if args else kwargs.get(stream_key(kwargs))
    if isinstance(into, Tensor):
        seen.pre = into.detach().clone()


def _leaves(seen: Seen, _block: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
    out = first_tensor(output)
    seen.post = None if out is None else out.detach().clone()
    given = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    seen.streams = min(_alike((*args, *kwargs.values()), seen.pre), _alike(given, seen.pre))


def _runs(seen: Seen, name: str, _module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
    seen.runs[name] += 1
    into, out = args[0] if args else kwargs.get(stream_key(kwargs)), first_tensor(output)
    if isinstance(into, Tensor):
        seen.shapes[name] = tuple(into.shape)
    if seen.pre is None:
        return
    if isinstance(into, Tensor) and into.numel() == seen.pre.numel():
        seen.inputs[name] = into.detach().clone()
    elif isinstance(into, Tensor) and "." not in name and into.shape[:2] == (1, TOKENS):
        seen.thin_inputs[name] = into.detach().clone()
    if out is not None and out.numel() == seen.pre.numel():
        seen.outputs[name] = out.detach().clone()
    elif out is not None and "." not in name and out.shape[:2] == (1, TOKENS) and out.numel() < seen.pre.numel():
        seen.thin[name] = out.detach().clone()


def _counts_from_0(model: nn.Module, given: Mapping[str, Any]) -> bool:
    """Whether the model's own position ids are 0, 1, 2 ...; true where it takes none."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return True
    ids = given.get("decoder_input_ids", given["input_ids"])
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    try:
        own, ours = (model(**{**given, **more}).logits for more in ({}, {"position_ids": positions}))
    except Exception:  # noqa: BLE001 - a class that takes other position ids is left to make its own
        return False
    size = own.float().abs().max()
    return bool((own - ours).float().abs().max() <= size * (1e-4 if own.dtype == torch.float32 else 3e-2))


def _inputs(model: Any) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Inputs from the plainest on, and whether there is an image in them."""
    device = device_of(model)
    accepts = inspect.signature(model.forward).parameters
    text: Any = model.config.get_text_config(decoder=True)
    # Past the special ids, within the smallest vocabulary.
    known = max(1, (getattr(text, "vocab_size", None) or TOKENS + 3) - 3)
    ids = 3 + torch.arange(TOKENS, device=device)[None] % known
    plain: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if "bbox" in accepts:
        plain["bbox"] = torch.zeros(1, TOKENS, 4, dtype=torch.long, device=device)
    yield False, plain
    if "decoder_input_ids" in accepts and getattr(model.config, "is_encoder_decoder", False):
        plain["decoder_input_ids"] = ids
        yield False, plain
    if "qformer_input_ids" in accepts:
        plain["qformer_input_ids"] = ids
    for name, make in _MAKERS.items():
        for values in make(model, device) if name in accepts else ():
            for n in sorted({0, _places(model.config)}):
                full = torch.cat([ids.new_full((1, n), _image_id(model.config)), ids], 1)
                given = {**plain, "input_ids": full, name: values, "attention_mask": torch.ones_like(full)}
                if "image_attention_mask" in accepts:
                    given["image_attention_mask"] = torch.ones(1, full.shape[1], 1, dtype=torch.long, device=device)
                if "image_embeds_position_mask" in accepts:
                    given["image_embeds_position_mask"] = (torch.arange(full.shape[1], device=device) < 4).long()[None]
                yield True, given


def _places(config: Any) -> int:
    """How many ids stand for an image."""
    return int(getattr(config, "num_query_tokens", None) or getattr(config, "image_seq_length", None) or 0)


def _image_id(config: Any) -> int:
    names = ("image_token_id", "image_token_index", "video_token_index")
    return next((i for name in names if isinstance(i := getattr(config, name, None), int)), 3)


def _vision(config: Any) -> Any:
    names = ("vision_config", "encoder", "vision_encoder_config")
    return next((part for name in names if (part := getattr(config, name, None)) is not None), config)


def _pixels(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Images of the size that the vision part is configured for: a batch, one of several, one of several tiles."""
    vision = _vision(model.config)
    side = getattr(vision, "image_size", None) or 2 * (getattr(vision, "patch_size", None) or 14)
    height, width = side if isinstance(side, list | tuple) else (side, side)
    channels = getattr(vision, "num_channels", None) or 3
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(1, channels, height, width, generator=draw).to(device, next(model.parameters()).dtype)
    yield image
    yield image[None]
    yield image[None, None]


def _states(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Vision states as a decoder's cross attention is given them."""
    draw = torch.Generator().manual_seed(0)
    text = model.config.get_text_config(decoder=True)
    for width in (text.hidden_size, getattr(_vision(model.config), "embed_dim", text.hidden_size)):
        states = torch.randn(1, 4, width, generator=draw).to(device, next(model.parameters()).dtype)
        yield states
        yield states[None]


def _patches(model: Any, device: torch.device) -> Iterator[Tensor]:
    """Patches in a row, each with its place in front, as a table of an image."""
    vision = _vision(model.config)
    yield torch.ones(1, 4, 2 + (getattr(vision, "patch_embed_hidden_size", None) or 0), device=device)


_MAKERS: dict[str, Callable[[Any, torch.device], Iterator[Tensor]]] = {
    "cross_attention_states": _states,
    "image_encoder_embeddings": _states,
    "image_embeds": _states,
    "pixel_values": _pixels,
    "flattened_patches": _patches,
}
"""Arguments by which a forward pass is shown an image, and what to try."""
