"""Is this model fit to be studied? A few seconds of checks on the user's own model, each with what its failure narrows.

The wiring is proved when a model is loaded. What is asked here is whether everything that builds on it holds too: that the model
reads from left to right, that padding changes nothing, that its attention can be read, that a lesion bites where it should,
moves nothing before it, and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from broca.errors import BrocaError, GuardError, first_line
from broca.evidence import guards
from broca.evidence.verdict import Guard
from broca.interventions.lesion import Lesion
from broca.models import hooks
from broca.models.attention import attention_rows, check_tap
from broca.models.limits import pads
from broca.models.lm import LM
from broca.models.rendering import Frame
from broca.models.tokens import Batch, Tokens
from broca.sites import KINDS, PICTURE_KINDS, Kind, Site
from broca.units import UnitMask

TEXTS = (
    "The ball is in the basket.",
    "Ann put the key in the box and went out. Bo took it while she was away.",
    "One, two, three, four, five, six.",
    "No.",
)
_ROW = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
_ORDER = {torch.float64: 1e-8, torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Largest change of earlier logits, relative to the largest logit, when the last token is another."""

Check = Callable[[LM, list[Tokens]], Iterator[Guard]]


def checkup(lm: LM) -> tuple[Guard, ...]:
    """Every check, in the order in which they build on each other; what is marked stands in `lm.notes` from then on.

    Raises:
        GuardError: if a lesion leaves a trace, or the hooks themselves change the model: then nothing may be measured.
    """
    tokens = lm.tokenize(TEXTS)
    found = list(_wiring(lm))
    try:
        lm.next_logits(_alone(lm, tokens, 0))
    except Exception as error:  # noqa: BLE001 - any class may refuse text in any way
        first = first_line(error)
        text = f"It does not run on text alone ({first}). Narrowed to stimuli and items with pictures."
        found.append(Guard("text", "marked", text))
    else:
        for check in (_start, _order, _padding, _attention, _lesions):
            found.extend(check(lm, tokens))
    lm.notes.extend({guard.text for guard in found if guard.state == "marked"} - set(lm.notes))
    return tuple(found)


def _alone(lm: LM, tokens: list[Tokens], which: int) -> Batch:
    return lm.pad_batch(tokens, [which])


def _batch(lm: LM, tokens: list[Tokens]) -> Batch:
    """All texts side by side, or the longest alone where padding would move the model."""
    return lm.pad_batch(tokens if pads(lm, "left") else [max(tokens, key=len)])


def _wiring(lm: LM) -> Iterator[Guard]:
    a = lm.anatomy
    loose = sum(block.constant or block.channels for block in a.blocks)
    text = f"{a.blocks[0].identity}, relative error {a.error:.0e} at most over {a.n_layers} blocks."
    if loose:
        text += f" {loose} blocks hold up to a constant vector, or with scales of each channel."
    yield Guard("wiring", "passed", text)
    others = sorted({name for block in a.blocks for name in block.others})
    if others:
        yield Guard("writers", "marked", f"{', '.join(others)} write to the stream and have no site of their own.")
    skipped = [i for i, block in enumerate(a.blocks) if not block.on_text]
    if skipped:
        text = f"Blocks {', '.join(map(str, skipped))} run only with a picture: on text they have no units, and are not counted."
        yield Guard("skipped blocks", "marked", text)


def _start(lm: LM, tokens: list[Tokens]) -> Iterator[Guard]:
    frame = Frame.of(lm.tokenizer)
    named = lm.tokenizer.convert_ids_to_tokens([*frame.front, *frame.behind])
    front, behind = " ".join(named[: len(frame.front)]), " ".join(named[len(frame.front) :])
    counts = sorted({_times(frame.front, one.ids) for one in tokens}) if front else [0]
    if counts not in ([0], [1]):
        text = f"Texts hold {front} {' or '.join(map(str, counts))} times. Narrowed: compare no first tokens and no means over a text."
        yield Guard("one start", "marked", text)
        return
    text = f"Each text starts with {front}, once" if counts == [1] else "Texts start with their first token"
    yield Guard(
        "one start", "passed", f"{text}{f'; {behind}, which the tokenizer puts behind, is left out' if behind else ''}."
    )


def _times(front: tuple[int, ...], ids: tuple[int, ...]) -> int:
    """How often the front stands in a text."""
    return sum(ids[i : i + len(front)] == front for i in range(len(ids)))


def _order(lm: LM, tokens: list[Tokens]) -> Iterator[Guard]:
    """What comes later must not be seen before."""
    one = max(tokens, key=len)
    other = Tokens((*one.ids[:-1], one.ids[-2]), one.text, one.offsets, one.prefix)
    first, second = (lm.forward(_alone(lm, [each], 0))[0, :-1].float() for each in (one, other))
    off = float((first - second).abs().max() / first.abs().max())
    if off <= _ORDER.get(lm.dtype, 1e-4):
        yield Guard(
            "left to right",
            "passed",
            f"Another last token moves no earlier logit by more than {off:.0e} of the largest.",
        )
    else:
        text = (
            f"Another last token moves earlier logits by {off:.1g} of the largest: this model sees what comes later. Narrowed: "
            "likelihoods, perplexity and generation mean nothing; activations and lesions do."
        )
        yield Guard("left to right", "marked", text)


