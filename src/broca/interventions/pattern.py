"""Attention-pattern patching: rows of another run stand in for a model's own, inside the forward pass.

The rows take the place of the softmax's result before they meet the values, so that everything behind follows from them. Rows
of a text with other tokens are carried over first and keep their sums (see `broca.models.rows.carry_rows`). To edit the attentions
that a model *returns* changes nothing: they have been used by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from broca.errors import GuardError, SelectionError, StimulusError
from broca.interventions.edges import heads_by_layer
from broca.interventions.plant import text_key
from broca.models.attention import attention_rows, swap_attention
from broca.models.lm import LM
from broca.models.passes import Pass, current
from broca.models.rows import Compute, RowReplacement, carry_rows
from broca.models.tokens import Batch, Tokens
from broca.sites import Site
from broca.units import UnitMask


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Attention rows for one text. Places are among its tokens: 0 is the first, BOS counted."""

    queries: tuple[int, ...]
    """Whose rows they are."""
    rows: Mapping[int, Tensor]
    """By layer: ``(head, query, key)`` of every head, a key a token of the text. A row sums to what it may: 1, or less where
    the model has attention sinks."""

    def __post_init__(self) -> None:
        if not self.queries or not self.rows or len(set(self.queries)) < len(self.queries):
            raise SelectionError("A pattern needs at least one query, none twice, and rows of at least one layer.")
        for layer, rows in self.rows.items():
            self._check(layer, rows)

    def _check(self, layer: int, rows: Tensor) -> None:
        if rows.ndim != 3 or rows.shape[1] != len(self.queries) or max(self.queries) >= rows.shape[2]:
            raise SelectionError(
                f"Rows of layer {layer} have shape {tuple(rows.shape)} for queries {self.queries}. Give (head, query, key), a "
                "row a query and a key a token."
            )
        if not bool(rows.isfinite().all()) or float(rows.min()) < 0:
            raise SelectionError(
                f"Rows of layer {layer} hold negative or undefined weights: nothing is left of a row when none of its keys has a "
                "counterpart. Leave out that query."
            )
        later = torch.arange(rows.shape[2])[None] > torch.tensor(self.queries)[:, None]
        if bool((rows * later.to(rows.device)).any()):
            raise SelectionError(f"A row of layer {layer} looks at tokens behind its query. Give those no weight.")


