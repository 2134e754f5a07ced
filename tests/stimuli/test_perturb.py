"""Perturbations: what each kind does, what none of them may, and the matched design."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from broca.errors import StimulusError, UnknownName
from broca.items import Item, Message, Stimulus, apply_edits
from broca.stimuli.perturb import (
    ALL,
    ANCESTRAL,
    KINDS,
    STYLES,
    Choice,
    Severity,
    build_pairs,
    controls,
    layouts,
    perturb,
    protected_spans,
)
from broca.stimuli.perturb.checks import broken, real_word
from broca.stimuli.perturb.lists import common, homophones, misspellings, synonyms
from broca.stimuli.perturb.words import NUMBER_WORDS, words

CLEAN = "Please work this sum out, would you: 7 + 50 ="
LETTERS = tuple(kind.name for kind in KINDS.values() if kind.family in ("letters", "looks"))
ONE_EACH = {
    # word, kind, every text that one edit may give
    ("sum", "transpose"): {"usm", "smu"},
    ("sum", "delete"): {"um", "sm", "su"},
    ("sum", "duplicate"): {"ssum", "suum", "summ"},
    ("all", "transpose"): {"lal"},
    ("Sum", "case"): {"sum", "SUm", "SuM"},
    ("work", "vowels"): {"wrk"},
    ("out", "vowels"): {"ot"},
    ("word", "shuffle"): {"wrod"},
    ("sun", "split"): {"s un", "su n"},
    ("sun", "stray-stop"): {"s.un", "su.n"},
    ("sun", "repeat-word"): {"sun sun"},
    ("Sun", "homophone"): {"Son"},
    ("weird", "misspelling"): {"wierd"},
    ("q", "keyboard"): {"w", "a"},
    ("Q", "keyboard"): {"W", "A"},
    ("q", "keyboard-azerty"): {"a", "z", "s", "w"},
    ("Z", "leet"): {"2"},
    ("rn", "ocr"): {"m", "rri", "nn"},
    ("x", "homoglyph"): {"\u0445"},
    ("ab", "zero-width"): {"a\u200bb", "a\u200cb", "a\u200db", "a\u2060b"},
}


@pytest.mark.parametrize(("word", "kind"), ONE_EACH, ids=lambda value: value)
def test_every_variant_of_a_word_and_no_other(word, kind):
    found = {perturb(word, kind, seed=seed, choice=Choice(min_letters=1)).text for seed in range(80)}
    assert found == ONE_EACH[word, kind]


def test_neighbours_on_a_keyboard_are_mutual_and_of_the_layout():
    for layout in layouts.ROWS:
        beside = layouts.neighbours(layout)
        assert len(beside) == 26
        assert all(letter in beside[other] for letter in beside for other in beside[letter])
    assert set(layouts.neighbours("qwerty")["s"]) == set("awedxz")
    assert set(layouts.neighbours("qwertz")["t"]) == set("rzfg")


texts = st.lists(
    st.sampled_from(
        [
            "Please",
            "solve",
            "this",
            "task,",
            "don’t",
            "which",
            "Write",
            "two",
            "17",
            "3.5",
            "x2",
            "`code here`",
            "{field}",
            "https://a.b/c",
            "<|user|>",
            "Paris.",
            "A",
            "naïve",
            "Straße",
            "…",
            "-",
            "+",
            "\n",
            "\nB) the box\n",
            "hear!",
            "İt",
        ]
    ),
    min_size=3,
    max_size=12,
).map(" ".join)
severities = st.one_of(
    st.builds(Severity, words=st.integers(1, 3)),
    st.builds(Severity, edits=st.integers(1, 4)),
    st.builds(Severity, rate=st.floats(0.05, 1)),
)


@given(texts, st.sampled_from(ALL), severities, st.integers(0, 3))
def test_laws_of_every_kind(text, kind, severity, seed):
    try:
        found = perturb(text, kind, severity=severity, seed=seed, protect=["Paris"])
    except StimulusError as error:
        assert "room for" in str(error) or "no courtesy" in str(error)  # noqa: PT017
        return
    assert found == perturb(text, kind, severity=severity, seed=seed, protect=["Paris"])
    assert found.text == apply_edits(text, found.edits) != text
    kept = protected_spans(text, ["Paris"])
    rule = KINDS.get(kind)
    spaces = rule is None or rule.spaces
    assert not broken(text, found.text, found.edits, protected=kept, spaces=spaces)
    for start, end in kept:
        moved = [e for e in found.edits if e.end <= start]
        shift = sum(len(e.after) - len(e.before) for e in moved)
        assert found.text[start + shift : end + shift] == text[start:end]
    if rule is not None:
        if rule.words or severity.words:
            assert len({e.word for e in found.edits}) == len(found.edits) == (rule.words or severity.words)
        elif severity.edits:
            assert len(found.edits) == severity.edits
        if rule.distance:
            assert 1 <= OSA.distance(text, found.text) <= len(found.edits)


@given(texts, st.sampled_from(LETTERS), st.integers(0, 3))
def test_one_edit_of_letters_has_the_promised_distance(text, kind, seed):
    try:
        found = perturb(text, kind, seed=seed)
    except StimulusError:
        assume(False)
        raise
    if KINDS[kind].distance:
        assert OSA.distance(text, found.text) == KINDS[kind].distance


@given(st.text(max_size=40), st.sampled_from(ALL))
@example("ǆ ŉ İ ß", "case")
def test_any_text_is_perturbed_or_refused(text, kind):
    try:
        found = perturb(text, kind)
    except StimulusError:
        return
    assert found.text == apply_edits(text, found.edits) != text


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("add 3.5 to x2y now", ["3.5", "x2y"]),
        ("4 - 3 and well-known", ["4", "-", "3"]),
        ("see https://a.b/c?d and me@b.org", ["https://a.b/c?d", "me@b.org"]),
        ("<|im_start|>user [INST] hi <image>", ["<|im_start|>", "[INST]", "<image>"]),
        ("fill {name} in `my code` or $x = y$", ["{name}", "`my code`", "$x = y$"]),
        ("Which?\nA) the box\n(b) the bag\nNow", ["A) the box", "(b) the bag"]),
        ("two plus Seven", ["two", "Seven"]),
        ("```\nsome code\n``` text", ["```\nsome code\n```"]),
        ("Paris, Parisian", ["Paris"]),
    ],
)
def test_what_is_protected(text, whole):
    assert [text[a:b].strip() for a, b in protected_spans(text, ["Paris"])] == whole


def test_a_word_that_touches_what_is_protected_is_left_alone():
    text = "do un{field}done work"
    assert [word.text for word in words(text, protected_spans(text), Choice(min_letters=1))] == ["do", "work"]
    with pytest.raises(StimulusError, match=r"no span of a text of 3 characters"):
        protected_spans("abc", [(1, 5)])


def test_the_word_does_not_depend_on_the_kind():
    for seed in range(10):
        hit = {
            perturb(CLEAN, kind, seed=seed).edits[0].word
            for kind in ("keyboard", "delete", "insert", "case", "repeat-word")
        }
        assert len(hit) == 1
    assert len({perturb(CLEAN, "delete", seed=seed).edits[0].word for seed in range(20)}) > 3


def test_which_words_are_chosen():
    def hit(**options):
        return {e.word for s in range(30) for e in perturb(CLEAN, "case", seed=s, choice=Choice(**options)).edits}

    assert hit(where="first") == {0}
    assert hit(where="last") == {6}
    assert hit(among=frozenset({"sum"})) == {3}
    assert hit(content=True) == {0, 1, 3}
    assert hit(min_letters=6) == {0}
    with pytest.raises(StimulusError, match="min_letters is 0"):
        Choice(min_letters=0)


def test_severity():
    many = "please " * 20 + "now"
    assert len(perturb(many, "delete", severity=Severity(rate=0.5)).edits) == 10
    assert len(perturb(many, "delete", severity=Severity(rate=0.001)).edits) == 1
    assert len(perturb("please", "delete", severity=Severity(edits=3)).edits) == 3
    with pytest.raises(StimulusError, match="9 edits of kind 'delete' were asked for, and 'please' has room for"):
        perturb("please", "delete", severity=Severity(edits=9))
    with pytest.raises(StimulusError, match="2 words of kind 'two'"):
        perturb("please 4", "two")
    for wrong in ({}, {"words": 1, "edits": 1}, {"words": 0}, {"rate": 0.0}, {"rate": 1.5}):
        with pytest.raises(StimulusError, match="Give"):
            Severity(**wrong)


def test_styles_leave_the_end_as_it_is():
    for style in ("polite", "urgent", "insulting", "longer"):
        found = {perturb(CLEAN, style, seed=seed).text for seed in range(30)}
        assert len(found) > 2
        assert all(text.endswith(CLEAN) for text in found)
    assert perturb(CLEAN, "shorter").text == "Work this sum out, would you: 7 + 50 ="
    assert perturb("Could you please compute: 3 - 1 =", "shorter").text == "Compute: 3 - 1 ="
    with pytest.raises(StimulusError, match="no courtesy"):
        perturb("Compute: 3 - 1 =", "shorter")


def test_names():
    assert ANCESTRAL == ("main", "swap", "missing", "repeated", "two", "three", "grammar", "punctuation", "homonym")
    assert (*KINDS, *STYLES) == ALL
    with pytest.raises(UnknownName, match=r"Kind of perturbation 'transposed' is not known. Did you mean 'transpose'"):
        perturb("word", "transposed")


def test_the_lists_are_sound():
    sounds, wrong, near = homophones(), misspellings(), synonyms()
    assert (len(sounds), len(wrong), len(near)) > (300, 300, 70)
    assert all(word in sounds[other] for word in sounds for other in sounds[word])
    for entries in (sounds, wrong, near):
        assert not [word for word, others in entries.items() if word in others or not others]
        assert not NUMBER_WORDS & {other for others in entries.values() for other in others}
    assert not [word for word in wrong if word not in common()]
    assert min(OSA.distance(word, other) for word, others in wrong.items() for other in others) == 1


SOURCES = [
    Stimulus(f"t{i}", f"Please {verb} this {noun}, my friend: {i} + 4 =", "g")
    for i, (verb, noun) in enumerate([("solve", "task"), ("find", "sum"), ("hear", "piece"), ("write", "answer")] * 5)
]


def test_the_report_adds_up():
    found = build_pairs(SOURCES, ALL)
    made = Counter(pair.kind for pair in found.pairs)
    for row in found.report.iter_rows(named=True):
        assert row["asked"] == len(SOURCES) == row["made"] + row["impossible"] + row["refused"]
        assert made[row["kind"]] == row["made"] == len(found.of(row["kind"]))
        assert not row["identical"] + row["protected"] + row["spaces"] + row["number_word"] + row["distance"]
    assert {pair.group for pair in found.pairs} == {"g"}
    assert found.pairs == build_pairs(SOURCES, ALL).pairs != build_pairs(SOURCES, ALL, seed=1).pairs


def test_strictly_matched_kinds_edit_the_very_same_words():
    kinds = ("delete", "homophone", "vowels")
    found = build_pairs(SOURCES, kinds, matched="strict")
    hit = {}
    for pair in found.pairs:
        hit.setdefault(pair.id.partition("/")[0], set()).add(pair.edits[0].word)
    assert hit
    assert all(len(each) == 1 for each in hit.values())
    loose = build_pairs(SOURCES, kinds, matched="order")
    assert len(loose.pairs) >= len(found.pairs)
    assert found.report["made"].n_unique() == 1


def test_choices_are_protected_and_the_answer_is_kept():
    items = [Item("i", "The key is in the basket or the drawer. Where is the key?", ("basket", "drawer"), 1, group="g")]
    for seed in range(20):
        for pair in build_pairs(items, LETTERS, seed=seed).pairs:
            assert "basket" in pair.perturbed
            assert "drawer" in pair.perturbed
            assert (pair.answer, pair.group) == ("drawer", "g")
    found = build_pairs([Stimulus("s", "The key is here")], ["delete"], answers={"s": "key"}).pairs
    assert ("key" in found[0].perturbed, found[0].answer) == (True, "key")


def test_what_is_broken_is_refused_or_marked(monkeypatch):
    # a kind that says nothing of spaces and changes them
    rule = KINDS["split"]
    monkeypatch.setitem(KINDS, "split", type(rule)(rule.name, rule.spots, rule.family))
    found = build_pairs(SOURCES, ["split", "delete"])
    row = found.report.filter(found.report["kind"] == "split").row(0, named=True)
    assert (row["made"], row["refused"], row["spaces"]) == (0, len(SOURCES), len(SOURCES))
    marked = build_pairs(SOURCES, ["split"], violations="mark")
    assert {pair.tags["broken"] for pair in marked.pairs} == {"spaces"}


@pytest.mark.parametrize(
    ("clean", "perturbed", "options", "found"),
    [
        ("a word", "a word", {}, ("identical",)),
        ("a word", "a  word", {}, ("spaces",)),
        ("a word", "a  word", {"spaces": True}, ()),
        ("ask for it", "ask four it", {}, ("number_word",)),
        ("four", "fou", {"protected": [(0, 4)]}, ("protected",)),
        ("a word", "a wodr", {"distance": 1}, ()),
        ("a word", "a wxyd", {"distance": 1}, ("distance",)),
    ],
)
def test_promises(clean, perturbed, options, found):
    from broca.stimuli.edits import edits_between

    assert broken(clean, perturbed, edits_between(clean, perturbed), **options) == found


def test_words_that_are_words_are_marked():
    assert real_word("the form is", "the from is")
    assert real_word("the form is", "the fo rm is") is False
    assert real_word("a them", "a the m")
    assert not real_word("this", "t.his")
    assert real_word("a gizmo", "a gizma", frozenset({"gizma"}))


def test_a_chat_no_kind_no_text_and_twice_the_same_id():
    with pytest.raises(StimulusError, match="is a chat"):
        build_pairs([Stimulus("c", (Message("user", "hello there"),))], ["delete"])
    for kinds in ([], ["delete", "delete"]):
        with pytest.raises(StimulusError, match="Give one or more, each once"):
            build_pairs(SOURCES, kinds)
    with pytest.raises(StimulusError, match="Two texts have the id 't0'"):
        build_pairs([SOURCES[0], SOURCES[0]], ["delete"])
    with pytest.raises(StimulusError, match="None of 1 texts could be perturbed"):
        build_pairs([Stimulus("n", "4 + 4 =")], ["delete"])


def pieces(text: str) -> int:
    """A tokenizer of sorts: two characters a token within words, any other character its own but for blanks."""
    return sum(-(-len(word) // 2) for word in text.replace(":", " : ").replace(",", " , ").split())


def test_controls_have_the_same_change_of_tokens_and_no_mistake():
    pairs = build_pairs(SOURCES, ["insert", "repeat-word", "polite", "split"]).pairs
    found = controls(pairs, pieces)
    by_id = {pair.id: pair for pair in pairs}
    assert len(found.pairs) > len(pairs) / 3
    for control in found.pairs:
        pair = by_id[control.id.removesuffix("/control")]
        assert pieces(control.perturbed) == pieces(pair.perturbed)
        assert (control.clean, control.kind, control.tags["of"]) == (pair.clean, "control", pair.kind)
        assert control.perturbed.endswith(pair.clean.partition(":")[2])
        new = set(control.perturbed.lower().replace(",", " ").replace(".", " ").replace(":", " ").split())
        assert new - set(pair.clean.lower().replace(",", " ").replace(":", " ").split()) <= common() | SAID
    assert (found.report["asked"] == found.report["made"] + found.report["impossible"]).all()
    with pytest.raises(StimulusError, match="None of 1 pairs has a control"):
        controls([by_id["t0/polite"]], lambda text: 99 if text == by_id["t0/polite"].perturbed else 9)


SAID = {"okay", "hello", "morning", "something", "i"}
