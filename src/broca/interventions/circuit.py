"""Circuits in force: all edges but some patched from a counterfactual run, or these alone.

Keep-only and remove are opposite complements of the same list: what the circuit suffices for, and what it is needed for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import GuardError, SelectionError
from broca.interventions.plant import text_key
from broca.items import fingerprint
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts
from broca.models.circuit.patching import patch_edges
from broca.models.circuit.writers import Written, keep_written
from broca.models.hooks import suspend
from broca.models.lm import LM
from broca.models.passes import Pass, current
from broca.models.tokens import Batch, Tokens
from broca.sites import Site
from broca.units.graph import EdgeMask

KEPT = 256 * 2**20
"""Bytes of counterfactual runs that are kept, so that the same texts need no second run under another circuit."""


@dataclass(eq=False)
class Counterfactuals:
    """For each text another of as many tokens, and what its run wrote, for as long as there is room."""

    of: Mapping[str, tuple[int, ...]]
    """Token ids, by `text_key` of the whole prompt."""
    _written: OrderedDict[str, Written] = field(default_factory=OrderedDict, repr=False)

    @property
    def fingerprint(self) -> str:
        return fingerprint(sorted(self.of.items()))

    def writes(self, lm: LM, shown: Pass) -> Written:
        """What the counterfactuals of the texts of a pass write, row beside row, with no other edit of activations in force.

        Raises:
            GuardError: if a text has none.
        """
        beside = [each.fingerprint for each in lm.interventions if not isinstance(each, EdgePatch)]
        key = fingerprint([lm.fingerprint, beside, [row.ids for row in shown.tokens], shown.mask.tolist()])
        if key in self._written:
            self._written.move_to_end(key)
            return self._written[key]
        batch = self._batch(lm, shown)
        with suspend(), torch.no_grad(), keep_written(lm, circuit_parts(lm)) as written:
            lm.last_logits(batch)
        self._written[key] = written
        while len(self._written) > 1 and sum(each.bytes for each in self._written.values()) > KEPT:
            self._written.popitem(last=False)
        return written

    def _batch(self, lm: LM, shown: Pass) -> Batch:
        rows = []
        for own, prompt in zip(shown.tokens, shown.prompts, strict=True):
            other = self.of.get(text_key(prompt))
            if other is None:
                raise GuardError(
                    f"The model was shown a text of {len(prompt)} tokens that has no counterfactual, so that its edges cannot be patched. "
                    "Give one of as many tokens for each text."
                )
            rows.append(Tokens((*other, *own.ids[len(prompt) :]), own.text, prompt=len(prompt)))
        padded_right = not bool(shown.mask[:, -1].all())
        return lm.pad_batch(rows, side="right" if padded_right else "left")

    def __getstate__(self) -> dict[str, object]:  # another process makes its own runs
        return {"of": self.of, "_written": OrderedDict()}


@dataclass(frozen=True, eq=False)
class EdgePatch:
    """Let readers hear writers as in a counterfactual run, along chosen edges, while the prompt is read.

    Args:
        edges: that are patched; of a circuit that is kept alone, all others (`EdgeMask.rest`).
        counterfactuals: of every text that will be shown.

    Raises:
        SelectionError: if no edge is chosen.
    """

    edges: EdgeMask
    counterfactuals: Counterfactuals

    def __post_init__(self) -> None:
        if not self.edges.count:
            raise SelectionError("A patch of no edge changes nothing. Choose at least one.")

    @property
    def count(self) -> int:
        """How many edges are patched."""
        return self.edges.count

    @property
    def fingerprint(self) -> str:
        return fingerprint(["edges", self.edges.fingerprint, self.counterfactuals.fingerprint])

    reads_prompt = True  # the prompt must pass as a whole, and by itself
    reads_ahead = True

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the patch in force; the model is untouched afterwards.

        Raises:
            SiteUnavailable: if the edges of this model cannot be told apart.
            SelectionError: if they were chosen in a model of another shape.
            GuardError: later, at a text without a counterfactual.
        """
        parts = circuit_parts(lm)
        if parts.graph != self.edges.graph:
            raise SelectionError(
                f"These edges were chosen among {self.edges.total}, and {lm.name} has {parts.graph.n_edges}. They belong to another model."
            )

        def donor(_x: Tensor) -> Written | None:
            shown = current()
            return self.counterfactuals.writes(lm, shown) if shown.has_prompt else None

        with patch_edges(lm, parts, self.edges, donor) as fired:
            yield fired


def circuit_margins(
    lm: LM,
    pairs: Sequence[CounterfactualPair],
    patched: Sequence[EdgeMask],
    *,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """The margin of every pair, in logits, with some edges patched, for each choice of them: ``(choice, pair)``.

    The counterfactuals run once a batch, whatever the number of choices.

    Args:
        lm: the model.
        pairs: texts with their counterfactuals.
        patched: choices of edges; none of them is the intact model, all of them the counterfactual.
        size: pairs a batch; `lm.batch_size` when None.
        progress: called with (runs done, runs in all), a run being one choice for one pair.
    """
    parts = circuit_parts(lm)
    found, done = np.zeros((len(patched), len(pairs))), 0

    def step(batch: Batch) -> Tensor:
        some = [pairs[i] for i in batch.index]
        rows = []
        with torch.no_grad():
            with keep_written(lm, parts) as other:
                lm.last_logits(lm.pad_batch([pair.counterfactual for pair in some], side=batch.side))
            for edges in patched:
                with patch_edges(lm, parts, edges, lambda _x: other):
                    rows.append(margins(lm.last_logits(batch), some).double().cpu())
        return torch.stack(rows)

    for batch, values in lm.each([pair.clean for pair in pairs], step, size=size):
        found[:, list(batch.index)] = values.numpy()
        done += len(batch) * len(patched)
        if progress is not None:
            progress(done, len(pairs) * len(patched))
    return found
