"""What a model is shown when something about it is to be proved: words where its tokenizer has some, and never what is no text."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import lists
import zoo
from broca.models.lm import LM
from broca.models.miniatures import tiny
from broca.models.wiring.dissection import dissect
from broca.models.wiring.plain_text import TOKENS, plain_texts

PROSE = (
    "the river runs under a bridge and the baker sells bread while children walk home from school with their mother "
    * 3
)
WORDS = set(PROSE.split())


def model(size, **more):
    ids = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": min(1, size - 1)}
    config = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24} | ids | more
    return LlamaForCausalLM(LlamaConfig(vocab_size=size, **config)).eval()


def byte_level():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([PROSE], trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


def pieces():
    scored = [
        ("<unk>", 0.0),
        *((f"\u2581{word}", -2.0) for word in sorted(WORDS)),
        *((letter, -9.0) for letter in "\u2581abcdefgh"),
    ]
    made = Tokenizer(models.Unigram(scored, unk_id=0))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def word_pieces():
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    unused = [f"[unused{i}]" for i in range(30)]
    made.train_from_iterator(
        [PROSE], trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[CLS]", *unused])
    )
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", cls_token="[CLS]")


@pytest.mark.parametrize("make", [byte_level, pieces, word_pieces])
def test_texts_are_words_of_the_tokenizer(make):
    tokenizer = make()
    found = plain_texts(model(len(tokenizer)), tokenizer)
    assert [len(ids) for ids in found] == [TOKENS, TOKENS]
    assert found[0] != found[1]
    for ids in found:
        said = tokenizer.decode(ids, skip_special_tokens=True).split()[:-1]  # the last one may be cut
        assert sum(word in WORDS for word in said) > 0.5 * len(said) > 2
    assert found == plain_texts(model(len(tokenizer)), tokenizer)


def test_a_text_begins_as_the_tokenizer_begins_it():
    tokenizer = byte_level()
    assert all(ids[0] == tokenizer.bos_token_id for ids in plain_texts(model(len(tokenizer)), tokenizer))


@pytest.mark.parametrize("tokenizer", [zoo.tokenizer, lambda: lists.reader().tokenizer], ids=["letters", "numbers"])
def test_without_words_whatever_can_be_read_is_shown(tokenizer):
    own = tokenizer()
    for ids in plain_texts(model(len(own)), own):
        assert not {"<unk>", "<eos>", "<pad>"} & set(own.convert_ids_to_tokens(ids))
        assert len(set(ids)) >= 8


class Broken:
    all_special_ids = (0,)

    def __len__(self):
        return 50

    def decode(self, ids):
        raise NotImplementedError

    __call__ = decode


@pytest.mark.parametrize("tokenizer", [None, Broken()], ids=["none", "broken"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 20, 1000, 49_152])
def test_ids_are_spread_over_the_vocabulary(size, tokenizer):
    found = (
        plain_texts(model(20) if size > 1000 else model(size), tokenizer) if size <= 1000 else spread(size, tokenizer)
    )
    ids = [i for text in found for i in text]
    assert all(0 <= i < size for i in ids)
    assert len(set(ids)) >= min(len(ids), max(1, size - 3))
    if size >= 1000:
        assert max(ids) - min(ids) > 0.9 * size
        assert min(ids) >= 3


def spread(size, tokenizer):
    with torch.device("meta"):
        return plain_texts(model(size), tokenizer)


def test_ids_beyond_the_embedding_are_never_shown():
    tokenizer = byte_level()
    assert all(i < 300 for ids in plain_texts(model(300), tokenizer) for i in ids)


def test_what_stands_for_pictures_is_no_text():
    pictured = tiny("llava", "image")
    shown = {i for ids in plain_texts(pictured) for i in ids}
    assert pictured.config.image_token_id not in shown


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [3, 20])
def test_the_smallest_vocabularies_are_proved(size, dtype):
    torch.manual_seed(0)
    made = model(size, initializer_range=0.5)
    assert dissect(made.to(dtype)).blocks[0].identity == "post = pre + self_attn + mlp"


def test_a_tokenizer_that_fails_costs_no_proof():
    assert LM.wrap(zoo.build("llama"), Broken()).anatomy.blocks[0].attn_out == "self_attn"
