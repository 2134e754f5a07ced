"""Styles written by an instruct model: whoever writes is called with prompts and gives texts; what comes back is checked and recorded.

found = reword(items, ["polite", "shorter"], write, about={"model": "..."})
found.pairs.report, found.records
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from broca.errors import StimulusError
from broca.items import Edit, Item, Pair, Span, Stimulus, fingerprint
from broca.registry import unknown
from broca.stimuli.edits import edits_between
from broca.stimuli.perturb.build import Violations
from broca.stimuli.perturb.checks import Pairs, Tally, report
from broca.stimuli.perturb.words import protected_spans

HOW: Mapping[str, str] = MappingProxyType(
    {
        "polite": "very polite",
        "urgent": "urgent, as if there were no time to lose",
        "insulting": "rude and insulting towards whoever reads it",
        "shorter": "as short as possible",
        "longer": "about twice as long",
        "explained": "longer, with an explanation of what is asked for, but without anything that gives away the answer",
    }
)
"""What each style asks for."""
REWRITTEN = tuple(HOW)
"""The styles by name."""
TEMPLATE = (
    "Rewrite the text between <text> and </text> so that it is {how}. It must ask for the same thing in the same language. Leave "
    "every number, sign, formula, option, link and piece of code exactly as it is and in the same order, add none, and let the "
    "text end as it ends now. Do not answer it. Write the new text and nothing else.\n\n<text>\n{text}\n</text>\n"
)
"""What the model is asked."""

FAULTS = ("empty", "identical", "protected", "end", "length", "preamble")
"""What a rewritten text may break: nothing was written; it is the clean text; something protected was changed, added, lost or
torn apart; the text ends with something protected and no longer does; it is not shorter or longer as its style says, or beyond
all measure; it begins with words about itself."""

RECORDS = pl.Schema(
    {
        "id": pl.String,
        "style": pl.String,
        "model": pl.String,
        "revision": pl.String,
        "writer": pl.String,
        "template_hash": pl.String,
        "prompt_hash": pl.String,
        "raw": pl.String,
        "text": pl.String,
        "faults": pl.String,
        "kept": pl.Boolean,
    }
)
"""One row a text that was asked for. `writer` is the hash of everything that is known of who wrote; `raw` is what came back, `text`
what was read from it, `faults` which of `FAULTS` it has, `kept` whether it became a pair."""

_PREAMBLE = re.compile(
    r"\W*(?:sure|certainly|of course|okay|ok|here(?:'s|’s| is| are)|(?:the )?(?:rewritten|new|revised) (?:text|version))\b[^\n]*[:!]\s*\n",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("`", "`"))


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Pairs with the tag ``by``, and the record of everything that was written."""

    pairs: Pairs
    records: pl.DataFrame
    """`RECORDS`."""


def reword(
    sources: Iterable[Stimulus | Item],
    styles: Sequence[str],
    write: Callable[[Sequence[str]], Sequence[str]],
    *,
    about: Mapping[str, str | int | None],
    violations: Violations = "refuse",
    answers: Mapping[str, str] = MappingProxyType({}),
) -> Rewritten:
    """Each text in each style, text by text.

    Args:
        sources: clean texts.
        styles: of `REWRITTEN`.
        write: called once, with all prompts; greedy, so that the same prompt gives the same text.
        about: who writes: `model`, `revision` and whatever else the texts depend on.
        violations: whether a text with a fault is left out and counted, or kept with the tag ``broken``.
        answers: of texts that are no items, by their ids; protected like an item's choices.

    Raises:
        UnknownName: if a style is not known.
        StimulusError: if no style or text is given, two have the same name, a text is a chat, not as many texts come back as were
            asked for, or none can be kept.
    """
    tasks = _tasks(sources, styles)
    prompts = [TEMPLATE.format(how=HOW[style], text=_text(source)) for source, style in tasks]
    raw = list(write(prompts))
    if len(raw) != len(prompts):
        raise StimulusError(
            f"{len(prompts)} texts were asked for and {len(raw)} were written. Give one for each prompt."
        )
    tallies = {style: Tally() for style in styles}
    revision = None if about.get("revision") is None else str(about["revision"])
    who = {"model": str(about.get("model") or ""), "revision": revision, "writer": fingerprint(dict(about))}
    pairs: list[Pair] = []
    records = []
    for (source, style), prompt, said in zip(tasks, prompts, raw, strict=True):
        clean, new = _text(source), read(said)
        answer = source.choices[source.answer] if isinstance(source, Item) else answers.get(source.id, "")
        extra = source.choices if isinstance(source, Item) else [answer]
        found = faults(clean, new, style, protect=extra)
        kept = not found or (violations == "mark" and not {"empty", "identical"} & set(found))
        _count(tallies[style], clean, new, found, kept=kept)
        own = {"id": source.id, "style": style, "template_hash": fingerprint([TEMPLATE, HOW[style]])}
        own |= {"prompt_hash": fingerprint(prompt), "raw": said, "text": new, "faults": ", ".join(found), "kept": kept}
        records.append(who | own)
        if kept:
            edits = _edits(clean, new, style, extra)
            tags = dict(source.tags) | {"by": who["model"] or ""}
            tags |= {"broken": ", ".join(found)} if found else {}
            pairs.append(Pair(f"{source.id}/{style}", clean, new, edits, style, source.group, answer, tags))
    table = pl.DataFrame(records, schema=RECORDS)
    if not pairs:
        counted = table["faults"].value_counts(sort=True).rows()
        raise StimulusError(
            f"None of {len(tasks)} rewritten texts can be kept ({', '.join(f'{n} x {what}' for what, n in counted)}). The first was "
            f"{raw[0][:120]!r}. Give a model that follows instructions, or violations='mark'."
        )
    return Rewritten(Pairs(tuple(pairs), report(tallies)), table)


