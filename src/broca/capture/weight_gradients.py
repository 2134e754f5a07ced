"""How much every weight matters to an objective: squared gradients, sample by sample, summed where the weights are.

One sample at a time is the reference: a hook takes each parameter's gradient the moment it is whole, adds its square to
a float32 sum and throws it away, so that no more than one gradient is ever held. On short texts a batch is faster: the
same per-sample gradients are then made from what went into each projection and the gradient of what came out of it
(Goodfellow, 2015), and squared likewise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from broca.cache.cache import Draft
from broca.capture.objectives import AnsweredQuestion, Objective, Row
from broca.capture.samples import Sums, Work
from broca.errors import BrocaError, GuardError, StatisticsError
from broca.models.fitting import is_out_of_memory, release
from broca.models.limits import has_gradients, pads
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.specs.fields import Mode, Precision, Score

SHORT = 64
"""Up to so many tokens a text a batch is faster than one text at a time; at 128 hardly (`benchmarks/sensitivity.py`)."""


def sensitivity(
    lm: LM,
    samples: Sequence[AnsweredQuestion],
    objective: Objective,
    matrices: Sequence[Matrix],
    *,
    scores: Sequence[Score] = ("squared-gradient",),
    halves: bool = True,
    mode: Mode = "auto",
    precision: Precision = "float32",
    nonfinite: Literal["refuse", "keep"] = "refuse",
    sums_on: str | None = None,
    draft: Draft | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sums:
    """Sum what every sample's gradients say about every weight of some matrices.

    Args:
        lm: the model.
        samples: from `broca.models.questions.split`, or texts.
        objective: what is differentiated.
        matrices: of which matrices; those of a few layers at a time need a few layers' memory.
        scores: which scores will be asked for.
        halves: keep samples 0, 2, 4, ... apart from 1, 3, 5, ...; takes a second copy of the sums.
        mode: one sample at a time, batched, or batched where texts are short and the model allows it.
        precision: of the sums; float16 reproduces published scores, with their underflow and overflow.
        nonfinite: what to do about scores that are infinite or NaN: refuse them, or keep them, as published.
        sums_on: the device of the sums; "cpu" saves the memory of a copy on a GPU; that of each weight when None.
        draft: where unfinished sums are left now and then, at less than a twentieth of the time.
        progress: called with (samples done, samples in all).

    Raises:
        StatisticsError: if a sample's objective is not finite, or a sum is not; the message counts them by matrix.
        GuardError: if a parameter gets no gradient: then its score would be a lie; or if texts of different lengths are
            batched where padding moves what the model computes.
        BrocaError: if memory runs out.
    """
    if not samples:
        raise StatisticsError("There are no samples to score weights by. Give at least one, better a hundred.")
    rows = [objective.rows(asked) for asked in samples]
    batched = mode == "batched" or (mode == "auto" and _short(rows) and _batchable(lm, matrices) and pads(lm, "right"))
    if batched and len({len(row.ids) for sample in rows for row in sample}) > 1 and not pads(lm, "right"):
        raise GuardError(
            "Padding moves what this model computes, so texts of different lengths cannot share a batch. Use mode='single'."
        )
    work = Work(lm, objective, matrices, _sums(lm, matrices, scores, halves=halves, precision=precision, on=sums_on))
    with ExitStack() as stack:
        stack.enter_context(asking(lm, () if batched else {m.parameter for m in matrices}))
        if "activation-weight" in scores:
            stack.enter_context(work.seeing_inputs())
        stack.enter_context(work.catching() if batched else work.accumulating())
        _run(work, rows, draft, progress or (lambda _done, _total: None), batched=batched, halves=halves)
    if nonfinite == "refuse":
        _refuse_nonfinite(work.sums, matrices)
    return work.sums


def _run(
    work: Work,
    rows: Sequence[tuple[Row, ...]],
    draft: Draft | None,
    progress: Callable[[int, int], None],
    *,
    batched: bool,
    halves: bool,
) -> None:
    saved, cost = time.perf_counter(), 0.0
    groups = _groups(rows, batched=batched, halves=halves)
    done, size = work.resume_draft(draft), work.lm.batch_size if batched else 1
    while step := _step(rows, groups, done, size):
        progress(done, len(rows))
        half, index = step
        try:
            (work.batch if batched else work.one)(half, [rows[i] for i in index], index)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(index) == 1:
                raise BrocaError(
                    f"Out of memory on one text of {max(len(r.ids) for r in rows[index[0]])} tokens. Use mode='single', fewer "
                    "layers at a time, or sums_on='cpu'."
                ) from error
            size = len(index) // 2 * len(rows[index[0]])
        else:
            work.sums.n[half] += len(index)
            done += len(index)
            now = time.perf_counter()
            if draft is not None and now - saved > 20 * cost and done < len(rows):
                draft.save(work.state(done))
                saved = time.perf_counter()
                cost = saved - now
            continue
        # What the failed step has added cannot be taken off again: back to what was left last, or to the beginning.
        release()
        work.lm.shrink(size)
        work.clear_sums()
        done = work.resume_draft(draft)
    progress(len(rows), len(rows))


def _groups(rows: Sequence[tuple[Row, ...]], *, batched: bool, halves: bool) -> list[tuple[int, list[int]]]:
    """The half that samples belong to, and samples that may share a batch, in the order in which they are looked at.

    Longest first where there are several; it does not depend on the size of a batch.
    """
    found = []
    for half in (0, 1) if halves else (0,):
        own = list(range(half, len(rows), 2)) if halves else list(range(len(rows)))
        if not batched:
            found.append((half, own))
            continue
        # Rows of one batch must be as many a sample, so that they can be told apart by their place.
        own.sort(key=lambda i: (len(rows[i]), -max(len(row.ids) for row in rows[i])))
        found += [(half, [i for i in own if len(rows[i]) == n]) for n in sorted({len(rows[i]) for i in own})]
    return found


def _step(
    rows: Sequence[tuple[Row, ...]], groups: Sequence[tuple[int, list[int]]], done: int, size: int
) -> tuple[int, tuple[int, ...]] | None:
    """The half and the samples that are looked at after so many; None at the end."""
    for half, own in groups:
        if done < len(own):
            per = max(1, size // max(1, len(rows[own[done]])))
            return half, tuple(own[done : done + per])
        done -= len(own)
    return None


def _short(rows: Sequence[tuple[Row, ...]]) -> bool:
    return float(np.mean([len(row.ids) for sample in rows for row in sample])) <= SHORT


def _batchable(lm: LM, matrices: Sequence[Matrix]) -> bool:
    """Whether each matrix is of a module that sees all tokens of a text: the experts of a mixture do not."""
    return all(matrix.expert is None for matrix in matrices) and lm.model.get_input_embeddings() is not None


def _sums(
    lm: LM, matrices: Sequence[Matrix], scores: Sequence[Score], *, halves: bool, precision: Precision, on: str | None
) -> Sums:
    def zeros() -> dict[str, Tensor]:
        made = {}
        for path in dict.fromkeys(m.parameter for m in matrices):
            weight = lm.model.get_parameter(path)
            wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
            dtype = torch.float16 if precision == "float16" else wide
            made[path] = torch.zeros(weight.shape, dtype=dtype, device=on or weight.device)
        return made

    n = 2 if halves else 1
    squared = {"squared-gradient", "squared-gradient-weight"} & set(scores)
    if "activation-weight" in scores and any(m.expert is not None for m in matrices):
        raise GuardError(
            "activation-weight needs what goes into each matrix, and the experts of a mixture are given theirs inside one "
            "call. Use a score made of gradients."
        )
    return Sums(
        tuple(zeros() for _ in range(n)) if squared else (),
        tuple(zeros() for _ in range(n)) if "gradient-weight" in scores else (),
        {m.module: torch.zeros(m.address.columns, dtype=torch.float64) for m in matrices}
        if "activation-weight" in scores
        else {},
    )


@contextmanager
def asking(lm: LM, wanted: Any) -> Iterator[None]:
    """Run the body with these parameters asking for a gradient, and no other.

    Raises:
        GuardError: if there would be no gradient.
    """
    has_gradients(lm)
    model: nn.Module = lm.model
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in wanted)
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
            if name in wanted:
                parameter.grad = None


def _refuse_nonfinite(sums: Sums, matrices: Sequence[Matrix]) -> None:
    bad: dict[str, int] = {}
    for part in (*sums.squares, *sums.sizes):
        # The extremes tell it in one pass that copies nothing; which matrix it was is asked only then.
        hit = {path for path, values in part.items() if not all(torch.isfinite(end) for end in values.aminmax())}
        for matrix in matrices:
            if matrix.parameter in hit:
                count = int((~torch.isfinite(matrix.of(part[matrix.parameter]))).sum())
                bad[matrix.name] = bad.get(matrix.name, 0) + count
    bad = {name: count for name, count in bad.items() if count}
    if bad:
        listed = ", ".join(f"{name} {count}" for name, count in list(bad.items())[:5])
        raise StatisticsError(
            f"Scores of {sum(bad.values())} weights in {len(bad)} matrices are infinite or NaN ({listed}): they would be ranked "
            "first, or hide a whole matrix. Load the model in float32 or bfloat16; float16 overflows."
        )
