"""Log-probabilities of continuations: all options of a question over one reading of its prompt.

The only room that knows caches. A prompt is read once; the distribution after its last token prices the first token of
every option. Where an option has more tokens, the cache is repeated once an option and one further forward pass prices
the rest. The plain way, in which each option is read behind its own copy of the prompt, is kept as the reference: the
first time a model is asked, the two must agree, or the plain way is taken and the model's notes say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import GuardError
from broca.models.fitting import is_out_of_memory
from broca.models.hooks import suspend
from broca.models.limits import pads
from broca.models.lm import LM
from broca.models.questions import Question, split
from broca.models.rendering import Prompt
from broca.models.tokens import Batch, Chat, Side

Way = Literal["cached", "plain", "alone"]
"""Shared prompts; each option with its own copy of the prompt, batched; or each such text in a pass of its own."""

_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 0.05}
"""Largest difference between two ways, in nats a token. Double precision models keep single precision parts, such as
rotary angles; bfloat16 (0.25) rounds logits near 30 to the nearest 1/8."""

_proved: WeakKeyDictionary[torch.nn.Module, dict[tuple[bool, bool, bool], Way]] = WeakKeyDictionary()
"""By model, then by (pictures, options of more than one token, prompts of several lengths): the first way that passed the guard."""


@dataclass(frozen=True, slots=True)
class Continuations:
    """For each option of one question: its log-probability in nats, how many tokens it has, and whether it is greedy."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: tuple[bool, ...]
    """Whether each of its tokens is the most probable one after those before it."""


def continuation_logprobs(
    lm: LM,
    prompts: Sequence[Prompt],
    options: Sequence[Sequence[str]],
    *,
    chat: Chat = "auto",
    names: Sequence[str] | None = None,
    way: Way | None = None,
    size: int | None = None,
) -> list[Continuations]:
    """How probable each option is after its prompt, under whatever is in force.

    Args:
        lm: the model.
        prompts: prompts or chats; to a chat, options are appended after the rendered template.
        options: the strings that may follow each prompt, exactly as they are to be appended.
        chat: see `broca.models.tokens.Chat`.
        names: what to call each prompt in errors.
        way: insist on one way instead of the fastest proved one.
        size: prompts a batch; `lm.batch_size` when None.

    Raises:
        StimulusError: if an option adds no token, or the tokens of prompt and option do not fit the model's context.
        GuardError: if the model's cache cannot be used and an intervention in force takes all that passes for the prompt, or an
            edit in force did not run.
    """
    return logprobs(lm, split(lm, prompts, options, chat=chat, names=names), way=way, size=size)


def logprobs(
    lm: LM, questions: Sequence[Question], *, way: Way | None = None, size: int | None = None, side: Side = "left"
) -> list[Continuations]:
    """Price the options of questions that are tokenised; see `continuation_logprobs`.

    Args:
        lm: the model.
        questions: from `split`.
        way: insist on one way instead of the fastest proved one.
        size: prompts a batch (rows a batch where the way is not "cached").
        side: padding of the plain way; prompts that are read ahead of their options are always padded on the left.
    """
    found: list[Continuations] = [Continuations((), (), ())] * len(questions)
    for group in _groups(questions):
        asked = [questions[i] for i in group]
        how = way or _way(lm, asked)
        if how != "cached":
            _refuse_whole(lm)
        for i, values in zip(group, _option_prices(lm, asked, how, size=size, side=side), strict=True):
            options = questions[i].options
            sums, missed = values[: len(options)].T.tolist()
            found[i] = Continuations(tuple(sums), tuple(map(len, options)), tuple(n == 0 for n in missed))
    lm.assert_fired()
    return found


def _groups(questions: Sequence[Question]) -> Iterable[list[int]]:
    """Questions that one reading of the prompt answers; and the others, by their number of options; each with pictures, or without."""
    groups: dict[tuple[int, bool], list[int]] = {}
    for i, question in enumerate(questions):
        kind = (0 if question.longest == 1 else len(question.options), question.shared.view is not None)
        groups.setdefault(kind, []).append(i)
    return groups.values()


def _option_prices(
    lm: LM, questions: Sequence[Question], way: Way, *, size: int | None, side: Side
) -> NDArray[np.float64]:
    """``(question, option, 2)``: summed log-probabilities, and how many tokens are not the most probable one.

    Rows of questions with fewer options end in zeros.
    """
    if way == "cached":
        return _shared_prompt_prices(lm, questions, size)
    return _separate(lm, questions, 1 if way == "alone" else size, side)


# -- one reading a prompt ------------------------------------------------------------------------------------------


def _shared_prompt_prices(lm: LM, questions: Sequence[Question], size: int | None) -> NDArray[np.float64]:
    ids, mask = _options(questions)
    out = np.zeros((*ids.shape[:2], 2))

    def step(batch: Batch) -> NDArray[np.float64]:
        rows = list(batch.index)
        return (
            _continuation_prices(lm, batch, torch.from_numpy(ids[rows]), torch.from_numpy(mask[rows]))
            .cpu()
            .double()
            .sum(0)
            .numpy()
        )

    for batch, values in lm.each([q.shared for q in questions], step, size=size):
        out[list(batch.index)] = values
    return out


