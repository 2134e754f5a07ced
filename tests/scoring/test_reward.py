"""Reward models: real classifiers built tiny, their logits against transformers' own, one BOS, padding, memory, the record."""

from __future__ import annotations

import sqlite3

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

import zoo
from broca.errors import BrocaError, ModelError, RunError, StimulusError
from broca.models.fitting import in_parts
from broca.models.reward import RewardModel
from broca.scoring.completions import Completion, score_differences, score_summary
from broca.scoring.reward import REWARD_SCHEMA, rewards

PAIRS = [("What is 1 + 1?", " 2"), ("Say hello, please.", "hello to you and to all of yours"), ("Why?", "")]
TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
COMPLETIONS = [
    Completion(str(i), kind, f"What is {i}?", f"{word} {i}", f"wording {i % 3}")
    for kind, word in (("clean", "it is"), ("swap", "ti is"), ("missing", "it s"))
    for i in range(6)
]


def saved(model, tokenizer, path):
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3, generator=draw)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def segmented():
    """A character tokenizer with marks for two segments."""
    marks = ["<pad>", "<cls>", "<sep>", "<unk>"]
    made = Tokenizer(
        WordLevel({token: i for i, token in enumerate([*marks, *map(chr, range(32, 127))])}, unk_token="<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.post_processor = processors.TemplateProcessing(
        single="<cls> $A <sep>", pair="<cls> $A <sep> $B:1 <sep>:1", special_tokens=[("<cls>", 1), ("<sep>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        cls_token="<cls>",
        sep_token="<sep>",
        unk_token="<unk>",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    config = BertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, num_labels=1,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    return saved(BertForSequenceClassification(config), segmented(), tmp_path_factory.mktemp("encoder"))


def decoder(path, *, template=None, pad=0, labels=1):
    tokenizer = zoo.tokenizer.__wrapped__()
    tokenizer.chat_template = template
    config = LlamaConfig(**zoo.LLAMA | {"pad_token_id": pad}, num_labels=labels, tie_word_embeddings=False)
    return saved(LlamaForSequenceClassification(config), tokenizer, path)


def by_hand(model, ids, **more):
    """The logit of one row, by transformers alone."""
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids]), **more).logits[0, 0])


def test_an_encoder_reads_two_segments(encoder):
    model = RewardModel.load(encoder)
    assert model.form == "segments"
    found = model.logits(PAIRS)
    for (question, answer), logit in zip(PAIRS, found, strict=True):
        ids = [4 + ord(each) - 32 for each in answer]
        first = [1, *(4 + ord(each) - 32 for each in question), 2]
        kinds = torch.tensor([[0] * len(first) + [1] * (len(ids) + 1)])
        assert logit.value == pytest.approx(by_hand(model.model, [*first, *ids, 2], token_type_ids=kinds), abs=1e-5)
        assert not logit.truncated
    assert len({round(each.value, 4) for each in found}) == 3


