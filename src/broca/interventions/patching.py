"""Activation patching of pairs: what each place of one run restores, or breaks, in another (Zhang & Nanda, 2024).

A case is a text that is run, a donor that lends its activations, and two tokens that may come next. A cell of the grid
is some sites, or heads at them, at one class of tokens. Every cell of a batch starts from one recorded run
(`broca.models.rerun`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import StimulusError
from broca.models.fitting import batch_within
from broca.models.hooks import copy_sites
from broca.models.lm import LM
from broca.models.rerun import Change, Way, Work, record
from broca.models.tokens import Batch, Tokens, pad_tokens
from broca.sites import Site

Places = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""For each class of tokens, their positions in the donor and in the text that is run; BOS counts. Where there are not as many
of both, the last ones are paired with the last."""

NUMBERS = ("gap", "logprob", "kl")
"""What is measured after each run: logit of the right token minus that of the wrong one; log-probability of the right one,
in nats; divergence of the next-token distribution from the donor's own run, KL(donor || run), in nats."""


@dataclass(frozen=True, slots=True)
class Case:
    """A text, the donor beside it, and what may come next."""

    run: Tokens
    donor: Tokens
    places: Places
    right: int
    """Token ids that differ: `right` is what the donor is expected to favour."""
    wrong: int

    @property
    def reversed(self) -> Case:
        """The donor run with the activations of the text: what does the perturbation break?"""
        swapped = {name: (theirs, own) for name, (own, theirs) in self.places.items()}
        return replace(self, run=self.donor, donor=self.run, places=swapped)

    @property
    def itself(self) -> Case:
        """The text as its own donor: nothing may change."""
        return replace(
            self, donor=self.run, places={name: (theirs, theirs) for name, (_, theirs) in self.places.items()}
        )

    def with_donor(self, other: Case) -> Case:
        """The case with the donor of another one."""
        places = {name: (other.places[name][0], own[1]) for name, own in self.places.items() if name in other.places}
        return replace(self, donor=other.donor, places=places)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What is patched: all units, or some, at sites, at the tokens of one class."""

    at: str
    """A class of tokens, or ``all``: every class of the case."""
    parts: Mapping[Site, NDArray[np.bool_] | None]
    """For each site which units; all of them when None."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchGrid:
    """What came of a grid. Arrays end in `NUMBERS`."""

    donor: NDArray[np.float64]
    """The donor's own run, ``(case, number)``; its `kl` is 0."""
    before: NDArray[np.float64]
    """The text's own run, ``(case, number)``."""
    after: NDArray[np.float64]
    """``(case, cell, number)``; NaN where the case has no tokens of the cell's class."""
    work: Work

    @property
    def restoration(self) -> NDArray[np.float64]:
        """How far each patch moves the logit difference, in logits: ``(case, cell)``."""
        return self.after[:, :, 0] - self.before[:, None, 0]

    @property
    def lost(self) -> NDArray[np.float64]:
        """What there was to restore: the donor's logit difference minus the text's, ``(case,)``."""
        return self.donor[:, 0] - self.before[:, 0]


