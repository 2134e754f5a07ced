"""A few passes over plain inputs, with every module of every block watched: what the proof of a wiring is about.

The plainest input that a model takes is used (`broca.models.wiring.inputs`).
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import AnatomyError, first_line
from broca.models.hooks import watch_modules
from broca.models.placement import device_of
from broca.models.wiring.hidden_state import stream_key
from broca.models.wiring.inputs import inputs, saying
from broca.models.wiring.parallel_streams import Streams, several
from broca.models.wiring.plain_text import TOKENS, plain_texts
from broca.models.wiring.stream import Record

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

    more: tuple[Seen, ...] = ()
    """The block on further texts."""

    def record(self, block: nn.Module, dtype: torch.dtype) -> Record:
        """For `broca.models.wiring.stream`: modules that run once on each text, those with weights first, then the outermost."""
        assert self.pre is not None
        texts = (self, *self.more)
        modules = dict(block.named_modules())
        once = [name for name in self.outputs if all(text.runs[name] == 1 and name in text.outputs for text in texts)]
        idle = {name: not any(True for _ in modules[name].parameters()) for name in once}
        flat, norms = partial(_flat, width=self.pre.shape[-1], where=_place_of_sums(self.pre)), norms_of(block)
        return Record(
            flat([text.pre for text in texts]),
            flat([text.post for text in texts]),
            {n: flat([text.outputs[n] for text in texts]) for n in sorted(once, key=lambda n: (idle[n], n.count(".")))},
            {
                n: flat([text.inputs[n] for text in texts])
                for n in self.inputs
                if all(n in text.inputs for text in texts)
            },
            norms,
            dtype,
            frozenset(n for n in once if "." not in n and (not idle[n] if n not in norms else self._behind(n))),
        )

    def _behind(self, norm: str) -> bool:
        """Whether a norm is given what another module put out, and not the stream."""
        given = self.inputs.get(norm)
        return given is not None and any(
            given.equal(x.reshape(given.shape))
            for n, x in self.outputs.items()
            if n != norm and x.numel() == given.numel()
        )

    def dtypes(self, block: nn.Module) -> tuple[torch.dtype, ...]:
        """In which the stream may be rounded, the finest first: its own, and that in which the block computes."""
        kinds = {x.dtype for x in (self.pre, self.post) if x is not None and x.is_floating_point()}
        return tuple(sorted(kinds | {dtype_of(block)}, key=lambda kind: torch.finfo(kind).eps))


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
    """A block of several streams of this width, for `broca.models.wiring.parallel_streams`; None where there is one."""
    if seen.pre is None:
        return None
    texts, where = (seen, *seen.more), _place_of_sums(seen.pre)

    def join_streams(values: list[Tensor | None]) -> Tensor | None:
        found = [None if x is None else several(x, width, TOKENS) for x in values]
        alike = {None if x is None else x.shape for x in found}
        return (
            None
            if len(alike) != 1 or None in alike
            else torch.cat([x.to(where).to(torch.float64) for x in found if x is not None])
        )

    pre, post = join_streams([text.pre for text in texts]), join_streams([text.post for text in texts])
    if pre is None or post is None or pre.shape != post.shape:
        return None
    points = {
        name: x for name in seen.inputs if (x := join_streams([text.inputs.get(name) for text in texts])) is not None
    }
    writers = {
        name: torch.cat([text.thin[name][0].to(where).to(torch.float64) for text in texts])
        for name, out in seen.thin.items()
        if out.shape[-1] == width and all(text.runs[name] == 1 and name in text.thin for text in texts)
    }
    return Streams(pre, post, points, writers)


def _flat(values: Iterable[Tensor | None], width: int, where: torch.device) -> Tensor:
    """Tensors of the stream's size as ``(token, channel)``, in float64, one text after the other."""
    return torch.cat([x.to(where).to(torch.float64).reshape(-1, width) for x in values if x is not None])