def _options(questions: Sequence[Question]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask, ``(question, option, token)``, padded on the right."""
    shape = (len(questions), max(len(q.options) for q in questions), max(q.longest for q in questions))
    ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for i, question in enumerate(questions):
        for k, option in enumerate(question.options):
            ids[i, k, : len(option)] = option
            mask[i, k, : len(option)] = 1
    return ids, mask


def _continuation_prices(lm: LM, batch: Batch, ids: Tensor, mask: Tensor) -> Tensor:
    """``(token, prompt, option, 2)``: what `_id_prices` says of a batch padded on the left; `ids` and `mask` as in `_options`."""
    several = ids.shape[2] > 1
    output = lm.call(batch, use_cache=several, **_keep(lm, 1))
    ids, mask = ids.to(output.logits.device), mask.to(output.logits.device)
    real = mask.permute(2, 0, 1).bool()[..., None]
    first = _id_prices(output.logits[:, -1], ids[:, :, 0])
    if not several:
        return torch.where(real, first[None], 0.0)
    cache, n = output.past_key_values, ids.shape[1]
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
    logits = lm.call(rest, past=batch.ids.shape[1], use_cache=True, past_key_values=cache).logits
    # One position at a time: the vocabulary is wide, and its float32 copy wider.
    later = [
        _id_prices(logits[:, t], ids[:, :, t + 1].reshape(-1, 1)).view(first.shape) for t in range(logits.shape[1])
    ]
    # A padded position may hold anything, infinities too, so it is left out rather than multiplied by 0.
    return torch.where(real, torch.stack([first, *later]), 0.0)


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
    other = ids != logprobs.argmax(-1, keepdim=True)
    return torch.stack([logprobs.gather(-1, ids), other.to(logprobs.dtype)], -1)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)


# -- the reference -------------------------------------------------------------------------------------------------


def _separate(lm: LM, questions: Sequence[Question], size: int | None, side: Side) -> NDArray[np.float64]:
    ids, mask = _options(questions)
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


# -- the guard -----------------------------------------------------------------------------------------------------


def _way(lm: LM, questions: Sequence[Question]) -> Way:
    """The fastest way that gives this model's own answer; looked into once for each kind of batch."""
    several = any(q.longest > 1 for q in questions)
    pictured = questions[0].shared.view is not None
    alike = [q for q in questions if q.shared.key == questions[0].shared.key]
    by_length = sorted(alike, key=lambda q: len(q.shared))
    probe = [by_length[-1], by_length[0]] if len(by_length) > 1 else by_length
    # Where padding moves the model, no batch is padded: see `LM.each`.
    padded = len(probe[0].shared) != len(probe[-1].shared) and pads(lm, "left")
    proved = _proved.setdefault(lm.model, {})
    if (pictured, several, padded) not in proved and (pictured, several, True) not in proved:
        # Of the bare model: what an intervention does may rightly depend on where the prompt ends.
        with suspend():
            proved[pictured, several, padded] = _prove(lm, probe)
    return proved.get((pictured, several, True)) or proved[pictured, several, padded]


def _prove(lm: LM, probe: Sequence[Question]) -> Way:
    counts = np.maximum(_options(probe)[1].sum(-1), 1)
    alone = _separate(lm, probe, 1, "left")[..., 0] / counts
    tolerance = _TOLERANCE.get(lm.dtype, 0.25)
    found = []
    ways: tuple[Way, ...] = ("cached", "plain")
    for way in ways:
        try:
            worst = float(
                np.abs(_option_prices(lm, probe, way, size=len(probe), side="left")[..., 0] / counts - alone).max()
            )
        except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            found.append(f"{way}: {type(error).__name__}")
            continue
        # A model whose answers are not numbers has no right way to be told from a wrong one.
        if worst <= tolerance or not np.isfinite(alone).all():
            break
        found.append(f"{way}: off by {worst:.2g} nats a token")
    else:
        way = "alone"
    if way != "cached":
        how = "its own copy of the prompt" + (", one text at a time" if way == "alone" else "")
        lm.notes.append(
            f"Scoring: this model does not give one text's own answer over a shared prompt ({'; '.join(found)}); each option "
            f"is read with {how}."
        )
    return way


def _refuse_whole(lm: LM) -> None:
    """Prompt and option pass in one go: what takes all that it is shown for the prompt would edit the option."""
    for it in lm.interventions:
        if it.reads_prompt:
            raise GuardError(
                f"{type(it).__name__} takes the tensor that it is shown for a prompt (reads_prompt = True), but this model's cache "
                "cannot be shared between options, so that prompt and option pass together. Let it go by "
                "broca.models.passes.current(), and declare reads_prompt = False; or score by generation."
            )