def patch_grid(
    lm: LM,
    cases: Sequence[Case],
    cells: Sequence[Cell],
    *,
    size: int | None = None,
    way: Way | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PatchGrid:
    """Run every case with every cell patched.

    Args:
        lm: the model; interventions in force apply to donors and texts alike.
        cases: the texts and their donors.
        cells: what is patched, one cell a run.
        size: cases a batch; `lm.batch_size` when None.
        way: see `broca.models.rerun.record`.
        progress: called with (patches done, patches in all), a patch being one cell of one case.

    Raises:
        SiteUnavailable: if the model has no such site.
        StimulusError: if a position lies outside its text, or there is no case.
    """
    _check(cases)
    shape = (len(cases), len(NUMBERS))
    donor, before = np.zeros(shape), np.zeros(shape)
    after = np.full((len(cases), len(cells), len(NUMBERS)), np.nan)
    work, done = Work(), 0

    def step(batch: Batch) -> tuple[Tensor, Tensor, list[tuple[list[int], Tensor]], Work]:
        spent = Work()
        some = [cases[i] for i in batch.index]
        lending, values = _donors(lm, some, sites, spent)
        recorded = record(lm, batch, way=way, work=spent)
        theirs = lending.log_softmax(-1)
        found = []
        for turn, cell in enumerate(cells):
            if progress is not None:
                progress(done * len(cells) + turn * len(some), len(cases) * len(cells))
            moves = _moves(some, batch, cell, values)
            if moves is None:
                found.append(([], torch.empty(0, len(NUMBERS))))
                continue
            rows, start, changes = moves
            logits = recorded.again(changes, start=start)
            found.append((rows, _logit_numbers(logits, theirs, some)[rows]))
        return _logit_numbers(lending, theirs, some), _logit_numbers(recorded.logits, theirs, some), found, spent

    sites = _sites(cells)
    size = _batch_size(lm, cases, sites, size or lm.batch_size)
    for batch, (own, plain, found, spent) in lm.each([case.run for case in cases], step, size=size):
        where = np.array(batch.index)
        donor[where], before[where] = own.numpy(), plain.numpy()
        for column, (rows, values) in enumerate(found):
            after[where[rows], column] = values.numpy()
        work += spent
        done += len(batch)
        if progress is not None:
            progress(done * len(cells), len(cases) * len(cells))
    return PatchGrid(donor, before, after, work)


def _batch_size(lm: LM, cases: Sequence[Case], sites: Sequence[Site], most: int) -> int:
    """How many cases fit: of the donors every site is kept, of the texts what each block returned."""
    longest = max(max(len(case.run), len(case.donor)) for case in cases)
    kept = 4 * (sum(map(lm.anatomy.width, sites)) + 3 * lm.anatomy.n_layers * lm.anatomy.d_model)
    return batch_within(most, longest, kept)


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise StimulusError("There is nothing to patch. Give at least one case.")
    for number, case in enumerate(cases):
        for name, sides in case.places.items():
            for positions, tokens in zip(sides, (case.donor, case.run), strict=True):
                if any(not 0 <= at < len(tokens) for at in positions):
                    raise StimulusError(
                        f"Case {number}: {name} is at positions {positions} of a text of {len(tokens)} tokens. Give positions "
                        "of the text's own tokens, BOS counted."
                    )


def _sites(cells: Sequence[Cell]) -> list[Site]:
    return sorted({site for cell in cells for site in cell.parts})


def _donors(lm: LM, cases: Sequence[Case], sites: Sequence[Site], work: Work) -> tuple[Tensor, dict[Site, Tensor]]:
    """Logits after the donors' last tokens, and their activations, padded on the left."""
    batch = pad_tokens([case.donor for case in cases], range(len(cases)), lm.pad, device=lm.device)
    with copy_sites(lm.model, lm.anatomy, sites) as values:
        logits = lm.next_logits(batch)
    spent = lm.anatomy.n_layers * batch.ids.numel()
    work.done, work.whole, work.passes = work.done + spent, work.whole + spent, work.passes + 1
    return logits, values


def _moves(
    cases: Sequence[Case], batch: Batch, cell: Cell, values: Mapping[Site, Tensor]
) -> tuple[list[int], int, dict[Site, Change]] | None:
    """The rows that a cell patches, the first column that it does, and the change at each site; None where it patches none."""
    width = next(iter(values.values())).shape[1]
    rows, into, out = [], [], []
    for row, (case, first) in enumerate(zip(cases, batch.start.tolist(), strict=True)):
        offset = width - len(case.donor)
        for theirs, own in position_pairs(case, cell.at):
            rows.append(row)
            into.append(first + own)
            out.append(offset + theirs)
    if not rows:
        return None
    where = tuple(torch.tensor(each) for each in (rows, into, out))
    changes = {site: _change(values[site], units, *where) for site, units in cell.parts.items()}
    return sorted(set(rows)), min(into), changes


def position_pairs(case: Case, at: str) -> list[tuple[int, int]]:
    """Positions in the donor and in the text, the last with the last, of one class of tokens or of all.

    Of all, a token of the text that several classes name is patched once, as the first of them says.
    """
    found: dict[int, int] = {}
    for name, (theirs, own) in case.places.items():
        if at in (name, "all"):
            n = min(len(theirs), len(own))
            for i, j in zip(theirs[len(theirs) - n :], own[len(own) - n :], strict=True):
                found.setdefault(j, i)
    return [(i, j) for j, i in found.items()]


def _change(values: Tensor, units: NDArray[np.bool_] | None, rows: Tensor, into: Tensor, out: Tensor) -> Change:
    chosen = None if units is None else torch.from_numpy(np.flatnonzero(units)).to(values.device)

    def change(x: Tensor, start: int) -> Tensor:
        there = [index.to(x.device) for index in (rows, into - start)]
        lent = values[rows.to(values.device), out.to(values.device)].to(x)
        x = x.clone()
        if chosen is None:
            x[there[0], there[1]] = lent
        else:
            x[there[0][:, None], there[1][:, None], chosen] = lent[:, chosen]
        return x

    return change


def _logit_numbers(logits: Tensor, theirs: Tensor, cases: Sequence[Case]) -> Tensor:
    """`NUMBERS` of each row, ``(row, number)``, float64 on the CPU."""
    rows = torch.arange(len(cases), device=logits.device)
    right = torch.tensor([case.right for case in cases], device=logits.device)
    wrong = torch.tensor([case.wrong for case in cases], device=logits.device)
    logprobs = logits.log_softmax(-1)
    kl = (theirs.exp() * (theirs - logprobs)).sum(-1)
    return torch.stack([logits[rows, right] - logits[rows, wrong], logprobs[rows, right], kl], -1).double().cpu()