def _padding(lm: LM, _tokens: list[Tokens]) -> Iterator[Guard]:
    yield guards.padding(lm)


def _attention(lm: LM, tokens: list[Tokens]) -> Iterator[Guard]:
    if not any(block.attn_out or block.z for block in lm.anatomy.blocks):
        yield Guard(
            "attention rows", "marked", "The model has no attention to read: no probing, no attention edges, no heads."
        )
        return
    narrowed = "Narrowed: no attention maps, no probing, no cut edges; heads at 'z' sites stay."
    try:
        proof = check_tap(lm)
        rows = attention_rows(lm, _batch(lm, tokens))
    except BrocaError as error:
        yield Guard("attention rows", "marked", f"{error} {narrowed}")
        return
    except Exception as error:  # noqa: BLE001 - attention of an unknown kind fails in its own way
        yield Guard("attention rows", "marked", f"Attention cannot be read ({type(error).__name__}). {narrowed}")
        return
    sums = torch.stack([row.sum(-1).double().cpu() for row in rows.values()])
    low, high = float(sums.min()), float(sums.max())
    how = "beside the kernel" if proof.route == "tap" else "from the weights that the class returns"
    text = f"Read {how} in {len(proof.layers)} layers; they match the model's own to {proof.outputs:.0e}; rows sum to "
    slack = _ROW.get(lm.dtype, 1e-4)
    if high <= 1 + slack and low >= 1 - slack:
        yield Guard("attention rows", "passed", f"{text}1.")
    elif high <= 1 + slack:
        yield Guard(
            "attention rows", "marked", f"{text}{low:.2f} at least: the rest goes to sinks, which are no tokens."
        )
    else:
        yield Guard("attention rows", "marked", f"{text}{low:.3g} to {high:.3g}. {narrowed}")


def _lesions(lm: LM, tokens: list[Tokens]) -> Iterator[Guard]:
    """At the middle layer of each kind: it bites, comes back bit for bit, and nothing before it moves."""
    batch = _batch(lm, tokens)
    at = {site: np.arange(n) < max(1, n // 8) for site in _middles(lm) for n in (lm.anatomy.width(site),)}
    guards.identity(lm, UnitMask(at), tokens)
    deepest = max(site.layer for site in at)
    before, intact = _streams_and_logits(lm, batch, deepest)
    dull, moved = [], []
    for site, flags in at.items():
        with lm.under(Lesion(UnitMask({site: flags}))):
            under, lesioned = _streams_and_logits(lm, batch, deepest)
            lm.assert_fired()
        after, restored = _streams_and_logits(lm, batch, deepest)
        if not torch.equal(intact, restored) or not _same(before, after, deepest):
            raise GuardError(
                f"A lesion at {site} left a trace: the logits after it are not those before it. Report this class."
            )
        if torch.equal(intact, lesioned):
            dull.append(site)
        if not _same(before, under, site.layer - (site.kind == "resid_pre")):
            moved.append(str(site))
    if moved:
        raise GuardError(
            f"A lesion at {', '.join(moved)} moves what comes before it, so sites of this model are not where they seem. Report "
            "its class."
        )
    if dull:
        named = ", ".join(map(str, dull))
        text = f"A lesion of an eighth of the units at {named} moves no logit. Narrowed: no lesions there."
        yield Guard("lesions", "marked", text)
    told = ", ".join(site.kind for site in at if site not in dull)
    if told:
        text = f"At {told}: logits move, nothing before the site does, and all comes back bit for bit."
        yield Guard("lesions", "passed", text)


def _middles(lm: LM) -> Iterator[Site]:
    """Of each kind that runs on text the site in the middle."""
    kinds: list[Kind] = [kind for kind in KINDS if kind not in PICTURE_KINDS]
    for kind in kinds:
        layers = [i for i, block in enumerate(lm.anatomy.blocks) if block.on_text and lm.anatomy.has(Site(i, kind))]
        if layers:
            yield Site(layers[len(layers) // 2], kind)


def _streams_and_logits(lm: LM, batch: Batch, layer: int) -> tuple[dict[Site, Tensor], Tensor]:
    """The stream before each block up to `layer`, or what earlier blocks write to several; and the next-token logits."""
    seen: dict[Site, Tensor] = {}
    a = lm.anatomy
    sites = [Site(i, "resid_pre") for i in range(layer + 1) if a.blocks[i].on_text and a.has(Site(i, "resid_pre"))]
    if not sites:
        wrote: tuple[Kind, ...] = ("mlp_out", "attn_out", "ssm_out")
        sites = [Site(i, kind) for i in range(layer) for kind in wrote if a.has(Site(i, kind))]

    def keep(site: Site) -> Callable[[Tensor], None]:
        return lambda x: seen.__setitem__(site, x.clone())

    with hooks.read_sites(lm.model, lm.anatomy, {site: keep(site) for site in sites}):
        logits = lm.next_logits(batch)
    return seen, logits


def _same(one: dict[Site, Tensor], other: dict[Site, Tensor], up_to: int) -> bool:
    return all(torch.equal(x, other[site]) for site, x in one.items() if site.layer <= up_to)
