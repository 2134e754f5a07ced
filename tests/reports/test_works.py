"""Works as BibTeX: what is taken apart, and that nothing in a citation acts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.reports.build import BIBLIOGRAPHY, report
from broca.reports.works import KNOWN, bibliography, known_work, references
from reports.synthetic import causal_run

OURS = {"author": "The Broca developers", "title": "Broca", "version": "1"}


def entries(text):
    """Kind, key and fields of each entry; braces that are escaped are no braces."""
    found = []
    for kind, key, body in re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL):
        found.append((kind, key, dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))))
    return found


@pytest.mark.parametrize("short", KNOWN)
def test_what_is_known_is_told_by_author_and_year(short):
    work = KNOWN[short]
    first = short.split()[0].rstrip(",")
    assert known_work(f"{first} et al. ({work.year}), Somewhere 1:2.") is work
    assert known_work(f"{first}son ({work.year}), Somewhere 1:2.") is None
    (_, (kind, _, fields)) = entries(bibliography([work.text], OURS))
    assert kind == ("book" if work.book else "article")
    assert fields["year"] == str(work.year)
    assert fields["author"].count(" and ") == len(work.authors) - 1


@pytest.mark.parametrize(
    ("line", "kind", "fields"),
    [
        ("Meng et al. (2022), Locating and editing factual associations in GPT, NeurIPS.", "inproceedings",
         {"author": "Meng and others", "title": "Locating and editing factual associations in GPT", "booktitle": "NeurIPS"}),
        ("Kriegeskorte et al. (2007), PNAS 104:20600-20605.", "article", {"journal": "PNAS", "volume": "104", "pages": "20600--20605"}),
        ("Heap et al. (2025), arXiv:2501.17727.", "misc", {"eprint": "2501.17727", "archiveprefix": "arXiv"}),
        ("Syed, Rager & Conmy (2023), Attribution patching, arXiv 2310.10348.", "misc",
         {"author": "Syed and Rager and Conmy", "title": "Attribution patching", "eprint": "2310.10348"}),
        ("Ask whoever made it.", "misc", {"note": "Ask whoever made it."}),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart_as_far_as_it_goes(line, kind, fields):
    (_, (found, _, got)) = entries(bibliography(references("", [line]), OURS))
    assert found == kind
    assert fields.items() <= got.items()


def test_keys_are_told_apart():
    lines = [f"Nanda (2023), Part {i}, ICLR." for i in ("one", "two", "three")]
    assert [key for _, key, _ in entries(bibliography(lines, OURS))] == [
        "broca",
        "nanda2023",
        "nanda2023b",
        "nanda2023c",
    ]


@given(st.text(max_size=80))
def test_nothing_in_a_citation_acts(text):
    made = bibliography([f"{text} (2020), {text}, {text}.", text], OURS)
    bare = re.sub(r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\[&%$#_{}]", "", made)
    assert "\\" not in bare
    assert bare.count("{") == bare.count("}")
    assert len(re.findall(r"^@", made, re.MULTILINE)) == 3


def test_it_stands_beside_the_report(tmp_path):
    path = causal_run(tmp_path / "run")
    report(path)
    made = (path / BIBLIOGRAPHY).read_text(encoding="utf-8")
    assert entries(made)[0][1] == "broca"
    assert "mcnemar1947" in made
