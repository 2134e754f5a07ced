"""Perturbations in the scripts of the world: letters keep their marks, come from their own script, and promises hold for letters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from broca.errors import StimulusError
from broca.items import Item, Pair, Stimulus, apply_edits
from broca.stimuli.alignment import align
from broca.stimuli.blind_rules import mention_index
from broca.stimuli.edits import edited_words, edits_between
from broca.stimuli.perturb import KINDS, Choice, build_pairs, perturb, protected_spans
from broca.stimuli.perturb.checks import broken, real_word
from broca.stimuli.perturb.words import words
from broca.writing import clusters, is_letter, normalise, script

TEXTS = {
    "Russian": "Пожалуйста, реши эту задачу!",
    "Greek": "Παρακαλώ λύσε την ΆΣΚΗΣΗ.",
    "Hebrew": "שָׁלוֹם, אנא פתור של צה״ל",
    "Arabic": "من فضلك احسب اَلْعَرَبِيَّة المجموع؟",
    "Persian": "می‌خواهم کتاب‌ها را بخوانم",
    "Hindi": "कृपया हिन्दी क्षत्रिय अर्थात् पढ़िए।",
    "Tamil": "தயவுசெய்து ஸ்ரீ கணக்கை",
    "Malayalam": "ക്ഷമിക്കണം മലയാളം",
    "Sinhala": "ශ්‍රී ලංකාව ලස්සනයි",
    "Thai": "กรุณาแก้โจทย์ น้ำที่ไหน",
    "Lao": "ຂໍ້ຄວາມ ພາສາລາວ",
    "Khmer": "សូមដោះស្រាយបញ្ហា នេះ",
    "Burmese": "ကျေးဇူးပြု၍ ဖြေရှင်းပါ",
    "Tibetan": "བོད་སྐད་ཡིག བཀྲ་ཤིས",
    "Korean": "문제를 풀어보세요 한국어로",
    "Japanese": "この問題を解いてください。ミーティング、がぎぐ",
    "Chinese": "请解决这个问题，谢谢您的帮助。",
    "Georgian": "გთხოვთ ამოხსნათ ამოცანა",
    "Armenian": "Խնդրում եմ լուծել",
    "Amharic": "እባክዎን ይህን ችግር ይፍቱ።",
    "Vietnamese": "Hãy giải bài toán này",
    "Turkish": "İstanbul'da ışığı söndür",
    "full width": "Ｈｅｌｌｏ，ＷＯＲＬＤ",
    "half width": "ﾊﾟｿｺﾝﾃﾞｽｶﾞ",
    "signs": "ok🏽 go👩‍👩‍👧home 1️⃣first a⃣bc x̄ȳz̄ co\u00adoperate",
    "mixed": "Путин met Ζεύς в Киеве東京へ",
}
FORMS = [(name, form) for name in TEXTS for form in ("NFC", "NFD")]
ONE_LETTER = Choice(min_letters=1)


def places(text):
    """Between which characters a text may be cut."""
    found = [0]
    for one in clusters(text):
        found.append(found[-1] + len(one))
    return set(found)


def scripts(text):
    return {script(one) for one in clusters(text) if is_letter(one)}


def hold(text, kind, made):
    """What is promised of a perturbed text of any script."""
    cuts, rule = places(text), KINDS[kind]
    assert made.text == apply_edits(text, made.edits)
    assert normalise(made.text) != normalise(text)
    for found in (made.edits, edits_between(text, made.text)):
        assert all(edit.start in cuts and edit.end in cuts for edit in found)
        assert apply_edits(text, found) == made.text
    assert not broken(
        text, made.text, made.edits, protected=protected_spans(text), spaces=rule.spaces, distance=rule.distance
    )
    assert unicodedata.category(made.text[0])[0] != "M" or unicodedata.category(text[0])[0] == "M"
    if rule.family == "letters" and not kind.startswith("keyboard"):
        assert scripts(made.text) <= scripts(text)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_letters_keep_their_marks_and_their_script(name, form):
    text = unicodedata.normalize(form, TEXTS[name])
    done = set()
    for kind in KINDS:
        for seed in range(3):
            try:
                hold(text, kind, perturb(text, kind, seed=seed, choice=ONE_LETTER))
                done.add(kind)
            except StimulusError as error:
                assert "room for" in str(error)  # noqa: PT017
    assert {"transpose", "delete", "insert", "duplicate", "substitute", "split", "zero-width"} <= done


pieces = sorted(
    {one for text in TEXTS.values() for one in clusters(text)}
    | {"\u0301", "\u200d", "\u0600", "\u1160", "3", "三", "'", "\n"}
)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(pieces), min_size=2, max_size=14).map("".join), st.sampled_from(sorted(KINDS)))
def test_any_row_of_letters(text, kind):
    try:
        made = perturb(text, kind, choice=ONE_LETTER)
    except StimulusError:
        return
    if not {"number_word"} & set(broken(text, made.text, made.edits)):
        hold(text, kind, made)


@pytest.mark.parametrize("name", TEXTS)
def test_composed_and_decomposed_texts_have_the_same_variants(name):
    one, other = (unicodedata.normalize(form, TEXTS[name]) for form in ("NFC", "NFD"))
    found, same = (words(text, protected_spans(text), ONE_LETTER) for text in (one, other))
    assert (
        [normalise(word.text) for word in found] == [word.text for word in found] == [normalise(w.text) for w in same]
    )
    for kind in set(KINDS) - {
        "shuffle",
        "merge",
        "zero-width",
    }:  # the orders of a shuffle are drawn from the word itself
        for a, b in zip(found, same, strict=True):
            assert variants(one, a, kind) == variants(other, b, kind)


def variants(text, word, kind):
    return {normalise(text[:start] + new + text[end:]) for start, end, some in KINDS[kind].spots(word) for new in some}


@pytest.mark.parametrize(
    ("word", "kind", "found"),
    [
        ("cafe\u0301", "delete", {"afe\u0301", "cfe\u0301", "cae\u0301", "caf"}),
        ("he\u0301", "transpose", {"e\u0301h"}),
        ("e\u0301", "case", {"E\u0301"}),
        ("e\u0301t", "duplicate", {"e\u0301e\u0301t", "e\u0301tt"}),
        ("นที่", "transpose", {"ที่น"}),
        ("मुनि", "transpose", {"निमु"}),
        ("क्षयः", "delete", {"यः", "क्ष"}),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "delete", {"\u1112\u1161\u11ab", "\u1100\u116e\u11a8"}),
        ("мир", "substitute", {"иир", "рир", "ммр", "мрр", "мим", "мии"}),
        ("МИР", "substitute", {"ИИР", "РИР", "ММР", "МРР", "МИМ", "МИИ"}),
        ("ＡＢ", "insert", {"ＡＢａ"}),
        ("مِن", "insert", {"مِنمِ"}),
        ("İn", "case", {"i\u0307n", "İN"}),
        ("l׳x", "drop-mark", {"lx"}),
    ],
)  # fmt: skip
def test_every_variant_of_a_word_and_no_other(word, kind, found):
    assert {perturb(word, kind, seed=seed, choice=ONE_LETTER).text for seed in range(40)} == found


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("กรุณาแก้โจทย์", ["case", "keyboard", "vowels", "leet", "homoglyph", "repeat-word", "shuffle"]),
        ("реши эту задачу", ["keyboard", "keyboard-dvorak", "vowels", "leet", "ocr", "homophone"]),
        ("请解决这个问题", ["case", "keyboard", "repeat-word", "shuffle", "drop-mark"]),
        ("ооо", ["insert", "substitute"]),  # a text of one letter has no other
    ],
)
def test_what_makes_no_sense_in_a_script_is_counted_and_never_done(text, kinds):
    found = build_pairs([Stimulus("a", text), Stimulus("b", "Please do this work, I'm Lee")], kinds, choice=ONE_LETTER)
    assert {pair.id[0] for pair in found.pairs} == {"b"}
    for row in found.report.iter_rows(named=True):
        assert (row["asked"], row["impossible"]) == (2, 2 - row["made"])


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("m² und ½ Liter", ["m²", "½"]),
        ("Frage\nА) дом\n가. 집\n（א） בית\nＡ．家\nx", ["А) дом", "가. 집", "（א） בית", "Ａ．家"]),
        ("1️⃣ then", ["1️⃣"]),
        ("٣ + ४", ["٣", "+", "४"]),
        ("on\u0301e two", ["two"]),
    ],
)
def test_what_is_protected(text, whole):
    assert [text[a:b].strip() for a, b in protected_spans(text)] == whole


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Le cafe\u0301 est noir", "café"),
        ("我住在东京都里面", "东京"),
        ("เขาอยู่ที่กรุงเทพมหานคร", "กรุงเทพ"),
        ("The basket is here", " basket"),
        ("हिन्दी अच्छी भाषा", "हिन्दी"),
    ],
)
def test_an_answer_is_protected_in_any_form_and_script(text, answer):
    (span,) = protected_spans(text, [answer])
    assert normalise(text[slice(*span)]) == answer.strip()
    assert mention_index(Item("i", text, ("zzz", answer), 0)) == 1


def test_marks_do_not_count_as_letters_of_a_word():
    assert [word.text for word in words("e\u0301t\u0301e\u0301 e\u0301t\u0301", ())] == ["e\u0301t\u0301e\u0301"]
    assert [word.text for word in words("हिन्दी यह", ())] == ["हिन्दी"]
    assert [word.text for word in words("cafe\u0301 Tee", (), Choice(among=frozenset({"café"})))] == ["cafe\u0301"]


def test_numerals_of_chinese_are_figures_and_left_alone():
    for kind in ("delete", "substitute", "duplicate", "transpose", "insert"):
        for seed in range(20):
            made = perturb("三加五等于几个", kind, seed=seed)
            assert [one for one in made.text if one in "三五"] == ["三", "五"]


def test_a_blank_stays_between_what_would_run_together():
    # without the blank the dead consonant at the end would be half of the next syllable
    assert not [w for w in words("अर्थात् कृपया", ()) if w.joins]
    assert [w.joins for w in words("अर्थात कृपया", ())] == [True, False]


def test_a_word_of_marked_letters_is_one_word_to_the_alignment():
    clean, wrong = "un cafe\u0301 noir", "un cfe\u0301 noir"
    pair = Pair("p", clean, wrong, edits_between(clean, wrong), "delete")
    assert [clean[a:b] for a, b in edited_words(pair)] == ["cafe\u0301"]
    found = align(pair, [(i, i + 1) for i in range(len(clean))], [(i, i + 1) for i in range(len(wrong))])
    assert [clean[i] for i in found.positions("edited")[0]] == list("cafe\u0301")
    changed = edits_between("un cafe\u0301", "un cafe\u0300")
    assert [(edit.before, edit.after) for edit in changed] == [("e\u0301", "e\u0300")]
    assert [(e.before, e.after) for e in edits_between("ok 👍🏽", "ok 👍🏿")] == [("👍🏽", "👍🏿")]


def test_distances_are_in_letters():
    row = build_pairs([Stimulus("a", "กรุณาแก้โจทย์ที่ไหน")], ["delete"]).report.row(0, named=True)
    assert (row["osa"], row["levenshtein"], row["length"]) == (1.0, 1.0, -1.0)
    assert OSA.distance(list(clusters("हिन्दी")), list(clusters("न्दीहि"))) == 1


def test_a_word_with_marks_is_a_common_word_only_with_them():
    assert real_word("the hous is", "the house is")
    assert not real_word("the hous is", "the hous\u0301e is")


def test_a_courtesy_is_taken_off_a_marked_letter():
    made = perturb("Please e\u0301cris ceci", "shorter")
    assert made.text == "E\u0301cris ceci"
    assert made.edits[0].before == "Please e\u0301"
