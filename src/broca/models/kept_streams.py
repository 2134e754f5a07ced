"""Scoring under lesions that leave the lower blocks alone: what those hand on is kept, and the next lesion starts above them.

A lesion at layer l changes nothing below it. The first time that questions are priced under one, the stream that enters layer l is
kept; as long as the model is who it was, every later lesion of the same layer or a higher one starts there. Before its first use
on a model the short way is proved against whole passes. What is kept is bounded, and given up where memory runs out.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from broca.items import fingerprint
from broca.models import hooks
from broca.models.fitting import INCAPABLE, is_out_of_memory
from broca.models.foreign import foreign_code
from broca.models.identity import identity
from broca.models.lm import LM
from broca.models.proofs import proof
from broca.models.questions import Question, lengths
from broca.models.skipping import skip_blocks
from broca.models.tokens import Batch
from broca.models.wiring.hidden_state import tensor_of, with_tensor

Call = Callable[..., Any]
"""As `LM.call`."""
Prices = NDArray[np.float64]
Pricing = Callable[[Sequence[Question], Call], Prices]
"""Prices questions, each pass made by what is given."""

LIMIT = 1 << 29
"""Bytes of streams that are kept of one model."""
SHARE = 1 / 3
"""Of the blocks, that must be spared, and"""
FEWEST = 2e10
"""multiplications that must be spared, for the work of finding what is kept to be nothing beside it."""


def first_layer(lm: LM) -> int:
    """The lowest layer that anything in force touches; 0 where something does not say."""
    lowest = min((getattr(it, "first_layer", 0) for it in lm.interventions), default=0)
    return min(lowest, lm.anatomy.n_layers - 1)


def price_above(lm: LM, questions: Sequence[Question], pricing: Pricing) -> Prices:
    """What `pricing` says of questions, by passes that start at the lowest layer in force where that is worth it.

    Somebody's own hook is to see every pass, so with one on the model passes are whole.
    """
    layer = first_layer(lm)
    if not _worth(lm, questions, layer) or any(foreign_code(lm.model)) or not _holds(lm, questions, pricing, layer):
        return pricing(questions, lm.call)
    streams = _streams_of(lm)
    key = _key(lm, questions)
    kept = streams.find(key, layer)
    found: list[_Kept] = []
    try:
        prices = pricing(questions, _Passes(lm, layer, kept, found).call)
    except _Elsewhere:
        streams.clear()
        return pricing(questions, lm.call)
    if kept is None or kept.layer < layer:
        streams.add(key, _Recording(layer, tuple(found)))
    return prices


def share_above(lm: LM, tokens: float, layer: int) -> float:
    """The share of a pass over so many tokens that is left where what enters a layer is kept; 1 where that is not worth it.

    What is no block, such as the head, is always computed.
    """
    spared = layer / lm.anatomy.n_layers
    if spared < SHARE or spared * tokens * lm.n_parameters < FEWEST:
        return 1.0
    table = getattr(lm.model.get_input_embeddings(), "weight", None)
    return 1 - spared * (1 - (0 if table is None else table.numel()) / lm.n_parameters)


def _worth(lm: LM, questions: Sequence[Question], layer: int) -> bool:
    tokens = sum(len(q.shared) + len(q.options) * (q.longest - 1) for q in questions)
    return share_above(lm, tokens, layer) < 1


def _key(lm: LM, questions: Sequence[Question]) -> str:
    """What the passes over questions depend on beside the model: their tokens, and how many share a batch."""
    return fingerprint([lm.batch_size, *([list(q.shared.content), list(map(list, q.options))] for q in questions)])


# -- what is kept --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """What the block below a layer returned in one pass, and which pass that was."""

    output: Any
    what: bytes

    @property
    def size(self) -> int:
        tensor = tensor_of(self.output)
        return tensor.numel() * tensor.element_size()


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """All passes over some questions, in their order, as they enter a layer."""

    layer: int
    passes: tuple[_Kept, ...]

    @property
    def size(self) -> int:
        return sum(one.size for one in self.passes)


@dataclass(slots=True, eq=False)
class _Streams:
    """What is kept of one model, as it was when it was recorded; what was not used for longest goes first."""

    of: str
    recordings: OrderedDict[tuple[str, int], _Recording] = field(default_factory=OrderedDict)

    def find(self, key: str, layer: int) -> _Recording | None:
        """The recording that enters the highest layer up to `layer`."""
        best = max((at for own, at in self.recordings if own == key and at <= layer), default=None)
        if best is None:
            return None
        self.recordings.move_to_end((key, best))
        return self.recordings[key, best]

    def add(self, key: str, recording: _Recording) -> None:
        if recording.size > LIMIT:
            return
        self.recordings[key, recording.layer] = recording
        while sum(one.size for one in self.recordings.values()) > LIMIT:
            self.recordings.popitem(last=False)

    def clear(self) -> None:
        self.recordings.clear()


_kept: WeakKeyDictionary[torch.nn.Module, _Streams] = WeakKeyDictionary()


def _streams_of(lm: LM) -> _Streams:
    """What is kept of the model as it is now."""
    with hooks.suspend():
        who = fingerprint(identity(lm.model))
    found = _kept.get(lm.model)
    if found is None or found.of != who:
        found = _kept[lm.model] = _Streams(who)
    return found


# -- passes --------------------------------------------------------------------------------------------------------


class _Elsewhere(Exception):  # noqa: N818 - a signal, not an error
    """These passes are not those that were recorded, or do not fit beside what is kept."""


@dataclass(slots=True, eq=False)
class _Passes:
    """Passes in the order of a recording: each starts where that one is kept, and is recorded at the lowest layer in force."""

    lm: LM
    layer: int
    kept: _Recording | None
    found: list[_Kept]

    def call(self, batch: Batch, **more: Any) -> Any:
        """As `LM.call`."""
        what, turn = _what(batch), len(self.found)
        below = 0 if self.kept is None else self.kept.layer
        if self.kept is not None and (turn >= len(self.kept.passes) or self.kept.passes[turn].what != what):
            raise _Elsewhere
        output = None if self.kept is None else self.kept.passes[turn].output
        path = f"{self.lm.anatomy.path}.{self.layer - 1}"

        def keep(_module: Any, _args: Any, returned: Any) -> None:
            # Some blocks add to a tensor in place.
            self.found.append(_Kept(with_tensor(returned, tensor_of(returned).clone()), what))

        try:
            with (
                skip_blocks(self.lm, [_copy_of(output)] * below),
                _as_read(more.get("past_key_values"), below, len(batch)),
                hooks.tap_modules(self.lm.model, after={path: keep}),
            ):
                return self.lm.call(batch, spared=below, **more)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise _Elsewhere from error
            raise


def _copy_of(output: Any) -> Callable[[], Any]:
    return lambda: with_tensor(output, tensor_of(output).clone())


def _what(batch: Batch) -> bytes:
    """Which pass it is: what passes, and what was read before."""
    digest = hashlib.sha256()
    for tensor in (batch.ids, batch.mask, batch.positions):
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.digest()


@contextmanager
def _as_read(cache: Any, below: int, rows: int) -> Iterator[None]:
    """Run the body with the cache of blocks that are skipped saying that they have read what the others have.

    Their keys and values are asked for by nobody, so they take no memory.
    """
    if cache is None or not below:
        yield
        return
    before = cache.layers[:below]
    above = {type(layer): layer for layer in reversed(cache.layers[below:])}
    if any(type(layer) not in above for layer in before):
        raise _Elsewhere
    try:
        cache.layers[:below] = [_hollow(above[type(layer)], rows) for layer in before]
        yield
    finally:
        cache.layers[:below] = before


def _hollow(layer: Any, rows: int) -> Any:
    made = copy.copy(layer)
    for name in ("keys", "values"):
        tensor = getattr(layer, name)
        setattr(made, name, tensor.new_zeros(()).expand(rows, *tensor.shape[1:]))
    return made


# -- the proof -----------------------------------------------------------------------------------------------------

_proved: WeakKeyDictionary[torch.nn.Module, dict[tuple[bool, bool, int], bool]] = WeakKeyDictionary()
"""By model, then by (options of more than one token, prompts of several lengths, first layer): whether passes may start above."""


def _holds(lm: LM, questions: Sequence[Question], pricing: Pricing, layer: int) -> bool:
    """Whether passes that start at a layer give the prices of whole ones; looked into once for each kind of questions and layer."""
    by_length = sorted(questions, key=lambda q: len(q.shared))
    probe = [by_length[-1], by_length[0]]
    kind = any(q.longest > 1 for q in questions), len(probe[0].shared) != len(probe[1].shared), layer
    proved = _proved.setdefault(lm.model, {})
    if kind not in proved:
        of = [*kind, lengths(probe)]
        proved[kind] = proof(lm, "kept streams", of, lambda: _prove(lm, probe, pricing, layer), best=True)
    return proved[kind]


def _prove(lm: LM, probe: Sequence[Question], pricing: Pricing, layer: int) -> bool:
    whole = pricing(probe, lm.call)
    found: list[_Kept] = []
    try:
        first = pricing(probe, _Passes(lm, layer, None, found).call)
        again = pricing(probe, _Passes(lm, layer, _Recording(layer, tuple(found)), []).call)
    except _Elsewhere:
        return False
    except INCAPABLE as error:
        why = type(error).__name__
    else:
        scale = max(float(np.abs(whole).max()), 1.0)
        worst = max(float(np.abs(first - whole).max()), float(np.abs(again - whole).max())) / scale
        if worst <= 1e-6 or not np.isfinite(whole).all():
            return True
        why = f"off by {worst:.1e} of the largest price"
    note = f"Scoring: of this model the blocks below a lesion cannot be spared ({why})."
    lm.notes = [*(other for other in lm.notes if not other.startswith(note.partition("(")[0])), note]
    return False
