"""Attention-edge ablation: chosen tokens no longer see chosen others, and nothing else about the model changes.

An edge leads from the query that looks to the key that is seen. It is cut before the softmax, so that what the row loses goes to
the rest of it (Geva et al., 2023); a head lesion takes away all that a head writes, an edge ablation only what it takes
from one place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from broca.errors import GuardError, SelectionError, StimulusError
from broca.interventions.plant import text_key
from broca.models.attention import cut_attention
from broca.models.lm import LM
from broca.models.passes import Pass, current
from broca.models.rendering import Prompt
from broca.models.tokens import Chat, Span
from broca.sites import Site
from broca.units import UnitMask

Edges = tuple[tuple[int, ...], tuple[int, ...]]
"""The queries and the keys of one text, as places among its tokens (0 is the first, BOS counted)."""


@dataclass(frozen=True, eq=False)
class EdgeLesion:
    """Cut the attention of each text's queries to its keys.

    Args:
        edges: by `text_key` of the whole prompt: which queries lose sight of which keys.
        heads: in which heads, as a mask of heads at z sites; in every head of every layer when None.
        after: cut the edges of every token behind the prompt too: those of an answer's tokens, or of generated ones.

    Raises:
        SelectionError: if there are no edges, `heads` chooses none or is a mask of units, or a query is among its own keys.
    """

    edges: Mapping[str, Edges]
    heads: UnitMask | None = None
    after: bool = True

    def __post_init__(self) -> None:
        if not self.edges or any(not (queries and keys) for queries, keys in self.edges.values()):
            raise SelectionError("A text has no edges to cut. Give each at least one query and one key.")
        if any(set(queries) & set(keys) for queries, keys in self.edges.values()):
            raise SelectionError(
                "A query cannot lose sight of itself: it may have nothing else to see. Take it from the keys."
            )
        if self.heads is not None and (self.heads.grain != "head" or not self.heads.count):
            raise SelectionError("Edges are cut in heads. Give a mask that chooses at least one head, or None for all.")

    @property
    def fingerprint(self) -> str:
        content = [sorted(self.edges.items()), self.heads.fingerprint if self.heads else None, self.after]
        return hashlib.sha256(json.dumps(["edges", content]).encode()).hexdigest()[:16]

    reads_prompt = False  # it goes by the pass under way

    @contextmanager
    def apply(self, lm: LM) -> Iterator[Mapping[Site, int]]:
        """Put the cuts in force; counts how often those of each layer were made. Bit for bit gone afterwards.

        Raises:
            GuardError: if the model's class bypasses transformers' attention interface; later, at a text without edges.
            SelectionError: if the mask of heads was made for a model of another shape.
        """
        chosen = heads_by_layer(lm, self.heads)
        fired = dict.fromkeys((Site(layer, "pattern") for layer in chosen), 0)
        made: tuple[Pass | None, int, Tensor | None] = (None, 0, None)

        def cut(layer: int, shape: tuple[int, int, int]) -> Tensor | None:
            nonlocal made
            if layer not in chosen:
                return None
            fired[Site(layer, "pattern")] += 1
            shown = current()
            if made[0] is not shown or made[1] != shape[2]:
                made = (shown, shape[2], self._cut_mask(shown, shape[2]))
            if made[2] is None:
                return None
            heads = chosen[layer]
            return made[2] if heads.all() else made[2] & heads.to(made[2].device)[None, :, None, None]

        with cut_attention(lm, cut):
            yield fired

    def _cut_mask(self, shown: Pass, n_keys: int) -> Tensor | None:
        """Which edges of a pass are cut, ``(batch, 1, query, key)``; None if none is."""
        if not shown.has_prompt and not self.after:
            return None
        after = shown.at("generated") if self.after else None
        # A sliding window has let go of the first columns.
        lost = max(0, shown.mask.shape[1] - n_keys)
        gone = torch.zeros(len(shown.tokens), 1, shown.width, n_keys, dtype=torch.bool)
        for row, (ids, start) in enumerate(zip(shown.prompts, shown.start, strict=True)):
            known = self.edges.get(text_key(ids))
            if known is None:
                raise GuardError(
                    f"The model was shown a text of {len(ids)} tokens that this edge lesion has no edges for, "
                    "so it would be answered intact. Give edges for each text; an option must not change the prompt's last token."
                )
            rows = torch.tensor([start + query - shown.past for query in known[0]])
            columns = torch.tensor([start + key - lost for key in known[1]])
            rows, columns = rows[rows >= 0], columns[columns >= 0]
            if after is not None:
                rows = torch.cat([rows, after[row].nonzero()[:, 0]])
            gone[row, 0, rows[:, None], columns] = True
        return gone.to(shown.mask.device) if gone.any() else None


def heads_by_layer(lm: LM, heads: UnitMask | None) -> dict[int, Tensor]:
    """Flags ``(head,)`` of each layer in which a mask chooses heads; all of every layer when None.

    Raises:
        SelectionError: if the mask was made for a model of another shape.
    """
    if heads is None:
        return {layer: torch.ones(lm.anatomy.n_heads, dtype=torch.bool) for layer in range(lm.anatomy.n_layers)}
    found = {}
    for site, flags in heads.at.items():
        if len(flags) != lm.anatomy.n_heads or site.layer >= lm.anatomy.n_layers:
            raise SelectionError(
                f"The mask has {len(flags)} heads at {site}, this model has {lm.anatomy.n_heads} in {lm.anatomy.n_layers} "
                "layers. It was made for another model."
            )
        if flags.any():
            found[site.layer] = torch.tensor(np.array(flags))
    return found


def edges_between(
    lm: LM, texts: Sequence[Prompt], queries: Sequence[Span], keys: Sequence[Span], *, chat: Chat = "never"
) -> dict[str, Edges]:
    """The edges from one span of each text to another, for `EdgeLesion`; tokens in both are queries only.

    Args:
        lm: the model.
        texts: prompts, all different.
        queries: the characters of each that look.
        keys: the characters of each that are looked at.
        chat: see `broca.models.tokens.Chat`; spans are of the text as rendered.

    Raises:
        StimulusError: if a span holds no token, or a text comes twice.
    """
    found = {}
    for tokens, query, key in zip(lm.tokenize(texts, chat=chat), queries, keys, strict=True):
        looking = tokens.covering(query)
        seen = tuple(at for at in tokens.covering(key) if at not in looking)
        name = text_key(tokens.ids)
        if name in found:
            raise StimulusError(
                f"{tokens.text[:60]!r} comes twice, so its edges cannot be told apart. Give each text once."
            )
        found[name] = (looking, seen)
    return found