@dataclass(frozen=True, eq=False)
class PatternPatch:
    """Let texts attend as given.

    Args:
        patterns: by `text_key` of the whole prompt.
        heads: in which heads, as a mask of heads at z sites; in every head when None.
        strength: how much of the given rows is mixed in: 1 is all of them, 0 none.

    Raises:
        SelectionError: if there are no patterns, `heads` chooses none or is a mask of units, or `strength` is not in 0 to 1.
    """

    patterns: Mapping[str, Pattern]
    heads: UnitMask | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.patterns:
            raise SelectionError("There are no patterns to patch in. Give those of at least one text.")
        if self.heads is not None and (self.heads.grain != "head" or not self.heads.count):
            raise SelectionError(
                "Patterns belong to heads. Give a mask that chooses at least one head, or None for all."
            )
        if not 0 <= self.strength <= 1:
            raise SelectionError(f"strength is {self.strength}. Give a share, 0 to 1.")

    @property
    def fingerprint(self) -> str:
        start = ["pattern", self.heads.fingerprint if self.heads else None, self.strength]
        digest = hashlib.sha256(json.dumps(start).encode())
        for key, pattern in sorted(self.patterns.items()):
            for layer, rows in sorted(pattern.rows.items()):
                digest.update(json.dumps([key, pattern.queries, layer, list(rows.shape)]).encode())
                digest.update(rows.detach().cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    reads_prompt = False  # it goes by the pass under way

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the rows in force; counts how often those of each layer were. Bit for bit gone afterwards.

        Raises:
            GuardError: if the model's class bypasses transformers' attention interface; later, at a text without a pattern.
            SelectionError: if the mask of heads, or a pattern, was made for a model of another shape.
        """
        chosen = {
            layer: tuple(flags.nonzero()[:, 0].tolist()) for layer, flags in heads_by_layer(lm, self.heads).items()
        }
        layers = {layer for pattern in self.patterns.values() for layer in pattern.rows}
        if not layers <= set(range(lm.anatomy.n_layers)):
            raise SelectionError(f"A pattern has layer {max(layers)}, this model has {lm.anatomy.n_layers}.")
        fired = dict.fromkeys((Site(layer, "pattern") for layer in sorted(layers) if layer in chosen), 0)

        def swap(layer: int, shape: tuple[int, int, int], compute: Compute) -> RowReplacement | None:
            if Site(layer, "pattern") not in fired:
                return None
            fired[Site(layer, "pattern")] += 1
            shown = current()
            # The prompt's rows are replaced where it is read; what follows it meets them in the cache.
            return self._replacement(layer, chosen[layer], shown, shape, compute) if shown.has_prompt else None

        with swap_attention(lm, swap):
            yield fired

    def _replacement(
        self, layer: int, heads: tuple[int, ...], shown: Pass, shape: tuple[int, int, int], compute: Compute
    ) -> RowReplacement:
        patterns = [self._pattern(ids, layer, shape[0]) for ids in shown.prompts]
        width = max(len(pattern.queries) for pattern in patterns)
        at, real = (
            torch.zeros(len(patterns), width, dtype=torch.long),
            torch.zeros(len(patterns), width, dtype=torch.bool),
        )
        weights = torch.zeros(len(patterns), len(heads), width, shape[2])
        for row, (pattern, ids, start) in enumerate(zip(patterns, shown.prompts, shown.start, strict=True)):
            if layer in pattern.rows:
                n, columns = len(pattern.queries), torch.tensor(pattern.queries) + start - shown.past
                at[row, :n], real[row, :n] = columns.clamp(min=0), columns >= 0
                weights[row, :, :n, start : start + len(ids)] = pattern.rows[layer][list(heads)].to(weights)
        if self.strength < 1:
            own = compute(at, heads)
            weights = (1 - self.strength) * own + self.strength * weights.to(own)
        return RowReplacement(at, weights, heads, real)

    def _pattern(self, ids: Sequence[int], layer: int, n_heads: int) -> Pattern:
        pattern = self.patterns.get(text_key(ids))
        if pattern is None:
            raise GuardError(
                f"The model was shown a text of {len(ids)} tokens that this patch has no pattern for, so it would be answered "
                "unpatched. Give one for each text; an option must not change the prompt's last token."
            )
        rows = pattern.rows.get(layer)
        if rows is not None and (rows.shape[0], rows.shape[2]) != (n_heads, len(ids)):
            raise SelectionError(
                f"A pattern of layer {layer} has {rows.shape[0]} heads and {rows.shape[2]} keys, for a text of {len(ids)} tokens in "
                f"a layer of {n_heads} heads. Read it from this model, and carry it to this text."
            )
        return pattern


def carried_patterns(
    lm: LM,
    source: Sequence[Tokens],
    target: Sequence[Tokens],
    covers: Sequence[Sequence[Sequence[int]]],
    queries: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    layers: Sequence[int] | None = None,
    size: int | None = None,
) -> dict[str, Pattern]:
    """The attention of one run, carried to the tokens of another: a `Pattern` for each target text.

    Args:
        lm: the model; whatever interventions are in force apply.
        source: the texts whose rows are read.
        target: the texts that they are carried to, all different.
        covers: for each pair and each source token, the target tokens over its characters.
        queries: for each pair, source and target positions of the rows, one to one.
        layers: which layers; all that have attention when None.
        size: texts a batch.

    Raises:
        StimulusError: if a target comes twice, a pair has no queries, or numbers do not match.
        SelectionError: if nothing is left of a row.
        GuardError: if attention cannot be read from this model.
    """
    keys = [text_key(tokens.ids) for tokens in target]
    if len(set(keys)) < len(keys):
        raise StimulusError("A target text comes twice, so its patterns cannot be told apart. Give each text once.")
    for cover, tokens, (of, to) in zip(covers, source, queries, strict=True):
        if len(cover) != len(tokens) or len(of) != len(to) or not of:
            raise StimulusError(
                f"{len(cover)} covers and {len(of)} queries come with {len(tokens)} source tokens and {len(to)} target queries. Give "
                "a cover for each source token, and at least one query, as many on either side."
            )

    def step(batch: Batch) -> dict[int, Tensor]:
        rows = tuple(tuple(queries[i][0]) for i in batch.index)
        return {layer: seen.cpu() for layer, seen in attention_rows(lm, batch, rows=rows, layers=layers).items()}

    found: dict[str, Pattern] = {}
    for batch, seen in lm.each(source, step, size=size):
        for row, (i, start) in enumerate(zip(batch.index, batch.start.tolist(), strict=True)):
            n, to = len(queries[i][0]), tuple(queries[i][1])
            own = {layer: rows[row, :, :n, start : start + len(source[i])] for layer, rows in seen.items()}
            rows = {layer: carry_rows(each, covers[i], len(target[i]), at=to) for layer, each in own.items()}
            found[keys[i]] = Pattern(to, rows)
    return {key: found[key] for key in keys}
