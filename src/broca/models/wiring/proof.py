"""The proof of every block's wiring: found by itself where its dtype shows it, else that of a block of the same class.

Half precision may round away what a block writes. Such a block is neither proved nor wrong. Blocks of one class run the same code,
so what another one of them was proved to do is taken for it too, if it leaves nothing but rounding here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import nn

from broca.errors import AnatomyError
from broca.models.wiring.parallel_streams import mixing_steps
from broca.models.wiring.recording import Seen, dtype_of, streams_of
from broca.models.wiring.stream import Record, Step, follows, is_blurred, steps

_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest relative error of the residual identity, by dtype, where more than rounding is left over."""
_WIDE = 1e-2
"""Where tolerances are as large as this, a wrong wiring may be within them, so that only rounding may be left over."""
_FORMS: tuple[dict[str, bool], ...] = ({}, {"constant": True}, {"constant": True, "channels": True})
"""What a step may leave open, the strictest first."""


@dataclass(frozen=True, slots=True)
class Way:
    """The steps of a block, or why they are not known."""

    steps: tuple[Step, ...] = ()
    form: Mapping[str, Any] = field(default_factory=dict)
    """What they leave open, as fields of `broca.models.wiring.anatomy.Block`."""
    trouble: str = ""
    """Why nothing is known, which another block of the class may mend."""


def ways(blocks: Sequence[nn.Module], seen: Sequence[Seen], *, width: int, by_hand: bool) -> list[Way]:
    """The proved steps of each block.

    Args:
        blocks: of the decoder.
        seen: what each of them did.
        width: of the stream.
        by_hand: whether the modules in `seen` are those that a person named, so that nothing is left open.

    Raises:
        AnatomyError: if a block does something else than its modules can add up to, or its dtype does not show what.
    """
    found = [_way(block, each, width, by_hand=by_hand) for block, each in zip(blocks, seen, strict=True)]
    for i, way in enumerate(found):
        if not way.trouble:
            continue
        record, like = seen[i].record(blocks[i], seen[i].dtypes(blocks[i])[-1]), _alike(blocks, i)
        known = (found[j] for j in like if not found[j].trouble and not found[j].form)
        other = next((each for each in known if follows(record, each.steps)), None)
        if other is None:
            raise AnatomyError(f"In {type(blocks[i]).__name__} {i}, {way.trouble}")
        found[i] = other
    return found


def _alike(blocks: Sequence[nn.Module], i: int) -> list[int]:
    """Other blocks that run the same code, the nearest first."""
    parts = [name for name, _ in blocks[i].named_modules()]
    same = [j for j, block in enumerate(blocks) if j != i and type(block) is type(blocks[i])]
    return sorted(
        (j for j in same if [name for name, _ in blocks[j].named_modules()] == parts), key=lambda j: abs(j - i)
    )


def _way(block: nn.Module, seen: Seen, width: int, *, by_hand: bool) -> Way:
    tolerance = _TOLERANCE.get(dtype_of(block), 1e-3)
    side_by_side = streams_of(seen, width)
    if side_by_side is not None:
        several = mixing_steps(side_by_side, tolerance)
        if several is not None:
            return Way(several, {"streams": side_by_side.pre.shape[1]})
        raise _adds_up(block, seen)
    # What leaves nothing but rounding is sought in every form before what leaves more.
    dtypes = seen.dtypes(block)
    limits = [(dtype, None) for dtype in dtypes] + ([] if tolerance > _WIDE else [(dtypes[-1], tolerance)])
    for (dtype, limit), form in product(limits, _FORMS[:1] if by_hand else _FORMS):
        record = seen.record(block, dtype)
        found = steps(record, limit, **form)
        unseen = sorted({name for step in found or () for name in step.unseen} | _underflown(block, record))
        if unseen:
            return Way(trouble=_too_small(f"what {' and '.join(unseen)} may write", dtype))
        if found == ():
            return Way(trouble="nothing at all is written to the residual stream, so that there is no wiring to prove.")
        if found is not None:
            return Way(found, form)
        if is_blurred(record):
            return Way(trouble=_too_small("what its modules write", dtype))
    raise _adds_up(block, seen)


def _too_small(what: str, dtype: torch.dtype) -> str:
    return (
        f"{what} to the residual stream is smaller than the steps in which {str(dtype).removeprefix('torch.')} rounds it, so that the wiring "
        "cannot be proved, be it right or wrong. Load the model in float32."
    )


def _adds_up(block: nn.Module, seen: Seen) -> AnatomyError:
    tried = ", ".join(name for name in seen.outputs if "." not in name)
    return AnatomyError(
        f"In {type(block).__name__}, no set of modules among {tried} adds up to what the block writes to the residual "
        "stream. Describe it by hand: broca.models.wiring.dissection.dissect(model, parts="
        "{'attn_out': ..., 'mlp_out': ..., 'z': ..., 'mlp_act': ...})."
    )


def _underflown(block: nn.Module, record: Record) -> set[str]:
    """Parts that put out nothing but zeros in half precision, though none of their matrices is zero."""
    if torch.finfo(record.dtype).bits > 16:
        return set()
    silent = (name for name in record.parts if not record.outputs[name].any())
    modules = dict(block.named_modules())
    return {name for name in silent if all(p.any() for p in modules[name].parameters() if p.ndim > 1)}
