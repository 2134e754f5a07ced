"""Raw captures: the activations themselves, of every token, ragged: texts one behind the other, no padding and no mask.

For what a reduction cannot tell, and for others' programs. They are large: `raw_bytes` says how large before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from broca.errors import SiteUnavailable, StimulusError
from broca.models.attention import check_tap, watch_attention
from broca.models.hooks import read_sites
from broca.models.lm import LM
from broca.models.rendering import Prompt
from broca.models.rows import Look, Rows
from broca.models.tokens import Batch, Chat, Tokens
from broca.sites import Site

CONVENTION = (
    "Layers count blocks from 0. N.resid_post is the residual stream as block N leaves it, 0.resid_pre the embeddings; N.pattern is "
    "the attention of block N itself, after the softmax."
)


@dataclass(frozen=True, slots=True)
class CaptureParts:
    """What is kept of each text."""

    sites: tuple[Site, ...] = ()
    """Hidden states, by token; of kind `pattern`, attention of every token to every other."""
    heads: tuple[int, ...] | None = None
    """Of which heads attention is kept, in this order; all when None."""
    top: int = 0
    """Of how many tokens the logits after each position are kept."""
    new_tokens: int = 0
    """How many tokens the text is continued by, greedily; only what is new is kept."""

    def __post_init__(self) -> None:
        if not (self.sites or self.top or self.new_tokens):
            raise StimulusError("Nothing is to be kept. Name sites, or give `top` or `new_tokens`.")
        if min(self.top, self.new_tokens) < 0 or self.heads == ():
            raise StimulusError(
                f"top={self.top}, new_tokens={self.new_tokens}, heads={self.heads}: give 0 or more, and no empty list."
            )

    @property
    def states(self) -> tuple[Site, ...]:
        return tuple(site for site in self.sites if site.kind != "pattern")

    @property
    def patterns(self) -> tuple[Site, ...]:
        return tuple(site for site in self.sites if site.kind == "pattern")


@dataclass(frozen=True, slots=True)
class Raw:
    """Some texts' captures.

    `tensors` by name: ``offsets`` ``(text + 1)``, where each text's tokens begin; ``ids`` ``(token)``; a site's ``(token, unit)``;
    ``{layer}.pattern`` ``(query x key, head)``, a text's queries one behind the other; ``topk_logits`` and ``topk_ids`` ``(token, k)``.
    States and attention are in the model's dtype, logits in float32.
    """

    tensors: dict[str, Tensor]
    completions: tuple[str, ...]
    """Without the prompts; empty if none were asked for."""


def raw_bytes(lm: LM, texts: Sequence[Prompt], wanted: CaptureParts, *, chat: Chat = "auto") -> int:
    """How many bytes the tensors of these texts are; completions and headers, a few bytes a token, come on top.

    Raises:
        SiteUnavailable: if the model has no such site or head.
    """
    check_wanted(lm, wanted)
    lengths = [len(tokens) for tokens in lm.tokenize(texts, chat=chat)]
    item = lm.dtype.itemsize
    token = 4 + sum(lm.anatomy.width(site) for site in wanted.states) * item + wanted.top * 8
    heads = lm.anatomy.n_heads if wanted.heads is None else len(wanted.heads)
    square = len(wanted.patterns) * heads * item
    return sum(n * token + n * n * square for n in lengths)


def check_wanted(lm: LM, wanted: CaptureParts) -> None:
    """Refuse what a model does not have.

    Raises:
        SiteUnavailable: naming it.
        StimulusError: if it has fewer tokens than logits are to be kept.
        GuardError: if attention is wanted and cannot be read from this model.
    """
    for site in wanted.states:
        lm.anatomy.tap(site)
    vocabulary = lm.model.config.get_text_config(decoder=True).vocab_size
    if wanted.top > vocabulary:
        raise StimulusError(f"top is {wanted.top}, and the model has {vocabulary} tokens. Keep fewer logits.")
    layers = check_tap(lm).layers if wanted.patterns else ()
    for site in wanted.patterns:
        if site.layer not in layers:
            raise SiteUnavailable(f"{site}: this model has attention in layers {', '.join(map(str, layers))}.")
    if any(not 0 <= head < lm.anatomy.n_heads for head in wanted.heads or ()):
        raise SiteUnavailable(f"Heads {wanted.heads}: this model has heads 0 to {lm.anatomy.n_heads - 1}.")


def raw(lm: LM, texts: Sequence[Prompt], wanted: CaptureParts, *, chat: Chat = "auto", size: int | None = None) -> Raw:
    """Capture some texts; whatever interventions are in force apply.

    Args:
        lm: the model.
        texts: as many as fit into memory with all that is wanted of them.
        wanted: what to keep.
        chat: see `broca.models.tokens.Chat`.
        size: texts a batch, on which the last bits depend.

    Raises:
        SiteUnavailable: if the model has no such site.
        GuardError: if attention cannot be read from this model.
    """
    check_wanted(lm, wanted)
    tokens = lm.tokenize(texts, chat=chat)
    parts: dict[str, list[Tensor]] = {}
    if wanted.sites or wanted.top:
        for batch, found in lm.each(tokens, lambda batch: _capture_batch(lm, batch, wanted), size=size):
            for name, rows in found.items():
                where = parts.setdefault(name, [torch.empty(0)] * len(tokens))
                for i, values in zip(batch.index, rows, strict=True):
                    where[i] = values
    return Raw(
        {**_begins(tokens), **{name: torch.cat(rows) for name, rows in parts.items()}},
        tuple(lm.generate(texts, max_new_tokens=wanted.new_tokens, chat=chat)) if wanted.new_tokens else (),
    )


def split(found: Raw) -> Iterator[dict[str, Tensor]]:
    """The tensors of each text: ``ids``, sites ``(token, unit)``, patterns ``(head, query, key)``, ``topk_logits`` and ``topk_ids``."""
    offsets: list[int] = found.tensors["offsets"].tolist()
    lengths = [end - start for start, end in pairwise(offsets)]
    squares = [0, *accumulate(n * n for n in lengths)]
    for i, n in enumerate(lengths):
        own = {}
        for name, values in found.tensors.items():
            if name.endswith(".pattern"):
                own[name] = values[squares[i] : squares[i + 1]].reshape(n, n, -1).permute(2, 0, 1)
            elif name != "offsets":
                own[name] = values[offsets[i] : offsets[i + 1]]
        yield own


def _begins(tokens: Sequence[Tokens]) -> dict[str, Tensor]:
    return {
        "offsets": torch.tensor([0, *accumulate(map(len, tokens))], dtype=torch.int64),
        "ids": torch.tensor([i for text in tokens for i in text.ids], dtype=torch.int32),
    }


@torch.no_grad()
def _capture_batch(lm: LM, batch: Batch, wanted: CaptureParts) -> dict[str, list[Tensor]]:
    """What is wanted of each row of a batch, padding left out, on the CPU."""
    real = batch.mask.bool()
    found: dict[str, list[Tensor]] = {}
    maps: dict[int, list[Tensor]] = {}

    def keep(name: str, values: Tensor) -> None:
        found[name] = [row[mask].cpu() for row, mask in zip(values, real.to(values.device), strict=True)]

    def show(seen: Rows) -> None:
        maps.setdefault(seen.layer, []).append(seen.weights)

    reads: Any = {site: (lambda x, site=site: keep(str(site), x)) for site in wanted.states}
    look = Look("all", wanted.heads, tuple(site.layer for site in wanted.patterns))
    with watch_attention(lm, look, show) if wanted.patterns else nullcontext(), read_sites(lm.model, lm.anatomy, reads):
        logits = lm.forward(batch) if wanted.top else lm.next_logits(batch)
    lm.assert_fired()
    if wanted.top:
        values, ids = logits.float().topk(wanted.top)
        keep("topk_logits", values)
        keep("topk_ids", ids.int())
    for site in wanted.patterns:
        whole = torch.cat(maps[site.layer], 2).permute(0, 2, 3, 1).to(lm.dtype)
        squares = zip(whole, real.to(whole.device), strict=True)
        found[str(site)] = [row[mask][:, mask].flatten(0, 1).cpu() for row, mask in squares]
    return found
