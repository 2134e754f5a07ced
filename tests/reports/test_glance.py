"""The first screen: what was asked, the answer, how sure, and what would change it."""

from __future__ import annotations

import pytest

from broca.evidence.changes import FEW, changes, decisive
from broca.evidence.verdict import RUNGS
from broca.instruments import COMMANDS
from broca.reports.build import report
from reports.pages import read_page
from reports.synthetic import causal_run, parts


def rungs(**states):
    return [{"name": name, "state": states.get(name, "passed"), "text": f"Why {name}. How {name}."} for name in RUNGS]


def test_what_failed_comes_first_then_what_is_open_then_what_is_missing():
    found = changes(rungs(learned="not tested", causal="undecided", specific="failed"))
    assert [line.split()[0] for line in found] == ["Specific", "Causal", "Learned"]
    assert found[1] == "Causal is undecided: how causal."


def test_a_few_lines_at_most():
    assert len(changes(rungs(**dict.fromkeys(RUNGS, "failed")))) == FEW


def test_a_ladder_climbed_to_its_top_still_says_what_could_overturn_it():
    assert len(changes(rungs())) == 2
    assert changes([]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It costs something. Undecided: about 40 groups like these would decide it.", "about 40 groups like these would decide it."),
        ("r = 0.71 (0.8 is asked). About 1.6 times as many would reach 0.8.", "about 1.6 times as many would reach 0.8."),
        ("BH, q = 0.05.", "BH, q = 0.05."),
        ("Not tested: no contrast was localized in this run.", "no contrast was localized in this run."),
        ("", ""),
    ],
)  # fmt: skip
def test_what_would_decide_is_found_in_a_reason(text, said):
    assert decisive(text) == said


def test_every_instrument_puts_a_question():
    for command in COMMANDS.values():
        assert (command.question or command.help).strip()


def test_the_page_begins_with_it(tmp_path):
    page = read_page(report(causal_run(tmp_path / "run")).read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    start = text[: text.index("Does the claim survive?")]
    order = [start.index(word) for word in ("Asked", "Answer", "How sure", "What would change it")]
    assert order == sorted(order)
    assert COMMANDS["causal"].question in start
    assert "causal failed" in start
    links = {a["href"] for a in page.all("a")}
    assert {f"#{a['id']}" for a in page.all("li") if a.get("id", "").startswith("rung-")} <= links


def test_a_verdict_is_said_once(tmp_path):
    values = parts()
    sentence = values["result"]["verdict"]["sentence"]
    result = values["result"] | {"claim": f"Found. {sentence}"}
    page = read_page(report(causal_run(tmp_path / "run", result=result)).read_text(encoding="utf-8"))
    start = page.text[: page.text.index("Does the claim survive?")]
    assert start.count(sentence) == 1


def test_a_run_without_a_verdict_has_no_empty_answer(tmp_path):
    values = parts()
    result = values["result"] | {"claim": None, "estimate": None, "verdict": None}
    page = read_page(report(causal_run(tmp_path / "run", result=result)).read_text(encoding="utf-8"))
    terms = page.text[: page.text.index("layers")]
    assert "Asked" in terms
    assert not any(word in terms for word in ("Answer", "How sure", "What would change it"))