def _place_of_sums(stream: Tensor) -> torch.device:
    """Where a block's sums are done: where its stream is, unless there is no float64, as on Apple's GPUs."""
    return stream.device if stream.device.type in ("cpu", "cuda") else torch.device("cpu")


def dtype_of(block: nn.Module) -> torch.dtype:
    """The floating dtype that a block computes in."""
    return next((p.dtype for p in block.parameters() if p.is_floating_point()), torch.float32)


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


def norms_of(block: nn.Module) -> tuple[str, ...]:
    """Modules of a block that may normalise its stream."""
    return tuple(
        name
        for name, module in block.named_modules()
        if name
        and ("norm" in type(module).__name__.lower() or any(part in name.split(".")[-1].lower() for part in _NORMS))
    )


@torch.no_grad()
def probe(model: nn.Module, stack: nn.Module, tokenizer: Any = None) -> Probe:
    """Show the model plain inputs of one kind.

    Args:
        model: a transformers model.
        stack: its list of blocks.
        tokenizer: whose words are shown, see `broca.models.wiring.plain_text`.

    Raises:
        AnatomyError: if it takes none that is known, or blocks run otherwise than once.
    """
    best, failures = _best(model, stack, plain_texts(model, tokenizer))
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


def _best(model: nn.Module, stack: nn.Module, texts: list[list[int]]) -> tuple[Probe | None, list[str]]:
    """The plainest input on which most blocks run, and why others failed."""
    best: Probe | None = None
    failures: list[str] = []
    text: frozenset[int] | None = None
    first, *others = (torch.tensor([ids], device=device_of(model)) for ids in texts)
    for images, given in inputs(model, first):
        try:
            seen, logits = _watch_blocks(model, stack, given)
            further = [_watch_blocks(model, stack, saying(given, ids))[0] for ids in others]
        except Exception as error:  # noqa: BLE001 - any class may refuse in any way
            failures.append(first_line(error))
            continue
        ids = given.get("decoder_input_ids", given["input_ids"])
        if not images and any(block.pre is not None and block.pre.shape[:2] == (1, 1) for block in seen):
            continue  # the decoder was shown a start token of its own
        ran = frozenset(layer for layer, block in enumerate(seen) if block.calls)
        if text is None:
            text = frozenset() if images else ran
        if best is None or len(ran) > sum(bool(block.calls) for block in best.seen):
            for block, again in zip(seen, zip(*further, strict=True), strict=True):
                block.more = again
            best = Probe(seen, images, text, _counts_from_0(model, given, logits), 0 if images else ids.shape[1])
        if len(ran) == len(seen):
            break
    return best, failures


def _watch_blocks(model: nn.Module, blocks: nn.Module, given: Mapping[str, Any]) -> tuple[list[Seen], Any]:
    """What every block was given and gave, and the logits."""
    found = [(block, Seen()) for block in blocks.children()]
    before, after = [], []
    for block, seen in found:
        before.append((block, partial(_enters, seen)))
        after.append((block, partial(_leaves, seen)))
        after += [(module, partial(_runs, seen, name)) for name, module in block.named_modules() if name]
    with watch_modules(before=before, after=after):
        logits = getattr(model(**given), "logits", None)
    return [seen for _, seen in found], logits


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


def _counts_from_0(model: nn.Module, given: Mapping[str, Any], own: Any) -> bool:
    """Whether the model's own position ids, with which it gave the logits `own`, are 0, 1, 2 ...; true where it takes none."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return True
    ids = given.get("decoder_input_ids", given["input_ids"])
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    try:
        ours = model(**{**given, "position_ids": positions}).logits
    except Exception:  # noqa: BLE001 - a class that takes other position ids is left to make its own
        return False
    size = own.float().abs().max()
    return bool((own - ours).float().abs().max() <= size * (1e-4 if own.dtype == torch.float32 else 3e-2))
