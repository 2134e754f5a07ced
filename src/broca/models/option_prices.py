"""The passes that price options: over one reading of what prompts share, of each prompt, or behind a copy of the prompt each.

The only room that knows caches. What was read is handed on as the model's own cache; one more pass reads all options behind it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.models.kept_streams import Call
from broca.models.lm import LM
from broca.models.questions import Question
from broca.models.tokens import Batch, Side, Tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """How a batch is read: what makes each pass, and what was read before its columns."""

    call: Call
    length: int = 0
    """How many tokens, the same in each row."""
    cache: Any = None
    """The model's own, of one row."""


def shared_prompt_prices(
    lm: LM, questions: Sequence[Question], *, size: int | None = None, prefix: int = 0, call: Call | None = None
) -> NDArray[np.float64]:
    """``(question, option, 2)``: summed log-probabilities in nats, and how many tokens are not the most probable one.

    Each prompt is read once. Rows of questions with fewer options end in zeros.

    Args:
        lm: the model.
        questions: to price.
        size: prompts a batch.
        prefix: tokens that all prompts begin with, fewer than the shortest has; they are read once for all.
        call: makes each pass, as `LM.call` does.
    """
    reading = Reading(call or lm.call)
    ids, mask = padded_options(questions)
    out = np.zeros((*ids.shape[:2], 2))
    if prefix:
        reading = _read_beginning(lm, questions[0].shared, prefix, reading.call)
    rest = [
        replace(q.shared, ids=q.shared.ids[prefix:], offsets=None, prefix=0) if prefix else q.shared for q in questions
    ]

    def step(batch: Batch) -> NDArray[np.float64]:
        rows = list(batch.index)
        if prefix:
            batch = _behind(batch, [questions[i].shared for i in rows], prefix)
        prices = _continuation_prices(lm, batch, torch.from_numpy(ids[rows]), torch.from_numpy(mask[rows]), reading)
        return prices.cpu().double().sum(0).numpy()

    # Behind a cache padding stands at the end, so that the places of real tokens go on from those that were read; and none stands
    # before an option: windows and biases that go by columns would count it.
    side: Side = "right" if prefix else "left"
    for batch, values in lm.each(rest, step, size=size, side=side, alike=bool(prefix) and ids.shape[2] > 1):
        out[list(batch.index)] = values
    return out


def _read_beginning(lm: LM, tokens: Tokens, length: int, call: Call) -> Reading:
    begun = replace(tokens, ids=tokens.ids[:length], offsets=None, prefix=min(tokens.prefix, length - 1))
    output = call(lm.pad_batch([begun]), use_cache=True, **_keep(lm, 1))
    return Reading(call, length, output.past_key_values)


def _behind(batch: Batch, texts: Sequence[Tokens], length: int) -> Batch:
    """A batch of the ends of texts whose first tokens were read before."""
    return replace(
        batch,
        mask=torch.cat([batch.mask.new_ones(len(batch), length), batch.mask], 1),
        positions=batch.positions + length,
        tokens=tuple(texts),
    )


