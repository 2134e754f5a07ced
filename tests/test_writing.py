"""Letters with their marks, scripts, whole words: one answer for composed and decomposed texts of every script."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from broca.writing import clusters, is_letter, is_unspaced, normalise, occurrences, script, words_in


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", list("plain")),
        ("cafe\u0301", ["c", "a", "f", "e\u0301"]),
        ("ที่ไหน", ["ที่", "ไ", "ห", "น"]),
        ("न्दी", ["न्दी"]),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", ["\u1112\u1161\u11ab", "\u1100\u116e\u11a8"]),
        ("👩‍👩‍👧👍🏽", ["👩‍👩‍👧", "👍🏽"]),
        ("1\ufe0f\u20e3!", ["1\ufe0f\u20e3", "!"]),
        ("ကျေးဇူး", ["ကျေး", "ဇူး"]),
        ("می‌خ", ["م", "ی‌", "خ"]),
        ("a\r\nb", ["a", "\r\n", "b"]),
    ],
)
def test_a_letter_has_its_marks(text, parts):
    assert list(clusters(text)) == parts


@given(
    st.text(
        st.sampled_from("aé\u0301\u0327कषि\u094d\u1112\u1161\u11ab\u1100가\u3099か\u200d\u200c👩🏽ே\u0bbe \u0600\n"),
        max_size=12,
    )
)
def test_letters_make_up_the_text_and_do_not_depend_on_its_form(text):
    assert "".join(clusters(text)) == text
    forms = [clusters(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")]
    assert [normalise(one) for one in forms[0]] == [normalise(one) for one in forms[1]]


def test_every_letter_has_a_script_unless_it_is_of_several():
    letters = filter(str.isalpha, map(chr, range(sys.maxunicode + 1)))
    several = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")
    assert not [one for one in letters if not script(one) and not several.match(one)]


def test_scripts():
    found = {one: script(one) for one in "aĐЖσश한ひﾊーＡ東ʼ"}
    assert found == {
        "a": "Latin", "Đ": "Latin", "Ж": "Cyrillic", "σ": "Greek", "श": "Devanagari", "한": "Hangul", "ひ": "Hiragana",
        "ﾊ": "Katakana (half width)", "ー": "", "Ａ": "Latin (full width)", "東": "Han", "ʼ": "",
    }  # fmt: skip
    assert script("\u1112\u1161\u11ab") == script("한")


def test_figures_that_are_written_with_a_letter_are_none():
    assert all(map(is_letter, ("a", "é", "e\u0301", "हि", "東", "ー")))
    assert not any(map(is_letter, ("1", "三", "万", "½", "Ⅷ", "_", "'", "", "👍", "\u0301")))


def test_scripts_without_spaces():
    assert all(map(is_unspaced, ("東", "ひ", "か\u3099", "ー", "ที่", "ໝ", "ខ្", "ကျေး", "བོ", "\u0f0b", "々")))
    assert not any(map(is_unspaced, ("a", "é", "한", "हि", "ش", "1", "๓", "。", " ", "", "👍")))


E_ = "cafe\u0301"


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("a box, boxes and Box", "box", ["box"]),
        ("un café, " + E_, "café", ["café", E_]),
        ("un café", E_, ["café"]),
        ("un café, " + E_, "cafe", []),
        ("J’ai vu x\u0304 et x", "x", ["x"]),
        ("我住在东京都", "东京", ["东京"]),
        ("我用AI写", "AI", ["AI"]),
        ("openAI", "AI", []),
        ("อยู่กรุงเทพฯ", "กรุงเทพ", ["กรุงเทพ"]),
        ("हिन्दीभाषा हिन्दी", "हिन्दी", ["हिन्दी"]),
        ("क्षत्रिय क", "क", ["क"]),
        ("か\u3099く か", "か", ["か"]),
        ("x² and x", "x", ["x"]),
        ("aa aaa", "aa", ["aa"]),
        ("(a) f(a)", "(a)", ["(a)"]),
        ("anything", "", []),
    ],
)  # fmt: skip
def test_where_a_phrase_stands(text, phrase, found):
    spans = occurrences(text, phrase)
    assert [text[start:end] for start, end in spans] == found


def test_case_may_be_ignored():
    assert occurrences("CAFE\u0301 im Haus", "café", ignore_case=True) == ((0, 5),)
    assert occurrences("CAFE\u0301", "café") == ()


def test_words_of_a_text():
    assert words_in("अच्छा, x² cafe\u0301_1!") == ["अच्छा", "x²", "cafe\u0301_1"]
