"""What notebooks ask of one text: activations, lens and patterns, each against the model asked by hand."""

from __future__ import annotations

import copy

import pytest
import torch

import broca
import zoo
from broca.errors import SelectionError, SiteUnavailable, StimulusError
from broca.items import Message
from broca.models.lm import LM
from broca.sites import Site

TEXT = "the box is red"


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def hidden(lm, text):
    ids = torch.tensor([lm.tokenizer(text).input_ids])
    with torch.no_grad():
        return lm.model(input_ids=ids, output_hidden_states=True)


def test_activations_are_those_of_every_token_with_its_text(lm):
    found = broca.capture(lm, TEXT, "1.resid_post")
    assert found.tokens == ("<bos>", *TEXT)
    assert torch.allclose(found.values, hidden(lm, TEXT).hidden_states[2][0], atol=1e-5)
    frame = found.frame()
    assert frame.columns == ["position", "token", "unit", "value"]
    assert frame.row(32 * 3 + 5) == (3, TEXT[2], 5, pytest.approx(float(found.values[3, 5])))
    norms = found.norms()
    assert norms["norm"].to_list() == pytest.approx(found.values.norm(dim=1).tolist())
    assert norms["largest"][2] == int(found.values[2].abs().argmax())
    assert len(found.plot().to_dict()["datasets"]) > 0
    assert "1.resid_post: 15 tokens of 32 units" in found._repr_html_()
    assert "3 more" in found._repr_html_()


def test_several_sites_of_a_chat_under_what_is_in_force(lm):
    several = broca.capture(lm, TEXT, ["0.z", Site(2, "resid_post")])
    assert list(several) == [Site(0, "z"), Site(2, "resid_post")]
    with lm.under(broca.Lesion("0.1")):
        lesioned = broca.capture(lm, TEXT, "0.z")
    assert torch.equal(lesioned.values[:, :8], several[Site(0, "z")].values[:, :8])
    assert not lesioned.values[:, 8:16].any()


@pytest.mark.parametrize(
    ("site", "error", "message"),
    [
        ("9.resid_post", SiteUnavailable, "9.resid_post"),
        ("0.nonsense", SiteUnavailable, "nonsense"),
        ("0.vision", SiteUnavailable, "patches of pictures are no tokens"),
    ],
)
def test_sites_that_are_not_there(lm, site, error, message):
    with pytest.raises(error, match=message):
        broca.capture(lm, TEXT, site)


def test_the_lens_ends_in_what_the_model_says(lm):
    out = hidden(lm, TEXT)
    chances = out.logits[0].softmax(-1)
    found = broca.lens(lm, TEXT, top=2, answer="q")
    last = found.likeliest.filter(layer=2)
    best = chances.topk(2)
    assert last["probability"].to_list() == pytest.approx(best.values.flatten().tolist(), rel=1e-4)
    assert last["says"].to_list() == [lm.tokenizer.decode([i]) for i in best.indices.flatten().tolist()]
    assert last["rank"].to_list() == [1, 2] * 15
    first = lm.model.lm_head(lm.model.model.norm(out.hidden_states[1][0])).softmax(-1)
    answer, q = found.frame(), lm.tokenizer("q", add_special_tokens=False).input_ids[0]
    own = answer.filter(layer=0)
    assert own["probability"].to_list() == pytest.approx(first[:, q].tolist(), rel=1e-3)
    assert own["rank"].to_list() == [1 + int((row > row[q]).sum()) for row in first]
    assert answer.height == 3 * 15
    rows = next(iter(found.plot().to_dict()["datasets"].values()))
    assert [row["value"] for row in rows] == answer["probability"].to_list()
    assert "after the last token" in found._repr_html_()
    plain = broca.lens(lm, TEXT)
    assert plain.answer is None
    assert plain.frame() is plain.likeliest
    assert plain.likeliest["rank"].max() == 5
    assert plain.plot().to_dict()


def test_a_lens_of_nothing_is_refused(lm):
    with pytest.raises(StimulusError, match="top is 0"):
        broca.lens(lm, TEXT, top=0)
    with pytest.raises(StimulusError, match="The answer '' has no token"):
        broca.lens(lm, TEXT, answer="")


def test_patterns_are_those_of_eager_attention(lm):
    eager = zoo.build("llama", attention="eager")
    ids = torch.tensor([lm.tokenizer(TEXT).input_ids])
    with torch.no_grad():
        expected = eager(input_ids=ids, output_attentions=True).attentions
    found = broca.patterns(lm, TEXT, "0.1, 0.3, 2.0")
    assert list(found.values) == ["0.1", "0.3", "2.0"]
    for head, pattern in found.values.items():
        layer, number = map(int, head.split("."))
        assert torch.allclose(pattern, expected[layer][0, number], atol=1e-5)
    frame = found.frame()
    assert frame.height == 3 * 15 * 16 // 2
    assert frame.filter(head="0.3", query=4).row(2) == (
        "0.3",
        4,
        " ",
        2,
        "h",
        pytest.approx(float(expected[0][0, 3, 4, 2])),
    )
    assert len(found.plot().to_dict()["concat"]) == 3
    assert "from the last token" in found._repr_html_()
    mask = broca.UnitMask.heads("2.0", n_heads=4)
    assert torch.equal(broca.patterns(lm, TEXT, mask).values["2.0"], found.values["2.0"])


@pytest.mark.parametrize(
    ("heads", "message"), [("0.7", r"There is no head 0\.7"), ("8.0", r"no head 8\.0"), ("0.z:1", "chooses none")]
)
def test_heads_that_are_not_there(lm, heads, message):
    with pytest.raises(SelectionError, match=message):
        broca.patterns(lm, TEXT, heads)


# ---- one text instead of a list


CHAT = (Message("user", "hi"),)
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}"


def test_one_text_gives_one_answer(lm):
    assert lm.tokenize("a b") == lm.tokenize(["a b"])[0]
    assert lm.pieces(lm.tokenize("a b")) == ("<bos>", "a", " ", "b")
    assert lm.generate("a b", max_new_tokens=3) == lm.generate(["a b"], max_new_tokens=3)[0]
    long, short = lm.logits([TEXT, "a"])
    assert torch.allclose(long, hidden(lm, TEXT).logits[0], atol=1e-5)
    assert torch.allclose(short, hidden(lm, "a").logits[0], atol=1e-5)
    assert torch.allclose(lm.logits(TEXT), long, atol=1e-6)


def test_the_messages_of_a_chat_are_one_text():
    tokenizer = copy.deepcopy(zoo.tokenizer())
    tokenizer.chat_template = TEMPLATE
    lm = LM.wrap(zoo.build("llama"), tokenizer)
    dictionaries = [{"role": "user", "content": "hi"}]
    assert lm.tokenize(CHAT) == lm.tokenize([CHAT])[0] == lm.tokenize(dictionaries)
    assert lm.tokenize(CHAT).text == "user: hi"
    assert lm.generate(dictionaries, max_new_tokens=2) == lm.generate([CHAT], max_new_tokens=2)[0]
    assert lm.tokenize([]) == []


def test_a_model_shows_itself(lm):
    with lm.under(broca.Lesion("0.1")):
        page = lm._repr_html_()
    assert "llama (LlamaForCausalLM)" in page
    assert "3, 4 (2 key-value), 32" in page
    assert "Lesion" in page
    lm.notes.append("<i>odd</i>")
    assert "&lt;i&gt;odd" in lm._repr_html_()
    lm.notes.clear()
