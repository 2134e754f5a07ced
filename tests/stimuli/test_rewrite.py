"""Styles by an instruct model: what is asked, what is refused, what is recorded; edits that stand around what is protected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import StimulusError, UnknownName
from broca.items import Item, Message, Stimulus, apply_edits
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring.writers import Here, Kept
from broca.stimuli.perturb.checks import REPORT_SCHEMA
from broca.stimuli.perturb.rewrite import FAULTS, HOW, RECORDS, REWRITTEN, TEMPLATE, _edits, faults, read, reword
from broca.stimuli.perturb.words import protected_spans

CLEAN = "Work this sum out: 7 + 5 ="
ABOUT = {"model": "stub", "revision": "r1"}
GOOD = {
    "polite": "Would you be so kind as to work this sum out: 7 + 5 =",
    "urgent": "Quick, work this sum out now: 7 + 5 =",
    "insulting": "Work this sum out, you fool: 7 + 5 =",
    "shorter": "Sum: 7 + 5 =",
    "longer": "There is a sum here, and I would like you to work it out for me: 7 + 5 =",
    "explained": "Work this sum out, that is, say what both make together: 7 + 5 =",
}


def style_of(prompt):
    return next(style for style in REWRITTEN if f"so that it is {HOW[style]}." in prompt)


def good(prompts):
    return [f"  {GOOD[style_of(prompt)]}\n" for prompt in prompts]


def test_every_style_becomes_a_pair():
    found = reword([Stimulus("a", CLEAN, "sums")], REWRITTEN, good, about=ABOUT, answers={"a": "12"})
    assert [pair.kind for pair in found.pairs.pairs] == list(REWRITTEN)
    for pair in found.pairs.pairs:
        assert (pair.clean, pair.perturbed) == (CLEAN, GOOD[pair.kind])
        assert (pair.id, pair.group, pair.answer, pair.tags["by"]) == (f"a/{pair.kind}", "sums", "12", "stub")
    report = found.pairs.report
    assert report.schema == REPORT_SCHEMA
    assert report["made"].to_list() == [1] * 6
    records = found.records
    assert records.schema == RECORDS
    assert records["kept"].all()
    assert records["raw"][0] == f"  {GOOD['polite']}\n"
    assert records["model"].unique().to_list() == ["stub"]
    assert records["revision"].unique().to_list() == ["r1"]
    assert records["template_hash"].n_unique() == records["prompt_hash"].n_unique() == 6


@pytest.mark.parametrize(
    ("style", "new", "found"),
    [
        ("polite", CLEAN, "identical"),
        ("polite", "", "empty"),
        ("polite", "Please work this sum out: 7 + 6 =", "protected"),
        ("polite", "Please work this sum out: 5 + 7 =", "protected"),
        ("polite", "Please work these two numbers out: 7 + 5 =", "protected"),
        ("insulting", "Work this sum out: 7 + 5, you fool =", "protected"),
        ("insulting", "Work this sum out: 7 + 5 = or else, fool!", "end"),
        ("urgent", "In 5 seconds, work this sum out: 7 + 5 =", "protected"),
        ("polite", "Please work this sum out: 12", "protected"),
        ("polite", "It is nutrition + 5 =", "protected"),
        ("shorter", "Work this lovely sum out: 7 + 5 =", "length"),
        ("longer", "Sum: 7 + 5 =", "length"),
        ("explained", "Sum: 7 + 5 =", "length"),
        ("polite", "please " * 200 + "7 + 5 =", "length"),
        ("polite", "Sure! Here is it:\nPlease work this sum out: 7 + 5 =", "preamble"),
        ("polite", "Here's the rewritten text:\nPlease work this sum out: 7 + 5 =", "preamble"),
    ],
)
def test_what_is_refused(style, new, found):
    assert ", ".join(faults(CLEAN, new, style)) == found
    assert set(found.split(", ")) <= set(FAULTS)


def test_choices_of_an_item_are_protected_and_code_too():
    item = Item("q", "Is it the key or the bag? Call `f(x)` first.", ("key", "bag"), 1)
    new = "Kindly tell: is it the key or the sack? Call `f(x)` first."
    assert faults(item.prompt, new, "polite", protect=item.choices) == ("protected",)
    assert faults(item.prompt, new.replace("sack", "bag"), "polite", protect=item.choices) == ()
    assert faults(item.prompt, new.replace("sack", "bag").replace("f(x)", "g(x)"), "polite") == ("protected",)
    found = reword([item], ["polite"], lambda _: [new.replace("sack", "bag")], about=ABOUT)
    assert found.pairs.pairs[0].answer == "bag"


def test_refused_is_counted_and_marked_is_kept():
    def write(prompts):
        return ["Please work this sum out: 7 + 6 =", "", CLEAN]

    sources = [Stimulus(name, CLEAN) for name in "abc"]
    with pytest.raises(StimulusError, match=r"None of 3 rewritten texts can be kept .*1 x protected"):
        reword(sources, ["polite"], write, about=ABOUT)
    found = reword(sources, ["polite"], write, about=ABOUT, violations="mark")
    assert [pair.tags["broken"] for pair in found.pairs.pairs] == ["protected"]
    row = found.pairs.report.row(0, named=True)
    assert [row[name] for name in ("asked", "made", "impossible", "refused", "identical", "protected")] == [
        3,
        1,
        1,
        1,
        1,
        1,
    ]
    assert found.records["kept"].to_list() == [True, False, False]
    assert found.records["faults"].to_list() == ["protected", "empty", "identical"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  a b \n", "a b"), ('"a b"', "a b"), ("“a b”", "a b"), ('"a" or "b"', '"a" or "b"'), ("<text>\na b\n</text>", "a b"),
        ("<text>a b", "a b"), ("a b\n</text>", "a b"), ("a\n\nb", "a\n\nb"), ("", ""),
    ],
)  # fmt: skip
def test_what_is_read(raw, text):
    assert read(raw) == text


WORD = st.sampled_from(["work", "this", "sum", "out", "please", "kindly", "now", "fool", "the", "and"])


@given(
    st.lists(WORD, max_size=6), st.lists(WORD, max_size=9), st.lists(st.sampled_from(["7", "+", "5", "="]), max_size=6)
)
def test_edits_stand_around_what_is_protected(before, after, kept):
    """Whatever is rewritten between them, protected spans stand for themselves."""

    def text(words):
        parts = [*words[:2], *kept[:2], *words[2:5], *kept[2:], *words[5:]]
        return " ".join(parts)

    clean, new = text(before), text(after)
    if faults(clean, new, "polite"):
        return
    edits = _edits(clean, new, "polite", [])
    assert apply_edits(clean, edits) == new
    for start, end in protected_spans(clean):
        assert not any(edit.start < end and start < edit.end for edit in edits)


def test_what_cannot_be_asked():
    with pytest.raises(UnknownName, match="polite"):
        reword([Stimulus("a", CLEAN)], ["polit"], good, about=ABOUT)
    with pytest.raises(StimulusError, match="is a chat"):
        reword([Stimulus("a", (Message("user", CLEAN),))], ["polite"], good, about=ABOUT)
    with pytest.raises(StimulusError, match="Make ids unique"):
        reword([Stimulus("a", CLEAN)] * 2, ["polite"], good, about=ABOUT)
    with pytest.raises(StimulusError, match="of 0 texts"):
        reword([], ["polite"], good, about=ABOUT)
    with pytest.raises(StimulusError, match="1 texts were asked for and 0 were written"):
        reword([Stimulus("a", CLEAN)], ["polite"], lambda _: [], about=ABOUT)


def test_a_model_in_memory_writes_and_is_not_asked_twice(tmp_path, monkeypatch):
    model = fresh(zoo.CONFIGS["llama"] | {"max_position_embeddings": 2048}, 3)
    lm = LM.wrap(model, zoo.tokenizer(), name="tiny")
    here = Here(lm, max_new_tokens=40)
    write = Kept(here, tmp_path / "written.sqlite")
    item = Item("a", "Where is the ball", ("box",), 0)
    found = reword([item], ["polite", "urgent"], write, about=write.about, violations="mark")
    assert found.records["raw"].to_list() == here([_prompt(item, style) for style in ("polite", "urgent")])
    assert found.pairs.pairs[0].tags["by"] == "tiny"
    monkeypatch.setattr(LM, "generate", None)
    again = reword([item], ["polite", "urgent"], write, about=write.about, violations="mark")
    assert again.records.equals(found.records)


def _prompt(item, style):
    return TEMPLATE.format(how=HOW[style], text=item.prompt)
