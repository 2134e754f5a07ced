"""What users met: texts that no check stopped, because each check stood at some doors only."""

from __future__ import annotations

from types import SimpleNamespace as Request

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

import zoo
from broca.capture.activations import capture
from broca.capture.gradient import attribution
from broca.capture.metrics import LogitDifference
from broca.capture.reduce import Moments
from broca.errors import BrocaError, GuardError, ModelError, StimulusError
from broca.instruments.localize.spec import Localize
from broca.instruments.selftest.checkup import checkup
from broca.instruments.sensitivity.spec import Sensitivity
from broca.items import Contrast, Item, Message, Stimulus
from broca.models.attention import attention_rows
from broca.models.lm import LM
from broca.models.miniatures import tiny
from broca.models.rendering import Frame
from broca.models.surprise import surprise
from broca.models.tokens import tokenize
from broca.scoring.generation import Generation
from broca.scoring.likelihood import Likelihood
from broca.sites import Site

pytestmark = pytest.mark.filterwarnings("ignore")

ITEMS = [Item(str(i), f"Where is Ann {i}?", ("box", "bag"), i % 2, "a") for i in range(6)]


@pytest.fixture
def lm():
    return zoo.lm("llama")


def contrast(*texts):
    return Contrast(
        "c", *(tuple(Stimulus(f"{side}{i}", f"{text} {i}") for i in range(6)) for side, text in enumerate(texts))
    )


DOORS = {
    "call": lambda lm, text: lm.call(lm.pad_batch(lm.tokenize([text]))),
    "next_logits": lambda lm, text: lm.next_logits(lm.pad_batch(lm.tokenize([text]))),
    "generate": lambda lm, text: lm.generate([text], max_new_tokens=2),
    "localize": lambda lm, text: Localize(contrast=contrast("x", text), sites="*.resid_post").run(lm),
    "capture": lambda lm, text: capture(lm, lm.tokenize([text]), [Site(0, "z")], Moments),
    "likelihood": lambda lm, text: Likelihood()(lm, [Item("1", text, ("a", "b"), 0)]),
    "generation": lambda lm, text: Generation(max_new_tokens=2)(lm, [Item("1", text, ("a", "b"), 0)]),
    "surprise": lambda lm, text: surprise(lm, lm.tokenize([text])),
    "attention": lambda lm, text: attention_rows(lm, lm.pad_batch(lm.tokenize([text]))),
    "gradients": lambda lm, text: attribution(lm, lm.tokenize([text]), [Site(0, "z")], LogitDifference(5, 6)),
}
"""Ways to show a model a text."""


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "mpt"])
def test_a_text_beyond_the_positions_is_refused_at_every_door(kind, door):
    lm = zoo.lm(kind)
    with pytest.raises(StimulusError, match="128"):
        DOORS[door](lm, "x y " * 40)
    DOORS[door](lm, "x y " * 25)


@pytest.mark.parametrize("door", DOORS)
def test_a_model_in_training_is_refused_at_every_door_and_evaluates_again_afterwards(lm, door):
    lm.model.config.attention_dropout = 0.5
    lm.model.train()
    with pytest.raises(GuardError, match="training mode"):
        DOORS[door](lm, "hello")
    lm.model.eval()
    DOORS[door](lm, "hello")


def test_a_part_with_dropout_in_training_is_found_and_one_without_is_no_matter(lm):
    lm.model.model.layers[1].mlp.train()
    DOORS["likelihood"](lm, "hello")
    lm.model.model.layers[1].mlp.drop = nn.Dropout(0.5).train()
    with pytest.raises(GuardError, match=r"model\.layers\.1\.mlp\.drop is in training mode"):
        DOORS["likelihood"](lm, "hello")


# -- tokens without an embedding -----------------------------------------------------------------------------------------


def longer(**added):
    tokenizer = zoo.tokenizer.__wrapped__()
    tokenizer.add_special_tokens(added)
    return tokenizer


def test_a_pad_token_beyond_the_embedding_pads_all_the_same():
    model = zoo.build("llama")
    tokenizer = longer(pad_token="[PAD]")
    assert tokenizer.pad_token_id >= len(model.get_input_embeddings().weight)
    lm, plain = LM.wrap(model, tokenizer), LM.wrap(model, zoo.tokenizer())
    texts = ["hi", "hello there"]
    assert lm.generate(texts, max_new_tokens=3) == plain.generate(texts, max_new_tokens=3)
    assert Likelihood()(lm, ITEMS)["logprobs"].to_list() == Likelihood()(plain, ITEMS)["logprobs"].to_list()
    assert not lm.notes