def _tasks(sources: Iterable[Stimulus | Item], styles: Sequence[str]) -> list[tuple[Stimulus | Item, str]]:
    """Each text in each style."""
    wrong = next((style for style in styles if style not in HOW), None)
    if wrong is not None:
        raise unknown("Style", wrong, REWRITTEN)
    tasks = [(source, style) for source in _unique(sources) for style in styles]
    if not tasks or len(set(styles)) < len(styles):
        raise StimulusError(
            f"The styles are {list(styles)}, of {len(tasks)} texts. Give a text and a style, each once."
        )
    return tasks


def read(raw: str) -> str:
    """The text in what was written: without white space, marks or quotation marks around it."""
    text = raw.strip()
    inside = re.fullmatch(r"<text>(.*?)(?:</text>)?", text, re.DOTALL)
    text = (inside[1] if inside else text.removesuffix("</text>")).strip()
    for opening, closing in _QUOTES:
        body = text[1:-1]
        if len(text) > 2 and text[0] == opening and text[-1] == closing and opening not in body and closing not in body:
            return body.strip()
    return text


def faults(clean: str, new: str, style: str, *, protect: Iterable[str | Span] = ()) -> tuple[str, ...]:
    """Which of `FAULTS` a rewritten text has.

    Protected spans that only white space parts are one, so nothing may be put between operands and their sign.
    """
    if not new.strip():
        return ("empty",)
    extra = [one for one in protect if isinstance(one, str)]
    before, after = _join_spans(clean, extra), _join_spans(new, extra)
    same = [clean[start:end] for start, end in before] == [new[start:end] for start, end in after]
    ends = bool(before) and before[-1][1] == len(clean.rstrip())
    wrong = {
        "identical": new == clean,
        "protected": not same,
        "end": ends and not (after and after[-1][1] == len(new.rstrip())),
        "length": (style == "shorter" and len(new) >= len(clean))
        or (style in ("longer", "explained") and len(new) <= len(clean))
        or len(new) > 8 * len(clean) + 400,
        "preamble": _PREAMBLE.match(new) is not None and _PREAMBLE.match(clean) is None,
    }
    return tuple(name for name in FAULTS if wrong.get(name))


def _join_spans(text: str, extra: Sequence[str]) -> list[Span]:
    """Protected spans, those one that only white space parts."""
    found: list[Span] = []
    for start, end in protected_spans(text, extra):
        if found and not text[found[-1][1] : start].strip():
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _edits(clean: str, new: str, style: str, extra: Sequence[str]) -> tuple[Edit, ...]:
    """Edits between the protected spans, which stand for themselves; between whole texts where they do not."""
    before, after = _join_spans(clean, extra), _join_spans(new, extra)
    if [clean[start:end] for start, end in before] != [new[start:end] for start, end in after]:
        return edits_between(clean, new, style)
    found: list[Edit] = []
    at = to = 0
    for (start, end), (first, last) in zip(
        [*before, (len(clean), len(clean))], [*after, (len(new), len(new))], strict=True
    ):
        part = edits_between(clean[at:start], new[to:first], style)
        found += [Edit(at + edit.start, at + edit.end, edit.before, edit.after, style) for edit in part]
        at, to = end, last
    return tuple(found)


def _unique(sources: Iterable[Stimulus | Item]) -> list[Stimulus | Item]:
    every = list(sources)
    found = {source.id for source in every}
    if len(found) < len(every):
        raise StimulusError(f"{len(every)} texts have {len(found)} different ids. Make ids unique.")
    return every


def _text(source: Stimulus | Item) -> str:
    text = source.prompt if isinstance(source, Item) else source.text
    if not isinstance(text, str):
        raise StimulusError(f"{source.id!r} is a chat. Rewrite its turns as plain texts.")
    return text


def _count(tally: Tally, clean: str, new: str, found: Sequence[str], *, kept: bool) -> None:
    tally.counts["asked"] += 1
    if "empty" in found:
        tally.counts["impossible"] += 1
        return
    tally.counts.update(found)
    tally.counts["made" if kept else "refused"] += 1
    if kept:
        tally.measure(clean, new)