def test_a_decoder_with_a_template_has_one_bos(tmp_path):
    model = RewardModel.load(decoder(tmp_path, template=TEMPLATE))
    assert model.form == "template"
    text = f"[user]{PAIRS[1][0]}<eos>[assistant]{PAIRS[1][1]}<eos>"
    ids = [1, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert ids.count(1) == 1
    assert ids[-1] == 2
    assert model.logits(PAIRS)[1].value == pytest.approx(by_hand(model.model, ids), abs=1e-5)


@pytest.mark.parametrize("pad", [0, None])
def test_a_decoder_without_a_template_and_padding_changes_nothing(tmp_path, pad):
    model = RewardModel.load(decoder(tmp_path, pad=pad))
    assert model.form == "joined"
    together = model.logits(PAIRS)
    for pair, logit in zip(PAIRS, together, strict=True):
        ids = model.tokenizer(f"{pair[0]}\n{pair[1]}")["input_ids"]
        assert ids.count(1) == 1
        assert logit.value == pytest.approx(by_hand(model.model, ids), abs=1e-5)
        assert model.logits([pair])[0].value == pytest.approx(logit.value, abs=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_long_pairs_are_cut_and_say_so(encoder, tmp_path, kind):
    model = RewardModel.load(encoder if kind == "encoder" else decoder(tmp_path))
    model.tokenizer.model_max_length = 40
    long, short = model.logits([("Why?", "because " * 30), ("Why?", "So.")])
    assert long.truncated
    assert not short.truncated


def test_several_outputs_need_a_name(tmp_path):
    path = decoder(tmp_path, labels=3)
    with pytest.raises(ModelError, match="has the outputs LABEL_0, LABEL_1, LABEL_2, and none is named"):
        RewardModel.load(path)
    with pytest.raises(ModelError, match="'fine' is asked for"):
        RewardModel.load(path, label="fine")
    one, two = (RewardModel.load(path, label=label) for label in ("LABEL_0", "LABEL_2"))
    assert one.logits(PAIRS)[0].value != two.logits(PAIRS)[0].value
    assert one.fingerprint != two.fingerprint


def test_a_model_without_such_a_head_is_refused():
    with pytest.raises(ModelError, match="weights are not in the files"):
        RewardModel.load("beliefs")


def test_memory_that_runs_out_halves_the_batch(encoder, monkeypatch):
    model = RewardModel.load(encoder)
    model.batch_size = 4
    whole, sizes = model.logits(PAIRS * 2), []
    values = model._values

    def tight(rows):
        sizes.append(len(rows))
        if len(rows) > 1:
            raise torch.OutOfMemoryError
        return values(rows)

    monkeypatch.setattr(model, "_values", tight)
    assert [each.value for each in model.logits(PAIRS * 2)] == pytest.approx([each.value for each in whole], abs=1e-5)
    assert sizes[:3] == [4, 2, 1]
    assert set(sizes[2:]) == {1}


def test_a_row_that_does_not_fit_is_told():
    def step(rows):
        raise torch.OutOfMemoryError

    with pytest.raises(BrocaError, match="Out of memory on text 1"):
        in_parts([1, 2, 3], step, size=2)
    with pytest.raises(BrocaError, match="0 texts a batch make no progress"):
        in_parts([1, 2, 3], step, size=0)


def test_rows_and_the_record(encoder, tmp_path, monkeypatch):
    model = RewardModel.load(encoder)
    bare = rewards(model, COMPLETIONS)
    assert bare.schema == REWARD_SCHEMA
    assert bare["row_id"].to_list() == [one.id for one in COMPLETIONS]
    assert bare["raw_score"][0] == pytest.approx(model.logits([("What is 0?", "it is 0")])[0].value, abs=1e-5)
    assert bare["prompt_hash"].n_unique() == 6
    assert bare["completion_hash"].n_unique() == 18
    cache = tmp_path / "rewards.sqlite"
    first = rewards(model, COMPLETIONS[:9], cache=cache)
    asked = []
    logits = model.logits
    monkeypatch.setattr(model, "logits", lambda pairs: asked.extend(pairs) or logits(pairs))
    again = rewards(model, COMPLETIONS, cache=cache)
    assert len(asked) == 9
    assert again[:9].equals(first)
    assert rewards(model, COMPLETIONS, cache=cache).equals(again)
    assert len(asked) == 9
    other = RewardModel.load(decoder(tmp_path / "other"))
    assert not rewards(other, COMPLETIONS, cache=cache)["raw_score"].equals(again["raw_score"])
    with sqlite3.connect(cache) as store:
        assert store.execute("SELECT count(*) FROM kept").fetchone() == (36,)
    store.close()


def test_the_same_pair_is_scored_once(encoder, monkeypatch):
    model, asked = RewardModel.load(encoder), []
    logits = model.logits
    monkeypatch.setattr(model, "logits", lambda pairs: asked.append(len(pairs)) or logits(pairs))
    twice = [Completion(str(i), "clean", "Why?", "So.") for i in range(5)]
    assert rewards(model, twice)["raw_score"].n_unique() == 1
    assert asked == [1]


def test_nothing_twice_and_a_cache_that_is_none(encoder, tmp_path):
    model = RewardModel.load(encoder)
    with pytest.raises(StimulusError, match="no completions to score"):
        rewards(model, [])
    with pytest.raises(StimulusError, match="have 1 ids and kinds"):
        rewards(model, [COMPLETIONS[0], COMPLETIONS[0]])
    (tmp_path / "no.sqlite").write_bytes(b"no database" * 200)
    with pytest.raises(RunError, match="Answers cannot be kept"):
        rewards(model, COMPLETIONS, cache=tmp_path / "no.sqlite")


# -- summed up -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rows():
    draw = np.random.default_rng(0)
    kinds = {"clean": 0.0, "swap": -1.0, "missing": 0.0}
    return pl.DataFrame(
        [
            {"row_id": str(i), "kind": kind, "group": f"g{i % 10}", "score": float(draw.normal(shift, 0.5))}
            for kind, shift in kinds.items()
            for i in range(40)
        ]
    )


def test_a_summary_against_scipy(rows):
    found = score_summary(rows, "score")
    assert found["kind"].to_list() == ["clean", "swap", "missing"]
    swap = rows.filter(kind="swap")["score"].to_numpy()
    told = stats.describe(swap)
    one = found.row(1, named=True)
    assert (one["n"], one["missing"]) == (40, 0)
    assert (one["min"], one["max"], one["mean"]) == pytest.approx((*told.minmax, told.mean))
    assert one["sd"] == pytest.approx(told.variance**0.5)
    assert [one[f"q{q:02d}"] for q in (5, 25, 50, 75, 95)] == pytest.approx(np.percentile(swap, (5, 25, 50, 75, 95)))


def test_differences_are_paired_by_row_and_corrected_over_kinds(rows):
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1).sort("kind", maintain_order=True)
    found = score_differences(shuffled, "score").sort("kind", descending=True)
    wide = rows.pivot("kind", index="row_id", values="score")
    gap = (wide["swap"] - wide["clean"]).to_numpy()
    one, other = found.row(0, named=True), found.row(1, named=True)
    assert one["kind"] == "swap"
    assert one["mean"] == pytest.approx(gap.mean())
    assert one["low"] < gap.mean() < one["high"] < 0
    assert one["worse"] == pytest.approx((gap < 0).mean())
    assert one["p"] < 0.01 < other["p"]
    assert one["p_holm"] == pytest.approx(2 * one["p"])
    assert other["p_holm"] == pytest.approx(other["p"])


def test_missing_scores_are_counted_never_read_as_zero(rows):
    holed = rows.with_columns(score=pl.when(pl.col("row_id").is_in(["0", "1"])).then(None).otherwise("score"))
    assert score_summary(holed, "score")["missing"].to_list() == [2, 2, 2]
    assert score_differences(holed, "score")["n"].to_list() == [38, 38]
    gone = rows.filter((pl.col("kind") != "clean") | pl.col("row_id").is_in(["0", "1", "2"]))
    assert score_differences(gone, "score")["missing"].to_list() == [37, 37]
    alone = rows.filter(row_id="3")
    assert score_differences(alone, "score").select("n", "p", "low").row(0) == (1, None, None)
    with pytest.raises(StimulusError, match="nothing to sum up"):
        score_summary(rows.clear(), "score")
    with pytest.raises(StimulusError, match="0 completions of the kind 'normal'"):
        score_differences(rows, "score", clean="normal")