@pytest.mark.parametrize("door", DOORS)
def test_a_token_without_an_embedding_is_named_at_every_door(door):
    lm = LM.wrap(zoo.build("gpt2"), longer(additional_special_tokens=["<tool>"]))
    with pytest.raises(StimulusError, match=r"'<tool>' \(id 99\).*resize_token_embeddings\(100\)"):
        DOORS[door](lm, "hello <tool>")
    DOORS[door](lm, "hello")


# -- what a tokenizer puts around a text ---------------------------------------------------------------------------------


def framed(single, *special, template=None, **named):
    """One token a character, with these special tokens in front of the table and this frame around a text."""
    words = {token: i for i, token in enumerate(["<unk>", *special, *map(chr, range(32, 127))])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(one, words[one]) for one in special]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="<unk>",
        additional_special_tokens=list(special),
        chat_template=template,
        **named,
    )


FRAMES = [
    ("$A", (), ()),
    ("<s> $A", ("<s>",), ()),
    ("[gMASK] <sop> $A", ("[gMASK]", "<sop>"), ()),
    ("[CLS] $A [SEP]", ("[CLS]",), ("[SEP]",)),
    ("$A </s>", (), ("</s>",)),
    ("<a> <b> <c> $A <x> <y>", ("<a>", "<b>", "<c>"), ("<x>", "<y>")),
]


@pytest.mark.parametrize(("single", "front", "behind"), FRAMES)
def test_the_frame_is_found_by_asking_and_stands_once_whoever_writes_it(single, front, behind):
    template = "".join(front) + "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = framed(single, *front, *behind, template=template)
    frame = Frame.of(tokenizer)
    named = tokenizer.convert_ids_to_tokens([*frame.front, *frame.behind])
    assert named == [*front, *behind]
    plain, chat = tokenize(tokenizer, ["hi", (Message("user", "hi"),)])
    assert tokenizer.convert_ids_to_tokens(plain.ids) == [*front, "h", "i"]
    assert chat.ids == plain.ids
    assert chat.prefix == plain.prefix == len(front)


def test_what_a_template_writes_at_its_end_stays():
    template = "<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    (chat,) = tokenize(framed("<s> $A </s>", "<s>", "</s>", template=template), [(Message("user", "hi"),)])
    assert chat.ids[-1] == 2
    assert len(chat) == 4


def test_the_check_of_a_model_names_the_frame():
    lm = LM.wrap(tiny("llama"), framed("[gMASK] <sop> $A [END]", "[gMASK]", "<sop>", "[END]", pad_token="<unk>"))
    (guard,) = (guard for guard in checkup(lm) if guard.name == "one start")
    assert (
        guard.text == "Each text starts with [gMASK] <sop>, once; [END], which the tokenizer puts behind, is left out."
    )


REFUSING = [
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
    "{{ messages[0].content.upper().nothing() }}",
    "{% for m in messages %}{{ m['content'] + 1 }}{% endfor %}",
    "{{ messages[7].content }}",
    "{% if %}",
]


@pytest.mark.parametrize("template", REFUSING)
def test_a_chat_template_that_refuses_or_fails_is_told_in_a_sentence(template):
    lm = LM.wrap(zoo.build("llama"), framed("<s> $A", "<s>", template=template, pad_token="<unk>"))
    with pytest.raises(StimulusError, match=r"chat template .* this chat"):
        lm.generate([(Message("system", "be brief"), Message("user", "hi"))], max_new_tokens=2)


# -- choices that the tokenizer writes alike -----------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", [Likelihood(), Likelihood(norm="mean"), Likelihood(join="")], ids=repr)
@pytest.mark.parametrize("choices", [("١", "٢"), ("a", "b", "a "), ("é", "ü", "x")])
def test_choices_with_the_same_tokens_are_refused(lm, scorer, choices):
    tokenizer = zoo.tokenizer.__wrapped__()
    tokenizer.backend_tokenizer.normalizer = __import__("tokenizers").normalizers.Strip(left=False)
    lm.tokenizer = tokenizer
    with pytest.raises(StimulusError, match="same tokens as another one"):
        scorer(lm, [Item("1", "Which letter?", choices, 0, "a")])


# -- models that are none ------------------------------------------------------------------------------------------------