def padded_options(questions: Sequence[Question]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask, ``(question, option, token)``, padded on the right."""
    shape = (len(questions), max(len(q.options) for q in questions), max(q.longest for q in questions))
    ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for i, question in enumerate(questions):
        for k, option in enumerate(question.options):
            ids[i, k, : len(option)] = option
            mask[i, k, : len(option)] = 1
    return ids, mask


def _continuation_prices(lm: LM, batch: Batch, ids: Tensor, mask: Tensor, reading: Reading) -> Tensor:
    """``(token, prompt, option, 2)``: what `_id_prices` says of each token; `ids` and `mask` as of `padded_options`."""
    several = ids.shape[2] > 1
    last, cache = _next_logits(lm, batch, reading, keep=several)
    ids, mask = ids.to(last.device), mask.to(last.device)
    real = mask.permute(2, 0, 1).bool()[..., None]
    first = _id_prices(last, ids[:, :, 0])
    if not several:
        return torch.where(real, first[None], 0.0)
    n = ids.shape[1]
    cache.batch_repeat_interleave(n)
    fed = mask[:, :, 1:].flatten(0, 1).to(batch.ids.device)
    start = batch.mask.repeat_interleave(n, 0)
    rest = Batch(
        ids=ids[:, :, :-1].flatten(0, 1).to(batch.ids.device),
        mask=torch.cat([start, fed], 1),
        # Padding repeats the last real position, so that no position lies outside the model's context.
        positions=start.sum(1, keepdim=True) + (fed.cumsum(1) - 1).clamp(min=0),
        index=tuple(i for i in batch.index for _ in range(n)),
        tokens=tuple(tokens for tokens in batch.tokens for _ in range(n)),
        beside={
            name: _onward(values, n, fed.shape[1]) for name, values in batch.beside.items() if _by_token(values, batch)
        },
    )
    logits = reading.call(rest, past=batch.mask.shape[1], use_cache=True, past_key_values=cache).logits
    # One position at a time: the vocabulary is wide, and its float32 copy wider.
    later = [
        _id_prices(logits[:, t], ids[:, :, t + 1].reshape(-1, 1)).view(first.shape) for t in range(logits.shape[1])
    ]
    # A padded position may hold anything, infinities too, so it is left out rather than multiplied by 0.
    return torch.where(real, torch.stack([first, *later]), 0.0)


def _next_logits(lm: LM, batch: Batch, reading: Reading, *, keep: bool) -> tuple[Tensor, Any]:
    """Logits after each row's last token, ``(row, vocabulary)``, and the cache of all tokens, where it is to be kept."""
    if reading.cache is None:
        output = reading.call(batch, use_cache=keep, **_keep(lm, 1))
        return output.logits[:, -1], getattr(output, "past_key_values", None)
    cache = copy.deepcopy(reading.cache)
    cache.batch_repeat_interleave(len(batch))
    ends = (batch.mask.sum(1) - 1 - reading.length).cpu()
    places = ends.unique()
    short = {"logits_to_keep": places.to(batch.ids.device)} if "logits_to_keep" in lm.accepts else {}
    output = reading.call(batch, past=reading.length, use_cache=True, past_key_values=cache, **short)
    column = torch.searchsorted(places, ends) if short else ends
    logits = output.logits[torch.arange(len(batch)), column.to(output.logits.device)]
    return logits, output.past_key_values


def _by_token(values: Tensor, batch: Batch) -> bool:
    """Whether it says of every token what it sees of the pictures."""
    return values.ndim > 2 and values.shape[:2] == batch.ids.shape


def _onward(values: Tensor, n: int, width: int) -> Tensor:
    """What `width` tokens after a prompt see of its pictures, for each of `n` options: as much as its last one."""
    return values[:, -1:].repeat_interleave(n, 0).expand(-1, width, *values.shape[2:])


def _keep(lm: LM, n: int) -> Mapping[str, Any]:
    """Ask the model for the logits of the last `n` positions alone, where it can."""
    return {"logits_to_keep": n} if "logits_to_keep" in lm.accepts else {}


def _id_prices(logits: Tensor, ids: Tensor) -> Tensor:
    """``(row, id, 2)`` log-probabilities of some ids at one position of each row, and 1 where another one is more probable."""
    logprobs = _log_softmax(logits)
    other = ids != logprobs.max(-1, keepdim=True).indices  # as argmax, in a third of its time on a processor
    return torch.stack([logprobs.gather(-1, ids), other.to(logprobs.dtype)], -1)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)


def separate_prices(
    lm: LM, questions: Sequence[Question], *, size: int | None = None, side: Side = "left"
) -> NDArray[np.float64]:
    """As `shared_prompt_prices`, each option read behind its own copy of the prompt: the reference; `size` rows a batch."""
    ids, mask = padded_options(questions)
    out = np.zeros((*ids.shape[:2], 2))
    where = [(i, k) for i, question in enumerate(questions) for k in range(len(question.options))]
    # The last token of an option is priced but never read.
    rows = [questions[i].shared.with_answer(questions[i].options[k][:-1]) for i, k in where]

    def step(batch: Batch) -> list[list[float]]:
        cells = [where[row] for row in batch.index]
        n = max(int(mask[cell].sum()) for cell in cells)
        logits = lm.call(batch, **(_keep(lm, n) if side == "left" else {})).logits
        dropped = batch.ids.shape[1] - logits.shape[1]
        ends = (batch.last + 1 - dropped).tolist()
        values = []
        for row, (cell, end) in enumerate(zip(cells, ends, strict=True)):
            option = torch.from_numpy(ids[cell][: int(mask[cell].sum())]).to(logits.device)
            values.append(
                _id_prices(logits[row, end - len(option) : end], option[:, None]).double().sum((0, 1)).tolist()
            )
        return values

    for batch, values in lm.each(rows, step, size=size, side=side):
        for row, value in zip(batch.index, values, strict=True):
            out[where[row]] = value
    return out
