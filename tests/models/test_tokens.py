"""One BOS, no appended EOS, spans by character, positions for either side, pooling that padding cannot touch."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import zoo
from broca.errors import StimulusError
from broca.items import Message
from broca.models.pool import Pool, pool_tokens
from broca.models.tokens import Tokens, batches, pad_tokens, tokenize

CORPUS = ["Sally puts the ball in the basket.", "Ça va? Où est le café?", "猫が好き 🐱🐱 and the ball 🧑‍🚀"]
TEXT = "The 🐱 sat; Ça 🧑‍🚀 猫!"
CHAT = (Message("system", "Be brief."), Message("user", "Where is it?"))
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@cache
def byte_level(processor="<bos> $A"):
    """A byte-level BPE tokenizer, trained here."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<bos>", "<eos>"]
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    if processor:
        pairs = [("<bos>", 1), ("<eos>", 2)]
        made.post_processor = processors.TemplateProcessing(single=processor, special_tokens=pairs)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")


@pytest.fixture
def templated():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level().backend_tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


class Slow:
    """A tokenizer without character offsets."""

    is_fast = False
    bos_token_id, eos_token_id, all_special_ids = 1, 2, (1, 2)

    def __call__(self, texts, *, add_special_tokens=True, **_):
        front, behind = ([1], [2]) if add_special_tokens else ([], [])
        return {"input_ids": [[*front, *map(ord, text), *behind] for text in texts]}


# -- special tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["the ball", "<bos>the ball", "<bos><bos>the ball"])
def test_exactly_one_bos(text):
    (tokens,) = tokenize(byte_level(), [text])
    assert tokens.ids.count(1) == 1
    assert tokens.ids[0] == 1
    assert tokens.prefix == 1
    assert tokens.ids == tokenize(byte_level(), ["the ball"])[0].ids


def test_a_template_that_writes_bos_does_not_double_it(templated):
    for chat, text in (("auto", CHAT), ("always", "Where is it?")):
        (tokens,) = tokenize(templated, [text], chat=chat)
        assert tokens.ids.count(1) == 1
        assert tokens.text.startswith("<bos>")
        assert tokens.text.endswith("Where is it?<assistant>")


def test_a_chat_in_dictionaries_is_a_chat(templated):
    turns = [{"role": message.role, "content": message.content} for message in CHAT]
    assert tokenize(templated, [turns]) == tokenize(templated, [CHAT])
    with pytest.raises(StimulusError, match="A message of a chat is"):
        tokenize(templated, [[{"role": "user"}]])


def test_chat_is_used_when_asked_for(templated):
    plain, never = tokenize(templated, ["Where is it?"])[0], tokenize(templated, [CHAT], chat="never")[0]
    assert plain.text == "Where is it?"
    assert never.text == "Be brief.\n\nWhere is it?"
    with pytest.raises(StimulusError, match="no chat template"):
        tokenize(byte_level(), [CHAT])


def test_appended_eos_is_dropped_and_written_eos_kept():
    both = byte_level("<bos> $A <eos>")
    assert tokenize(both, ["the ball"])[0].ids == tokenize(byte_level(), ["the ball"])[0].ids
    (written,) = tokenize(both, ["the ball<eos>"])
    assert written.ids.count(2) == 1
    assert written.ids[-1] == 2
    assert tokenize(Slow(), ["ab"])[0].ids == (1, 97, 98)


def test_a_tokenizer_without_bos_gets_none():
    (tokens,) = tokenize(byte_level(""), ["the ball"])
    assert 1 not in tokens.ids
    assert tokens.prefix == 0


def test_empty_text():
    assert tokenize(byte_level(), [""])[0].ids == (1,)
    with pytest.raises(StimulusError, match="gives no tokens"):
        tokenize(byte_level(""), ["fine", ""])
    assert tokenize(byte_level(), []) == []


def test_truncation_keeps_the_start():
    whole, cut = tokenize(byte_level(), [TEXT])[0], tokenize(byte_level(), [TEXT], truncate=4)[0]
    assert cut.ids == whole.ids[:4]
    assert cut.offsets == whole.offsets[:4]


def test_a_text_is_tokenised_alone():
    texts = [TEXT, "the", "<bos>in the basket"]
    assert tokenize(byte_level(), texts) == [tokenize(byte_level(), [text])[0] for text in texts]


# -- spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", ["The", "🐱", "sat", "Ça", "🧑‍🚀", "猫", "!"])
def test_spans_find_every_byte_of_their_characters(piece):
    tokenizer = byte_level()
    (tokens,) = tokenize(tokenizer, [TEXT])
    start = TEXT.index(piece)
    found = tokens.covering((start, start + len(piece)))
    assert piece in tokenizer.decode([tokens.ids[i] for i in found])
    assert 0 not in found
    outside = [i for i in range(1, len(tokens)) if i not in found]
    assert piece not in tokenizer.decode([tokens.ids[i] for i in outside])


@given(st.text(alphabet="aé猫🐱 .", min_size=1, max_size=12), st.data())
def test_spans_are_contiguous_and_cover(text, data):
    (tokens,) = tokenize(byte_level(), [text])
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    found = tokens.covering((start, end))
    assert list(found) == list(range(found[0], found[-1] + 1))
    assert tokens.offsets[found[0]][0] <= start
    assert tokens.offsets[found[-1]][1] >= end
    assert tokens.covering((0, len(text))) == tuple(range(1, len(tokens)))


