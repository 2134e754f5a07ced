"""Scoring by likelihood against one text at a time, on plain prompts, chats and letters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import zoo
from broca.errors import StimulusError
from broca.interventions.lesion import Lesion
from broca.items import Item, Message
from broca.models.build import fresh
from broca.models.lm import LM
from broca.scoring import ROW_SCHEMA, Generation, Likelihood, Permuted
from broca.scoring.likelihood import likelihood_of
from broca.sites import Site
from broca.units import UnitMask

NASTY = "naïve\u0301 日本語 🙂 \u200b\x00 <eos> {x} \\n"
ITEMS = [
    Item("0", "The key is in the", (" box", " bag of", " car"), 1, "where", "g0"),
    Item("1", "A", ("cat", "dog"), 0, "what", "g1"),
    Item("2", "Where is it?\n", ("here", "there"), 1, "where", "g1"),
    Item("3", NASTY, ("日", "é🙂", NASTY), 2, "odd"),
    Item("4", "Only one", ("x",), 0),
]


@torch.no_grad()
def plain(lm, prompt, option):
    """One text, no cache, the whole softmax: written without the room under test, for tokenizers that never merge."""
    start = len(lm.tokenizer(prompt)["input_ids"])
    ids = torch.tensor([lm.tokenizer(prompt + option)["input_ids"]])
    logp = torch.log_softmax(lm.model(input_ids=ids, use_cache=False).logits[0].double(), -1)
    return sum(float(logp[t - 1, ids[0, t]]) for t in range(start, ids.shape[1])), ids.shape[1] - start


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("qwen3")


@pytest.fixture(scope="module")
def chatty(lm):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(lm.tokenizer.backend_tokenizer.to_str()),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
    tokenizer.chat_template = (
        "<bos>{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return replace(lm, tokenizer=tokenizer)


@pytest.mark.parametrize("norm", ["sum", "mean"])
def test_agrees_with_one_text_at_a_time(lm, norm):
    table = Likelihood(norm=norm)(lm, ITEMS)
    assert table.schema == ROW_SCHEMA
    assert table["id"].to_list() == [item.id for item in ITEMS]
    assert table["group"].to_list() == ["g0", "g1", "g1", "alone: odd/3", "alone: 4"]
    for item, row in zip(ITEMS, table.iter_rows(named=True), strict=True):
        between = "" if item.prompt.endswith("\n") or item.choices[0].startswith(" ") else " "
        pairs = [plain(lm, item.prompt, between + choice) for choice in item.choices]
        values = np.array([value / (n if norm == "mean" else 1) for value, n in pairs])
        np.testing.assert_allclose(row["logprobs"], values, rtol=0, atol=1e-5)
        assert row["predicted"] == int(values.argmax())
        assert row["text"] == item.choices[row["predicted"]]
        assert row["correct"] == (row["predicted"] == item.answer)
        assert row["answer"] == item.answer
        assert not row["invalid"]


def test_rows_do_not_depend_on_batches_or_neighbours(lm):
    items = [replace(item, id=f"{item.id}-{i}") for i in range(5) for item in ITEMS]
    whole = Likelihood()(lm, items)
    alone = pl.concat([Likelihood()(lm, [item]) for item in items])
    small = Likelihood()(replace(lm, batch_size=3), items)
    for other in (alone, small):
        assert other.drop("score", "logprobs").equals(whole.drop("score", "logprobs"))
        np.testing.assert_allclose(
            other["logprobs"].explode().to_numpy(), whole["logprobs"].explode().to_numpy(), rtol=0, atol=1e-5
        )


def test_lesions_are_none_of_its_business_and_leave_no_trace(lm):
    before = Likelihood()(lm, ITEMS)
    with lm.under(Lesion(UnitMask.of({Site(1, "resid_post"): list(range(20))}, n=32))):
        during = Likelihood()(lm, ITEMS)
    assert before.equals(Likelihood()(lm, ITEMS))
    assert np.abs(np.subtract(before["logprobs"][0].to_list(), during["logprobs"][0].to_list())).max() > 1e-3


def test_a_broken_model_gives_invalid_rows():
    lm = zoo.lm("llama")
    with torch.no_grad():
        lm.model.lm_head.weight.fill_(float("nan"))
    table = Likelihood()(lm, ITEMS[:3])
    assert table["invalid"].all()
    assert table["score"].null_count() == 3


@pytest.mark.parametrize(
    ("prompt", "choice", "join", "whole"),
    [
        ("at", "x", " ", "at x"),
        ("at", " x", " ", "at x"),
        ("at ", "x", " ", "at x"),
        ("at\n", "x", " ", "at\nx"),
        ("at", "x", "", "atx"),
        ("at", "\u3000x", " ", "at\u3000x"),
    ],
)
def test_one_space_where_neither_brings_one(lm, prompt, choice, join, whole):
    row = Likelihood(join=join)(lm, [Item("0", prompt, (choice, choice + "y"), 0)]).row(0, named=True)
    assert row["logprobs"][0] == pytest.approx(plain(lm, prompt, whole[len(prompt) :])[0], abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "choices", "join", "strings"),
    [
        ("The answer is", ("A", "B"), None, (" A", " B")),
        ("Answer:", ("A", "B"), None, (" A", " B")),
        ("Answer: (", ("A", "B"), None, ("A", "B")),
        ('He said "', ("A", " B"), None, ("A", " B")),
        ("Answer: (", ("A", "B"), " ", (" A", " B")),
        ("Answer:", ("A", "B"), "", ("A", "B")),
        ("Answer:", ("A", "B"), "\n", ("\nA", "\nB")),
        ("答案是", ("东京", "Paris"), None, ("东京", "Paris")),
        ("คำตอบคือ", ("ดี", "Paris"), None, ("ดี", " Paris")),
        ("It ends", (".", "!"), None, (".", "!")),
        ("It ends", (".", "well"), None, (" .", " well")),
    ],
)
def test_a_choice_follows_its_prompt_as_a_person_would_write_or_as_is_said(lm, prompt, choices, join, strings):
    row = Likelihood(join=join)(lm, [Item("0", prompt, choices, 0)]).row(0, named=True)
    assert row["logprobs"] == pytest.approx([plain(lm, prompt, one)[0] for one in strings], abs=1e-5)


def test_a_cue_and_a_letter_follow_as_a_person_would_write(lm):
    item = Item("0", "哪里？", ("x", "y"), 0)
    row = Likelihood(cue="答案：(")(lm, [item]).row(0, named=True)
    assert row["logprobs"][1] == pytest.approx(plain(lm, "哪里？答案：(", "y")[0], abs=1e-5)
    row = Likelihood(options="letter", cue="答案：")(lm, [item]).row(0, named=True)
    assert row["logprobs"][1] == pytest.approx(plain(lm, "哪里？\n\na. x\nb. y\n答案：", "b")[0], abs=1e-5)


def test_what_else_asks_asks_as_the_scorer_does():
    own = Likelihood(norm="mean", cue="So:", join="", chat="never")
    expected = Likelihood(cue="So:", join="", chat="auto")
    assert likelihood_of(own, "auto") == likelihood_of(Permuted(own), "auto") == expected
    for other in (Likelihood(options="letter", cue="So:"), Generation(), None):
        assert likelihood_of(other, "always") == Likelihood(chat="always")


def test_how_choices_follow_their_prompts(lm, chatty):
    items = [
        Item("0", "Answer: (", ("A", "B"), 0),
        Item("1", "Answer:", ("A", " B"), 0),
        Item("2", "คำตอบคือ", ("ดี", "Paris"), 0),
        Item("3", (Message("user", "Where?"),), ("A", "B"), 0),
    ]
    found = Likelihood().joins(chatty, items)
    assert found == [("nothing", "nothing"), ("space", "own"), ("nothing", "space"), ("template", "template")]
    assert Likelihood(join="\n").joins(lm, items[:1]) == [("given", "given")]
    assert Likelihood(options="letter").joins(lm, items[:2]) == [("space", "space")] * 2
    assert Likelihood(options="letter", cue="").joins(chatty, items[3:]) == [("template", "template")]


# -- letters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "whole"),
    [
        ("Where?", "Where?\n\na. box\nb. bag of\nAnswer: "),
        ("Where?\nAnswer:", "Where?\n\na. box\nb. bag of\nAnswer: "),
        ("Where? ", "Where?\n\na. box\nb. bag of\nAnswer: "),
    ],
)
def test_letters_are_listed_and_scored(lm, prompt, whole):
    item = Item("0", prompt, (" box", "bag of"), 1)
    row = Likelihood(options="letter")(lm, [item]).row(0, named=True)
    assert row["logprobs"] == pytest.approx([plain(lm, whole, letter)[0] for letter in "ab"], abs=1e-5)
    assert row["text"] in item.choices


def test_a_prompt_that_lists_its_options_is_left_alone(lm):
    item = Item("0", "Where?\na. box\nb. bag\nAnswer:", ("B", "A"), 1)
    row = Likelihood(options="letter")(lm, [item]).row(0, named=True)
    expected = [plain(lm, "Where?\na. box\nb. bag\nAnswer: ", letter)[0] for letter in "BA"]
    assert row["logprobs"] == pytest.approx(expected, abs=1e-5)


def test_the_cue_can_be_another(lm):
    item = Item("0", "Where?", ("x", "y"), 0)
    row = Likelihood(options="letter", cue="So:")(lm, [item]).row(0, named=True)
    assert row["logprobs"][1] == pytest.approx(plain(lm, "Where?\n\na. x\nb. y\nSo: ", "b")[0], abs=1e-5)
    row = Likelihood(cue="So:")(lm, [item]).row(0, named=True)
    assert row["logprobs"][1] == pytest.approx(plain(lm, "Where? So:", " y")[0], abs=1e-5)


def test_more_choices_than_letters_are_refused(lm):
    item = Item("many", "p", tuple(map(str, range(27))), 0)
    with pytest.raises(StimulusError, match="'many' has 27 choices"):
        Likelihood(options="letter")(lm, [item])
    assert len(Likelihood()(lm, [item])["logprobs"][0]) == 27


def test_letters_that_share_a_token_are_refused():
    words = ["<unk>", "<pad>", "Answer", ":", "b", "."]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    made.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>")
    lm = LM.wrap(fresh(zoo.CONFIGS["llama"]).float(), tokenizer)
    fine = Item("fine", "p", ("x", "y"), 0)
    assert len(Likelihood(options="letter")(lm, [fine])) == 1
    with pytest.raises(
        StimulusError, match=r"Item 'three': .* the same tokens as another one: \['c'\].* options='text'"
    ):
        Likelihood(options="letter")(lm, [fine, Item("three", "p", ("x", "y", "z"), 0)])


def test_options_that_tokenise_to_nothing_are_refused_by_name():
    made = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", pad_token="<pad>")
    lm = LM.wrap(fresh(zoo.CONFIGS["llama"]).float(), tokenizer)
    with pytest.raises(StimulusError, match=r"Item 'hollow': these options tokenise to nothing .*\[' '\]"):
        Likelihood()(lm, [Item("hollow", "a b", ("a", " "), 0)])


def test_too_long_is_refused_by_name(lm):
    with pytest.raises(StimulusError, match="Item 'long': prompt and longest option need"):
        Likelihood()(lm, [Item("long", "a" * 200, ("x", "y"), 0)])


# -- chats ----------------------------------------------------------------------------------------------------------


def test_a_chat_is_rendered_and_the_choice_follows_the_template(chatty):
    chat = (Message("system", "be brief"), Message("user", "Where?"))
    row = Likelihood()(chatty, [Item("0", chat, ("box", " bag"), 0)]).row(0, named=True)
    shown = "[system]be brief<eos>[user]Where?<eos>[assistant]"
    expected = [plain(chatty, shown, choice)[0] for choice in ("box", " bag")]
    assert row["logprobs"] == pytest.approx(expected, abs=1e-5)


def test_letters_in_a_chat_stand_in_the_users_turn_and_the_cue_in_the_models(chatty):
    chat = (Message("user", "Where?"), Message("assistant", "Hm."), Message("user", "Well?"), Message("system", "s"))
    shown = "[user]Where?<eos>[assistant]Hm.<eos>[user]Well?\n\na. x\nb. y<eos>[system]s<eos>[assistant]"
    for cue, end in ((None, " Answer: "), ("", "")):
        scorer = Likelihood(options="letter", cue=cue)
        row = scorer(chatty, [Item("0", chat, ("x", "y"), 0)]).row(0, named=True)
        expected = [plain(chatty, shown + end, letter)[0] for letter in "ab"]
        assert row["logprobs"] == pytest.approx(expected, abs=1e-5)


def test_chat_always_and_never(chatty):
    item = Item("0", "Where?", ("x", "y"), 0)
    always = Likelihood(chat="always")(chatty, [item]).row(0, named=True)
    assert always["logprobs"][0] == pytest.approx(plain(chatty, "[user]Where?<eos>[assistant]", "x")[0], abs=1e-5)
    chat = replace(item, prompt=(Message("user", "Where?"), Message("user", "Now?")))
    never = Likelihood(chat="never")(chatty, [chat]).row(0, named=True)
    assert never["logprobs"][0] == pytest.approx(plain(chatty, "Where?\n\nNow?", " x")[0], abs=1e-5)


def test_a_chat_needs_a_template_and_a_users_turn(lm, chatty):
    with pytest.raises(StimulusError, match="no chat template"):
        Likelihood()(lm, [Item("0", (Message("user", "Where?"),), ("x",), 0)])
    with pytest.raises(StimulusError, match="Item '0' is a chat without a user's turn"):
        Likelihood(options="letter")(chatty, [Item("0", (Message("system", "Where?"),), ("x", "y"), 0)])


def test_no_items_no_rows(lm):
    assert Likelihood()(lm, []).schema == ROW_SCHEMA


def test_items_with_pictures_are_not_asked_in_words_alone():
    from broca.scoring import Generation

    lm = LM.wrap(zoo.build("llama"), zoo.tokenizer())
    seen = Item("seen", "Which?", ("box", "bag"), 0, images=("x.png",))
    for scorer in (Likelihood(), Generation()):
        with pytest.raises(StimulusError, match=r"1 picture.* has no processor to see them with"):
            scorer(lm, [seen])
