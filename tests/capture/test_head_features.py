"""Features of reasoning probes against plain loops over eager's whole maps."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch

import zoo
from broca.capture.head_features import features
from broca.errors import StimulusError, UnknownName
from broca.specs.pooling import PRESETS, Pooling, pooling

TEXTS = ("ab cd ef? gh", "a. bcd. what", "one two three four. five", "xz y")
SPANS = [[(0, 2), (3, 5), (6, 8)], [(0, 2), (3, 7)], [(0, 3), (4, 7), (8, 13), (14, 19)], [(0, 2)]]
QUERIES = [(9, 12), (8, 12), (20, 24), (3, 4)]


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


@pytest.fixture(scope="module")
def whole():
    """``(layer, head, query, key)`` of each text alone, from eager attention, by whether a BOS is in front."""
    eager = zoo.lm("llama", attention="eager")

    def attention(ids):
        seen = eager.model(torch.tensor([ids]), output_attentions=True).attentions
        return torch.stack(seen)[:, 0].double().detach().numpy()

    ids = [tokens.ids for tokens in eager.tokenize(TEXTS)]
    return {"with": [attention(own) for own in ids], "without": [attention(own[1:]) for own in ids]}


def by_hand(full, spans, query, how):
    """One text's ``(layer, head, span)``, by loops."""
    bos = int(how.bos == "with")
    spans = [(spans[0][0] + how.skip, spans[0][1]), *spans[1:]]
    rows = full[:, :, query[0] + bos : query[1] + bos]
    rows = rows[:, :, -1:] if how.query == "last" else rows
    steps = {
        "query": lambda x: {"last": x[:, :, -1], "max": x.max(2), "mean": x.mean(2)}[how.query],
        "heads": lambda x: x.mean(1, keepdims=True) if how.heads == "mean" else x,
        "span": lambda x: np.stack([getattr(x[..., a + bos : b + bos], how.span)(-1) for a, b in spans], -1),
    }
    for step in how.order:
        rows = steps[step](rows)
    return rows / rows.max() if how.scale == "example" else rows


WAYS = [
    Pooling(query, span, heads, order)
    for query, span, heads, order in product(
        ("last", "max", "mean"), ("mean", "sum", "max"), ("kept", "mean"), permutations(("query", "span", "heads"))
    )
]


@pytest.mark.parametrize(
    "how",
    [*WAYS, *PRESETS.values(), Pooling(bos="without"), Pooling("mean", "max", skip=1)],
    ids=lambda how: f"{how.query}-{how.span}-{how.heads}-{how.order}-{how.bos}-{how.skip}",
)
def test_every_pooling_in_every_order_equals_loops_over_eagers_maps(lm, whole, how):
    found = features(lm, TEXTS, SPANS, queries=QUERIES, pooling=how, size=3)
    for i, full in enumerate(whole[how.bos]):
        np.testing.assert_allclose(found.of(i), by_hand(full, SPANS[i], QUERIES[i], how), atol=1e-6)


def test_rows_say_which_text_and_statement_they_are(lm):
    found = features(lm, TEXTS, SPANS)
    assert found.values.shape == (10, 3, 4)
    assert found.text.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]
    assert found.span.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3, 0]
    assert found.values.dtype == np.float32


def test_chosen_layers_and_heads_come_in_the_order_asked(lm):
    every = features(lm, TEXTS, SPANS, queries=QUERIES)
    some = features(lm, TEXTS, SPANS, queries=QUERIES, layers=[2, 0], heads=[3, 1])
    np.testing.assert_allclose(some.values, every.values[:, [2, 0]][:, :, [3, 1]], atol=1e-6)


def test_blocks_of_queries_and_batches_do_not_show(lm, monkeypatch):
    how = Pooling("mean", "mean")
    every = features(lm, TEXTS, SPANS, queries=QUERIES, pooling=how)
    monkeypatch.setattr("broca.models.rows._CELLS", 90)
    told = []
    cut = features(lm, TEXTS, SPANS, queries=QUERIES, pooling=how, size=2, progress=lambda *n: told.append(n))
    np.testing.assert_allclose(cut.values, every.values, atol=1e-6)
    assert told == [(2, 4), (4, 4)]