def test_spans_that_hold_nothing_are_refused():
    (tokens,) = tokenize(byte_level(), ["ball"])
    with pytest.raises(StimulusError, match="hold no token"):
        tokens.covering((4, 9))
    for span in ((2, 2), (3, 1), (-1, 2)):
        with pytest.raises(StimulusError, match="no span of characters"):
            tokens.covering(span)
    with pytest.raises(StimulusError, match="no character offsets"):
        tokenize(Slow(), ["ball"])[0].covering((0, 1))


# -- batches ---------------------------------------------------------------------------------------------------------


def test_positions_and_masks_for_both_sides():
    tokens = [Tokens((5, 6, 7, 8), "abcd"), Tokens((9, 3), "ef")]
    left, right = pad_tokens(tokens, (0, 1), 0), pad_tokens(tokens, (0, 1), 0, side="right")
    assert left.ids.tolist() == [[5, 6, 7, 8], [0, 0, 9, 3]]
    assert left.mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert left.positions.tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert (left.start.tolist(), left.last.tolist()) == ([0, 2], [3, 3])
    assert right.ids.tolist() == [[5, 6, 7, 8], [9, 3, 0, 0]]
    assert right.positions[1, :2].tolist() == [0, 1]
    assert (right.start.tolist(), right.last.tolist()) == ([0, 0], [3, 1])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 7), st.sampled_from(["left", "right"]))
def test_batches_hold_every_text_once_longest_first(lengths, size, side):
    tokens = [Tokens(tuple(range(10 * i, 10 * i + n)), "") for i, n in enumerate(lengths)]
    made = list(batches(tokens, size, 0, side=side))
    assert sorted(i for batch in made for i in batch.index) == list(range(len(lengths)))
    assert [lengths[i] for batch in made for i in batch.index] == sorted(lengths, reverse=True)
    for batch in made:
        assert len(batch) <= size
        for row, i in enumerate(batch.index):
            real = batch.mask[row].bool()
            assert tuple(batch.ids[row][real].tolist()) == tokens[i].ids
            assert batch.positions[row][real].tolist() == list(range(lengths[i]))
            assert int(batch.ids[row, batch.last[row]]) == tokens[i].ids[-1]
            assert int(batch.ids[row, batch.start[row]]) == tokens[i].ids[0]


# -- pooling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("pool", "chosen"),
    [
        (Pool(), [[5], [3]]),
        (Pool("mean"), [[1, 2, 3, 4, 5], [1, 2, 3]]),
        (Pool("mean", bos="with"), [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3]]),
        (Pool("mean", sinks=2), [[3, 4, 5], [3]]),
        (Pool("mean", bos="with", sinks=1), [[1, 2, 3, 4, 5], [1, 2, 3]]),
        (Pool("span"), [[2, 3], [1]]),
        (Pool("span", sinks=2), [[3], [3]]),
    ],
)
def test_pools_average_the_tokens_they_name(pool, chosen, side):
    spans = [(1, 3), (0, 1) if pool.sinks == 0 else (2, 3)]
    tokens = tokenize(zoo.tokenizer(), ["abcde", "fgh"])
    batch = pad_tokens(tokens, (0, 1), 0, side=side)
    values = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    weights = pool.weights(batch, spans)
    ours = pool_tokens(values, weights)
    for row, at in enumerate(chosen):
        start = int(batch.start[row])
        assert torch.allclose(ours[row], values[row, [start + i for i in at]].mean(0), atol=1e-6)
    assert torch.allclose(weights.sum(1), torch.ones(2))
    assert not weights[batch.mask == 0].any()


@pytest.mark.parametrize("filler", [float("nan"), float("inf")])
def test_padding_never_counts_whatever_it_holds(filler):
    tokens = tokenize(zoo.tokenizer(), ["abcde", "fgh"])
    for side in ("left", "right"):
        batch = pad_tokens(tokens, (0, 1), 0, side=side)
        values = torch.randn(2, 6, 4)
        expected = pool_tokens(values, Pool("mean").weights(batch))
        values[batch.mask == 0] = filler
        assert torch.equal(pool_tokens(values, Pool("mean").weights(batch)), expected)
        last = pool_tokens(values, Pool().weights(batch), last=batch.last)
        assert torch.equal(last[1], values[1, 5 if side == "left" else 3])


def test_pooling_is_float32_or_wider():
    batch = pad_tokens(tokenize(zoo.tokenizer(), ["abc"]), (0,), 0)
    weights = Pool("mean").weights(batch)
    for dtype, wide in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert pool_tokens(torch.ones(1, 4, 2, dtype=dtype), weights).dtype == wide
    values = np.float64(1) + torch.arange(4, dtype=torch.float64)[None, :, None] * 1e-12
    assert float(pool_tokens(values, weights, last=batch.last)[0, 0]) == 1 + 3e-12


def test_pools_with_nothing_left_are_refused():
    batch = pad_tokens(tokenize(zoo.tokenizer(), ["ab"]), (0,), 0)
    with pytest.raises(StimulusError, match="Nothing is left to pool"):
        Pool("mean", sinks=2).weights(batch)
    with pytest.raises(StimulusError, match="needs a span"):
        Pool("span").weights(batch)