def test_encoder_decoders_wrapped_modules_and_what_is_no_model_are_refused():
    sizes = {"d_model": 32, "vocab_size": 99}
    bart = BartForConditionalGeneration(
        BartConfig(**sizes, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2)
    )
    t5 = T5ForConditionalGeneration(
        T5Config(**sizes, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    )
    for model in (bart, t5):
        lm = LM.wrap(model, zoo.tokenizer())
        for ask in DOORS.values():
            with pytest.raises(ModelError, match="has an encoder that reads the text"):
                ask(lm, "hello")
    for model in (nn.DataParallel(zoo.build("llama")), nn.Linear(2, 2), "llama"):
        with pytest.raises(ModelError, match="no transformers model"):
            LM.wrap(model, zoo.tokenizer())


# -- gradients -----------------------------------------------------------------------------------------------------------


def test_gradients_inside_inference_mode_or_of_a_model_made_there_are_refused(tmp_path):
    table = tmp_path / "q.csv"
    table.write_text("prompt,choices,answer\n" + "\n".join(f"Where is Ann {i}?,box|bag,{i % 2}" for i in range(20)))
    study = Sensitivity(task=str(table), draws=1, sweep_draws=1, gate="mark", n_general=3, n_read=2, n_bootstrap=20)
    sites, metric = [Site(0, "z")], LogitDifference(5, 6)
    outside = zoo.lm("llama")
    with torch.inference_mode():
        inside = zoo.lm("llama")
        with pytest.raises(GuardError, match=r"inside torch\.inference_mode"):
            attribution(outside, outside.tokenize(["abc"]), sites, metric)
        with pytest.raises(GuardError, match=r"inside torch\.inference_mode"):
            study.run(outside)
        assert outside.generate(["abc"], max_new_tokens=2)
    with pytest.raises(GuardError, match=r"was made inside torch\.inference_mode"):
        attribution(inside, inside.tokenize(["abc"]), sites, metric)
    with pytest.raises(GuardError, match=r"was made inside torch\.inference_mode"):
        study.run(inside)
    with torch.no_grad():
        assert set(attribution(outside, outside.tokenize(["abc"]), sites, metric)) == set(sites)


# -- lm-eval's requests --------------------------------------------------------------------------------------------------


def harness(**named):
    pytest.importorskip("lm_eval")
    from broca.scoring.harness_model import Harness

    return Harness(LM.wrap(zoo.build("llama"), named.pop("tokenizer", None) or zoo.tokenizer()))


def test_without_bos_and_eos_lm_eval_is_answered_or_told_what_is_missing():
    asked = harness(tokenizer=framed("$A", pad_token="<unk>"))
    (text,) = asked.generate_until([Request(args=("hi", {"until": ["~"], "max_gen_toks": 3}))])
    assert isinstance(text, str)
    assert len(asked.loglikelihood([Request(args=("hi", " there"))])) == 1
    for ask in (
        lambda: asked.loglikelihood_rolling([Request(args=("hi there",))]),
        lambda: asked.loglikelihood([Request(args=("", "hi"))]),
    ):
        with pytest.raises(StimulusError, match="neither BOS nor EOS"):
            ask()


@pytest.mark.parametrize("text", ["Ann put the key in the box.", "x", "a text longer than the model " * 9])
def test_rolling_likelihoods_price_each_token_of_the_text_once_and_no_bos(text):
    asked = harness()
    (found,) = asked.loglikelihood_rolling([Request(args=(text,))])
    ids = list(asked.lm.tokenize([text])[0].ids)
    with torch.no_grad():
        if len(ids) <= 128:
            logs = asked.lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            assert found == pytest.approx(sum(float(logs[i - 1, ids[i]]) for i in range(1, len(ids))), abs=1e-3)
        else:  # windows: at least as many nats as tokens priced once, each by a distribution over 99
            assert -found == pytest.approx((len(ids) - 1) * np.log(99), rel=0.6)


def test_a_cache_of_answers_is_never_read_for_another_identity(tmp_path):
    pytest.importorskip("lm_eval")
    from broca.scoring.harness_model import Harness

    lm, path = zoo.lm("llama"), tmp_path / "answers.sqlite"
    asked = [
        Request(args=("hi", {"until": ["~"], "max_gen_toks": 4})),
        Request(args=("ho", {"until": ["~"], "max_gen_toks": 4})),
    ]

    def written():
        stored, fresh = Harness(lm, cache=path).generate_until(asked), Harness(lm).generate_until(asked)
        assert stored == fresh
        return stored

    first = written()
    lm.model.generation_config.eos_token_id = 5
    written()
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(-1)
    assert written() != first
    handle = lm.model.model.layers[0].register_forward_hook(lambda _m, _a, out: out * 0.5)
    written()
    handle.remove()
    lm.model.set_attn_implementation("eager")
    written()


def test_errors_of_lm_eval_are_sentences(lm, tmp_path):
    pytest.importorskip("lm_eval")
    from broca.scoring.harness import evaluate

    docs = tmp_path / "docs.jsonl"
    docs.write_text('{"q": "a"}\n')
    task = "task: broken\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s}}\ntest_split: test\noutput_type: generate_until\ndoc_to_text: '%s'\ndoc_to_target: '{{q}}'\nmetric_list: [{metric: exact_match}]\n"
    for name, path, template in (("gone", tmp_path / "none.jsonl", "{{q}}"), ("template", docs, "{{q.missing()}}")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(task % (path, template))
        with pytest.raises(BrocaError, match=r"lm-eval could not ask .*Check the task file"):
            evaluate(lm, [file])