def test_a_class_that_bypasses_the_interface_gives_the_same_features():
    own, eager = zoo.lm("gptj"), zoo.lm("gptj", attention="eager")
    batch = next(eager.batches(eager.tokenize([TEXTS[2]])))
    full = torch.stack(eager.call(batch, output_attentions=True).attentions)[:, 0].double().numpy()
    how = PRESETS["llama-paper"]
    found = features(own, TEXTS[1:3], SPANS[1:3], queries=QUERIES[1:3], pooling=how)
    np.testing.assert_allclose(found.of(1), by_hand(full, SPANS[2], QUERIES[2], how), atol=1e-6)


def test_only_the_rows_asked_for_are_ever_computed(lm, monkeypatch):
    from broca.models import tap

    seen, plain = [], tap.probabilities

    def counted(query, key, mask, at, **more):
        seen.append(at.shape[1])
        return plain(query, key, mask, at, **more)

    features(lm, TEXTS, SPANS)  # the proof of the tap, which looks at all rows of a probe, is behind us
    monkeypatch.setattr(tap, "probabilities", counted)
    features(lm, TEXTS, SPANS, queries=QUERIES, pooling=PRESETS["llama-code"])
    assert set(seen) == {4}
    seen.clear()
    features(lm, TEXTS, SPANS, queries=QUERIES)
    assert set(seen) == {1}


def test_what_lies_beyond_the_context_is_refused_by_name(lm):
    long = "x" * 124 + " abcd end"
    with pytest.raises(
        StimulusError, match=r"theory 7: statement 2 ends at token 130, and the model has positions for 128"
    ):
        features(lm, ["short", long], [[(0, 1)], [(0, 4), (125, 129)]], names=["theory 6", "theory 7"])
    with pytest.raises(StimulusError, match=r"Text 0: the question ends at token 134"):
        features(lm, [long], [[(0, 4)]], queries=[(130, 133)])
    with pytest.raises(StimulusError, match=r"Text 0 has 134 tokens"):
        features(lm, [long], [[(0, 4)]], queries=[(5, 8)])


def test_what_cannot_be_found_is_refused_by_name(lm):
    with pytest.raises(StimulusError, match=r"Text 0: statement 1 \(characters 40 to 50\) holds no token"):
        features(lm, ["short"], [[(40, 50)]])
    with pytest.raises(
        StimulusError, match=r"Text 1: its first statement is 1 tokens long, and the pooling leaves out 1"
    ):
        features(lm, ["short", "a b"], [[(0, 3)], [(0, 1), (2, 3)]], pooling=PRESETS["llama-code"])
    with pytest.raises(StimulusError, match="skip is -1"):
        Pooling(skip=-1)
    with pytest.raises(StimulusError, match="each once"):
        Pooling(order=("query", "query", "span"))
    with pytest.raises(UnknownName, match="Did you mean 'gpt2-paper'"):
        pooling("gpt2-papr")
    assert pooling("llama-code") is pooling(PRESETS["llama-code"])


def test_statements_are_found_behind_a_chat_template():
    lm = zoo.lm("llama")
    lm.tokenizer = zoo.tokenizer().__class__(tokenizer_object=lm.tokenizer.backend_tokenizer, bos_token="<bos>")
    lm.tokenizer.chat_template = "{% for m in messages %}Q: {{ m.content }}{% endfor %} A:"
    chat = features(lm, TEXTS[:1], SPANS[:1], chat="always")
    plain = features(lm, ["Q: " + TEXTS[0] + " A:"], [[(a + 3, b + 3) for a, b in SPANS[0]]])
    np.testing.assert_allclose(chat.values, plain.values, atol=1e-6)
    lm.tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(StimulusError, match="template changes the text"):
        features(lm, TEXTS[:1], SPANS[:1], chat="always")
