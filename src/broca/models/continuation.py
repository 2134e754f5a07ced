"""Log-probabilities of continuations: all options of a question over one reading of its prompt.

A beginning that prompts share (examples, an instruction) is read once for all of them. Each prompt is read once from there on; the
distribution after its last token prices the first token of every option. Where an option has more tokens, the cache is repeated
once an option and one further forward pass prices the rest. The plain way, in which each option is read behind its own copy of the
prompt, is kept as the reference: the first time a model is asked, they must agree, or the plain way is taken and the model's notes
say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from broca.errors import GuardError
from broca.models.beginnings import Family, families
from broca.models.fitting import INCAPABLE, is_out_of_memory
from broca.models.force import reads_ahead
from broca.models.hooks import suspend
from broca.models.kept_streams import price_above
from broca.models.limits import pads
from broca.models.lm import LM
from broca.models.option_prices import padded_options, separate_prices, shared_prompt_prices
from broca.models.proofs import proof
from broca.models.questions import Question, lengths, split
from broca.models.rendering import Prompt
from broca.models.tokens import Chat, Side

Way = Literal["cached", "plain", "alone"]
"""Shared prompts; each option with its own copy of the prompt, batched; or each such text in a pass of
its own."""

_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 0.05}
"""Largest difference between two ways, in nats a token. Double precision models keep single precision parts, such as
rotary angles; bfloat16 (0.25) rounds logits near 30 to the nearest 1/8."""

_proved: WeakKeyDictionary[torch.nn.Module, dict[tuple[bool, bool, bool], Way]] = WeakKeyDictionary()
"""By model, then by (pictures, options of more than one token, prompts of several lengths): the first way that passed the guard."""

_prefix_proved: WeakKeyDictionary[torch.nn.Module, dict[tuple[bool, bool], bool]] = WeakKeyDictionary()
"""By model, then by (options of more than one token, prompts of several lengths): whether beginnings may be shared."""


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
        if how in ("plain", "alone"):
            _refuse_whole(lm)
        for rows, values in _prices(lm, asked, how, insists=way is not None, size=size, side=side):
            for k, value in zip(rows, values, strict=True):
                options = asked[k].options
                sums, missed = value[: len(options)].T.tolist()
                found[group[k]] = Continuations(tuple(sums), tuple(map(len, options)), tuple(n == 0 for n in missed))
    lm.assert_fired()
    return found


def _groups(questions: Sequence[Question]) -> Iterable[list[int]]:
    """Questions that one reading of the prompt answers; and the others, by their number of options; each with pictures, or without."""
    groups: dict[tuple[int, bool], list[int]] = {}
    for i, question in enumerate(questions):
        kind = (0 if question.longest == 1 else len(question.options), question.shared.view is not None)
        groups.setdefault(kind, []).append(i)
    return groups.values()


def tokens_read(questions: Sequence[Question]) -> int:
    """Tokens that pass when these are priced together: shared beginnings and prompts once, of each option all but the last."""
    total = 0
    for group in _groups(questions):
        asked = [questions[i] for i in group]
        total += sum(len(q.shared) + sum(len(option) - 1 for option in q.options) for q in asked)
        total -= sum((len(family.rows) - 1) * family.prefix for family in families(asked))
    return total


def _prices(
    lm: LM, questions: Sequence[Question], way: Way, *, insists: bool, size: int | None, side: Side
) -> Iterable[tuple[Sequence[int], NDArray[np.float64]]]:
    """Some questions' places, and their prices ``(question, option, 2)``; until all are priced."""
    every = tuple(range(len(questions)))
    shares = way == "cached" and not insists and _may_share_beginnings(lm, questions)
    for family in families(questions) if shares else [Family(every)]:
        own = [questions[i] for i in family.rows]
        prefix = family.prefix if _prefix_holds(lm, own, family.prefix) else 0
        if way in ("plain", "alone"):
            yield family.rows, separate_prices(lm, own, size=1 if way == "alone" else size, side=side)
        else:
            price = partial(shared_prompt_prices, lm, size=size, prefix=prefix)
            yield family.rows, price_above(lm, own, lambda some, call, price=price: price(some, call=call))


def _may_share_beginnings(lm: LM, questions: Sequence[Question]) -> bool:
    """Whether what is in force does the same to the beginning of a prompt, whatever follows; pictures are not looked into."""
    return questions[0].shared.view is None and not any(map(reads_ahead, lm.interventions))


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
            kind = [pictured, several, padded, lengths(probe)]
            proved[pictured, several, padded] = proof(lm, "shared prompts", kind, lambda: _prove(lm, probe), "cached")
    return proved.get((pictured, several, True)) or proved[pictured, several, padded]


def _prove(lm: LM, probe: Sequence[Question]) -> Way:
    counts = np.maximum(padded_options(probe)[1].sum(-1), 1)
    alone = separate_prices(lm, probe, size=1)[..., 0] / counts
    tolerance = _TOLERANCE.get(lm.dtype, 0.25)
    found = []
    ways: tuple[Way, ...] = ("cached", "plain")
    for way in ways:
        try:
            price = shared_prompt_prices if way == "cached" else separate_prices
            worst = float(np.abs(price(lm, probe, size=len(probe))[..., 0] / counts - alone).max())
        except INCAPABLE as error:
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


def _prefix_holds(lm: LM, questions: Sequence[Question], prefix: int) -> bool:
    """Whether prompts go on from a shared beginning as they do from the start; looked into once for each kind of batch."""
    if not prefix:
        return False
    by_length = sorted(questions, key=lambda q: len(q.shared))
    probe = [by_length[-1], by_length[0]]
    kind = any(q.longest > 1 for q in questions), len(probe[0].shared) != len(probe[1].shared)
    proved = _prefix_proved.setdefault(lm.model, {})
    if kind not in proved:
        with suspend():
            of = [*kind, prefix, lengths(probe)]
            proved[kind] = proof(lm, "shared beginnings", of, lambda: _prove_prefix(lm, probe, prefix), best=True)
    return proved[kind]


def _prove_prefix(lm: LM, probe: Sequence[Question], prefix: int) -> bool:
    counts = np.maximum(padded_options(probe)[1].sum(-1), 1)
    whole = shared_prompt_prices(lm, probe)[..., 0] / counts
    try:
        worst = float(np.abs(shared_prompt_prices(lm, probe, prefix=prefix)[..., 0] / counts - whole).max())
    except INCAPABLE as error:
        if is_out_of_memory(error):
            raise
        why = type(error).__name__
    else:
        if worst <= _TOLERANCE.get(lm.dtype, 0.25) or not np.isfinite(whole).all():
            return True
        why = f"off by {worst:.2g} nats a token"
    lm.notes.append(
        f"Scoring: of this model a beginning that prompts share cannot be read once for all of them ({why})."
    )
    return False


def _refuse_whole(lm: LM) -> None:
    """Prompt and option pass in one go: what takes all that it is shown for the prompt would edit the option."""
    for it in lm.interventions:
        if it.reads_prompt:
            raise GuardError(
                f"{type(it).__name__} takes the tensor that it is shown for a prompt (reads_prompt = True), but this model's cache "
                "cannot be shared between options, so that prompt and option pass together. Let it go by "
                "broca.models.passes.current(), and declare reads_prompt = False; or score by generation."
            )
