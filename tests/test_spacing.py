"""Where a space stands between a prompt and a choice: as people write, in prose, code and the scripts of the world."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.spacing import is_closing, is_space_between

NONE = [
    # brackets, quotation marks
    "Answer: (", "Answer: [", "set {", 'He said "', "He said “", "he said ‘", "it is the so-called '", "Er sagte „", "Er sagte »",
    "Il dit «", "l’«", "He said:\n«", '("', "so ('", "[“", '"yes" and "no" and "', "the '90s were called '", 'the 5" disk is a "',
    '"It\'s the dogs\' bone," he said, "', "said ``", "code: `", 'x = """',
    # hyphens, dashes, signs that touch what is before them
    "well-", "the word—", "pp. 3–", "3−", "x=", "7+5=", "f(x)=", "km/", "and/", "http://", "C:\\", "R&", "foo_", "i<", "x = -",
    # signs that belong to what follows
    "¿", "¡", "user@", "#", "it costs $", "US$", "($", "it costs €", "Answer: **", "\\boxed{", "<answer>", "<|assistant|>", "print(",
    'print("', 'x = f"', '{"key": "', 'key:"',
    # French, Italian, Irish
    "de l'", "J’ai dit qu'", "Il colore dell'", "it is five o'", "Mr. O’",
    # white space of any kind, and what has no width
    "line\n", "tab\t", "Il dit :\u00a0", "Il dit «\u202f", "ideographic\u3000", "glued\u2060", "soft\u00ad", "zero\u200b",
    # full width, Arabic, Hebrew, Ethiopic
    "答案：", "答え「", "（", "ＡＢＣ", "الـ", "ה־", "ב-", "ቃል፡", "(\u200f",
]  # fmt: skip
SPACE = [
    "Answer:", "Answer :", "word", "word.", "word,", "No. 5", "e.g.", "well…", "wait...", "What is it?", "it is 3:", "Answer -", "Answer:-",
    "word —", "word -", "\n—", "- -", "7 + 5 =", "x ==", "x :=", "a ->", "2 *", "x >", "a |", "C++", "C#", "it is 50%", "10 €", "5 $", "$x$",
    "$\\frac{1}{2}$", "____", "name: ____", "<br/>", "</b>", "`code`", "**bold**", '"""doc"""',
    # closing marks
    "the end)", "(see above]", 'He said "yes"', "He said 'yes'", "He said “yes”", "Er sagte „ja“", "Er sagte »ja«", "Il dit « oui »",
    "”a” och ”b”", "the dogs'", "the students’", "James'", "rock 'n'", "goin'", "12'", '6 ft 2"', '5\' 3"', '"A—"', '"Answer:"',
    "\"He said 'yes'\"", "``quoted''", "‘’", 'x = ""', "'tis the season, isn't it'",
    # a text that writes a space after its brackets and quotation marks is gone on with as it began
    "( yes ) and (", '" hello " and "', '" hello "', "« oui » et «",
    # scripts with spaces
    "Привет", "안녕", "हिन्दी", "שלום", "السؤال؟", "שאלה:", "cafe\u0301", "x²", "½", "👍", "a\u20dd", "word\u200e",
]  # fmt: skip


@pytest.mark.parametrize("before", NONE)
def test_no_space_stands_after(before):
    assert not is_space_between(before, "5" if before.endswith("= -") else "abc")


@pytest.mark.parametrize("before", SPACE)
def test_a_space_stands_after(before):
    assert is_space_between(before, "abc")


@pytest.mark.parametrize(
    ("before", "after", "space"),
    [
        ("答案是", "东京", False),
        ("答案是", "A", False),
        ("答えは", "A", False),
        ("คำตอบคือ", "กรุงเทพ", False),
        ("คำตอบคือ", "A", True),  # Thai parts other scripts by spaces
        ("ຄຳຕອບແມ່ນ", "ວຽງຈັນ", False),
        ("ចម្លើយគឺ", "ភ្នំពេញ", False),
        ("အဖြေက", "ရန်ကုန်", False),
        ("བོད་", "ལྷ་ས", False),
        ("か\u3099", "き", False),
        ("他生于1990", "年", False),
        ("The year is 1990", "年", True),
        ("The word is", "东京", True),
        ("Answer:", "东京", True),
        ("答案:", "东京", True),
        ("他说“好”", "吗", False),
        ("好的……", "吗", False),
        ("好👍", "的", False),
        ("他说“", "好", False),
        ("Answer", "（a）", False),
        ("정답은", "서울", True),
        ("답은 「", "서울", False),
        ("word", " abc", False),
        ("word", "\u00a0abc", False),
        ("word", "\u200fabc", True),
        ("x = -", "y", True),
        ("", "abc", False),
        ("word", "", False),
    ],
)
def test_scripts_with_and_without_spaces(before, after, space):
    assert is_space_between(before, after) is space


@pytest.mark.parametrize("text", [".", "?", "!)", ", and", "…", "”", "%", "।", "؟", "'s", "n't", "’re"])
def test_what_no_space_stands_before(text):
    assert is_closing(text)


@pytest.mark.parametrize("text", ["a", ".5", "...and", "'tis", "»Wort«", "-5", "yes.", "", "'sun'", "nothing"])
def test_what_a_space_may_stand_before(text):
    assert not is_closing(text)


@given(
    st.text(st.sampled_from("ab1 .,:\"'`“”‘’«»„()[]-—=*$_<>/\n東ที่é\u0301\u200b😀¿"), max_size=30), st.text(max_size=3)
)
def test_any_two_texts(before, after):
    found = is_space_between(before, after)
    assert not (found and (before[-1:].isspace() or after[:1].isspace() or not before or not after))
    # what ends in an ordinary word or a colon after one is gone on with behind a space, whatever stood before
    assert is_space_between(f"{before} word", "abc")
    assert is_space_between(f"{before} Answer:", "abc")
