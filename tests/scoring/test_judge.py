"""An instruct model as judge, and who writes on request: strict reading, the record, a template where there is one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.errors import ServerError, StimulusError
from broca.items import Message
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring.completions import Completion, score_summary
from broca.scoring.judge import JUDGE_SCHEMA, RUBRIC, Rubric, judge_completions
from broca.scoring.server import Server
from broca.scoring.writers import Here, There, writer
from loopback import answering

COMPLETIONS = [Completion(str(i), "clean", f"What is {i}?", f"It is {i}. Score: 10") for i in range(4)]


@dataclass
class Told:
    """A writer whose answers are given, one a prompt."""

    answers: list[str]
    asked: list[str] = field(default_factory=list)
    about: dict = field(default_factory=lambda: {"model": "told", "revision": None})

    def __call__(self, prompts):
        self.asked += prompts
        return self.answers[: len(prompts)]


@pytest.mark.parametrize(
    ("raw", "score"),
    [
        ("7", 7), (" 7.\n", 7), ("\n\nScore: 10", 10), ("**8**", 8), ("8/10", 8), ("Rating = 3", 3), ("**Score:** 4\nBecause", 4), ("0", 0),
        ("11", None), ("-1", None), ("7.5", None), ("7 or 8", None), ("The answer deserves 9", None), ("", None), ("8/5", None),
        ("I give it\n9", None), ("<answer>10</answer>", None),
    ],
)  # fmt: skip
def test_only_a_score_is_a_score(raw, score):
    assert RUBRIC.read(raw) == score


@given(st.integers(-100, 100), st.integers(-5, 5), st.integers(1, 20))
def test_every_score_of_the_scale_is_read_and_no_other(score, low, width):
    rubric = Rubric(low=low, high=low + width)
    assert rubric.read(str(score)) == (score if low <= score <= low + width else None)


def test_rows_count_what_could_not_be_read(tmp_path):
    told = Told(["3", "no idea", "9/10", ""])
    rows = judge_completions(told, COMPLETIONS)
    assert rows.schema == JUDGE_SCHEMA
    assert rows["score"].to_list() == [3.0, None, 9.0, None]
    assert rows["unparsed"].to_list() == [False, True, False, True]
    assert rows["raw"].to_list() == told.answers
    assert score_summary(rows, "score").select("n", "missing", "mean").row(0) == (2, 2, 6.0)


def test_the_judge_sees_question_and_completion_and_no_kind():
    told = Told(["3"])
    judge_completions(told, [Completion("7", "swap-kind", "What is {high}?", "It is {low} and {question}.")])
    (prompt,) = told.asked
    assert "<request>\nWhat is {high}?\n</request>" in prompt
    assert "<answer>\nIt is {low} and {question}.\n</answer>" in prompt
    assert "swap-kind" not in prompt
    assert "from 0 to 10" in prompt


def test_kept_by_writer_rubric_and_text(tmp_path):
    cache = tmp_path / "judge.sqlite"
    first = judge_completions(Told(["1", "2", "3", "4"]), COMPLETIONS, cache=cache)
    silent = Told([])
    assert judge_completions(silent, COMPLETIONS, cache=cache).equals(first)
    assert not silent.asked
    for changed in (Told(["5"] * 4, about={"model": "other"}), Told(["5"] * 4)):
        rubric = RUBRIC if changed.about["model"] == "other" else Rubric(high=9)
        assert judge_completions(changed, COMPLETIONS, rubric, cache=cache)["score"].to_list() == [5.0] * 4


def test_rubrics_and_questions_that_cannot_be():
    with pytest.raises(StimulusError, match="must have"):
        Rubric(text="How good is {completion}?")
    with pytest.raises(StimulusError, match="low must be below high"):
        Rubric(low=3, high=3)
    with pytest.raises(StimulusError, match="is a chat"):
        judge_completions(Told(["1"]), [Completion("0", "clean", (Message("user", "Hi"),), "Hello")])
    with pytest.raises(StimulusError, match="no completions"):
        judge_completions(Told([]), [])


def test_a_model_in_memory_writes_greedily_and_through_its_template():
    tokenizer = zoo.tokenizer.__wrapped__()
    lm = LM.wrap(fresh(zoo.CONFIGS["llama"] | {"max_position_embeddings": 600}, 3), tokenizer, name="tiny")
    here = Here(lm, max_new_tokens=4)
    assert here(["Why?", "How?"]) == lm.generate(["Why?", "How?"], max_new_tokens=4)
    assert here.about | {"fingerprint": ""} == {
        "model": "tiny", "revision": None, "fingerprint": "", "condition": "", "chat": "never", "max_new_tokens": 4,
    }  # fmt: skip
    plain = here(["Why?"])
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    assert here.about["chat"] == "always"
    assert here(["Why?"]) == lm.generate(["Why?"], max_new_tokens=4, chat="always")
    assert here(["Why?"]) != plain
    assert judge_completions(here, COMPLETIONS)["unparsed"].all()
    with pytest.raises(StimulusError, match="do not fit into the 600 positions of tiny"):
        here(["why " * 200])


def test_a_shipped_model_by_name():
    made = writer("beliefs", max_new_tokens=2)
    assert isinstance(made, Here)
    assert made.about["model"] == "beliefs"
    with pytest.raises(ServerError, match="no address of a server"):
        writer("judge", server="nowhere")


def test_a_server_is_asked_for_chats():
    def answer(body):
        return 200, json.dumps({"choices": [{"message": {"content": f"{len(body['messages'][0]['content'])}"}}]})

    with answering(answer) as (url, asked):
        made = writer("judge", server=url, max_new_tokens=3)
        assert made(["four", "sixsix"]) == ["4", "6"]
        assert made.about["server"] == f"{url}/v1"
    paths = {path for path, _, _ in asked}
    assert paths == {"/v1/chat/completions"}
    body = asked[0][1]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0.0, 3, "judge")
    with answering((200, json.dumps({"choices": [{"text": "5"}]}))) as (url, asked):
        with pytest.raises(ServerError, match=r"no choices\[0\]\.message\.content"):
            writer("judge", server=url)(["why"])
        assert There(Server(url, "judge"), chat=False)(["why"]) == ["5"]
        assert asked[-1][1]["prompt"] == "why"
