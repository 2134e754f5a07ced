"""What users met: prompt, continuation and decoding step were guessed from shapes; padding, compilation and decoding leaked in."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

import zoo
from broca.errors import (
    BrocaError,
    GuardError,
    InterventionError,
    ModelError,
    SelectionError,
    StimulusError,
    UnknownName,
)
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.interventions.lesion import Lesion, Resample
from broca.items import Contrast, Item, Stimulus
from broca.models import hooks
from broca.models.continuation import continuation_logprobs
from broca.models.lm import LM
from broca.models.miniatures import tiny
from broca.models.sampling import sample_texts
from broca.scoring.likelihood import Likelihood
from broca.sites import Site
from broca.units import UnitMask

pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = ["hello there", "the cat sat on the mat", "a"]
POSITIONS = ["prompt", "generated", "last", (0, -2)]
KINDS = [
    "llama",
    "gpt2",
    "bloom",
    "mamba",
    "mamba2",
    "rwkv",
    "falcon_h1",
    "jamba",
    "recurrent_gemma",
    "qwen3_next",
    "lfm2",
    "bart",
    "opt",
]


@cache
def model(kind: str):
    """A tiny model of this class; its layers write enough for a lesion to show."""
    return zoo.build(kind) if kind in zoo.CONFIGS else tiny(kind)


def wrapped(kind: str, **how) -> LM:
    return LM.wrap(model(kind), zoo.tokenizer(), name=kind, **how)


def some(lm: LM) -> tuple[Site, np.ndarray]:
    site = Site(0, "resid_post")
    return site, np.arange(lm.anatomy.width(site)) % 2 == 0


def meant(positions, place: int, n: int) -> bool:
    """Whether the token at this place of a text, of which n tokens are the prompt, is meant."""
    if positions == "prompt":
        return place < n
    if positions == "generated":
        return place >= n
    wanted = (-1,) if positions == "last" else positions
    return any(place == (at if at >= 0 else n + at) for at in wanted)


@torch.no_grad()
def by_hand(lm: LM, text: str, positions, new: int) -> list[int]:
    """Greedy decoding with everything computed anew at each step, and the edit at exactly the tokens meant: no room of ours."""
    site, flags = some(lm)
    ids = list(lm.tokenize([text])[0].ids)
    n, chosen = len(ids), torch.tensor(flags)
    module = lm.model.get_submodule(lm.anatomy.tap(site).module)
    assert lm.anatomy.tap(site).side == "output"

    def edit(_module, _args, output):
        x = output if isinstance(output, torch.Tensor) else output[0]
        at = torch.tensor([meant(positions, i, n) for i in range(len(ids))])
        new = torch.where(at[None, :, None] & chosen, 0.0, x)
        return new if isinstance(output, torch.Tensor) else (new, *output[1:])

    handle = module.register_forward_hook(edit)
    try:
        for _ in range(new):
            ids.append(int(lm.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
            if ids[-1] == lm.tokenizer.eos_token_id:
                break
    finally:
        handle.remove()
    return ids[n:]


@pytest.mark.parametrize("positions", POSITIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_at_positions_meets_the_tokens_that_it_names_in_every_class(kind, positions):
    lm = wrapped(kind)
    site, flags = some(lm)
    wanted = [lm.tokenizer.decode(by_hand(lm, text, positions, 5), skip_special_tokens=True) for text in TEXTS]
    with lm.under(Lesion(UnitMask({site: flags}), positions=positions)):
        assert lm.generate(TEXTS, max_new_tokens=5) == wanted


@pytest.mark.parametrize(
    "options", [{"use_cache": False}, {"cache_implementation": "static"}, {"num_beams": 1}], ids=str
)
@pytest.mark.parametrize("positions", POSITIONS, ids=str)
def test_with_whatever_cache(positions, options):
    lm = wrapped("llama")
    site, flags = some(lm)
    with lm.under(Lesion(UnitMask({site: flags}), positions=positions)):
        assert lm.generate(TEXTS, max_new_tokens=5, **options) == lm.generate(TEXTS, max_new_tokens=5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resample_fill_draws_by_the_prompt_whether_its_options_share_a_reading_or_not(kind):
    lm = wrapped(kind)
    site, flags = some(lm)
    bank = np.random.default_rng(0).normal(size=(5, len(flags))).astype(np.float32)
    options = [(" box", " bag!")] * len(TEXTS)
    with lm.under(Lesion(UnitMask({site: flags}), Resample({site: bank}))):
        found = continuation_logprobs(lm, TEXTS, options)
        alone = continuation_logprobs(lm, TEXTS, options, way="alone")
    for one, other in zip(found, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-3)


def test_the_default_test_of_a_place_runs_on_a_model_without_attention(tmp_path):
    sides = [[Stimulus(f"{side}{i}", f"{side} {i}") for i in range(8)] for side in ("the cat", "qz vb")]
    items = tmp_path / "q.csv"
    items.write_text("prompt,choices,answer\n" + "\n".join(f"Where is Ann {i}?,box|bag,{i % 2}" for i in range(12)))
    study = CausalTest(
        localizer=Localize(contrast=Contrast("c", *map(tuple, sides))),
        items=str(items),
        percent=5,
        draws=2,
        gate="mark",
        n_bootstrap=20,
    )
    assert study.run(wrapped("mamba")).items["condition"].n_unique() >= 3


# -- decoding is what was asked for --------------------------------------------------------------------------------------

LEAKS = [
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram_size": 1},
    {"forced_eos_token_id": 2},
    {"num_beams": 4},
    {"guidance_scale": 1.5},
    {"exponential_decay_length_penalty": [2, 5.0]},
    {"encoder_repetition_penalty": 1.5},
    {"stop_strings": ["a", "e"]},
    {"return_dict_in_generate": True},
    {"max_time": 1e-9},
    {"min_new_tokens": 3},
    {"suppress_tokens": [40, 41, 42]},
    {"begin_suppress_tokens": list(range(4, 60))},
    {"do_sample": True, "temperature": 5.0, "top_k": 1},
    {"max_length": 3},
    {"renormalize_logits": True, "bad_words_ids": [[i] for i in range(4, 40)]},
    {"watermarking_config": {"bias": 8.0}},
    {"cache_implementation": "static"},
    {"output_attentions": True},
    {"num_return_sequences": 2, "num_beams": 2},
    {"sequence_bias": {(50,): 10.0}},
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: next(iter(leak)))
def test_greedy_means_greedy_and_sampled_sampled_whatever_the_file_holds(leak):
    lm = LM.wrap(zoo.build("llama", seed=5), zoo.tokenizer())
    draws = np.random.default_rng(0).random((len(TEXTS), 6))
    own = {"eos_token_id": 2, "pad_token_id": 0}
    lm.model.generation_config = GenerationConfig(**own)
    truth = lm.generate(TEXTS, max_new_tokens=6), sample_texts(lm, TEXTS, draws, temperature=1.0)
    lm.model.generation_config = held = GenerationConfig(**own)
    for name, value in leak.items():
        setattr(held, name, value)
    assert (lm.generate(TEXTS, max_new_tokens=6), sample_texts(lm, TEXTS, draws, temperature=1.0)) == truth
    assert lm.model.generation_config is held


def test_adapters_around_a_model_change_nothing_of_this():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    lm = LM.wrap(peft.get_peft_model(zoo.build("llama"), config), zoo.tokenizer())
    plain = lm.generate(TEXTS, max_new_tokens=5)
    lm.model.generation_config.repetition_penalty = 3.0
    assert lm.generate(TEXTS, max_new_tokens=5) == plain
    site, flags = some(lm)
    for positions in POSITIONS:
        wanted = [lm.tokenizer.decode(by_hand(lm, text, positions, 5), skip_special_tokens=True) for text in TEXTS]
        with lm.under(Lesion(UnitMask({site: flags}), positions=positions)):
            assert lm.generate(TEXTS, max_new_tokens=5) == wanted


def test_sampling_takes_what_the_call_says_and_nothing_else():
    lm = LM.wrap(zoo.build("llama"), zoo.tokenizer())
    every = lm.generate(["a"] * 300, max_new_tokens=1, do_sample=True, seed=0, temperature=50.0)
    # transformers would keep the 50 most probable tokens
    assert len(set(every)) > 60
    assert len(set(lm.generate(["a"] * 300, max_new_tokens=1, do_sample=True, seed=0, temperature=50.0, top_k=3))) == 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_new_tokens": 0}, StimulusError, "Ask for 1 at least"),
        ({"temprature": 1.0}, UnknownName, "Did you mean 'temperature'"),
        ({"num_return_sequences": 2}, StimulusError, "as often as you want"),
        ({"return_dict_in_generate": True}, StimulusError, "are the texts"),
        ({"assistant_model": object()}, StimulusError, "draft"),
        ({"max_length": 9}, StimulusError, "max_new_tokens"),
        ({"top_p": 7.0, "do_sample": True, "seed": 0}, StimulusError, "above 0 and up to 1"),
        ({"temperature": 0.0, "do_sample": True, "seed": 0}, StimulusError, "temperature is 0"),
        ({"temperature": 2.0}, StimulusError, "do_sample=True"),
        ({"do_sample": True}, StimulusError, "seed=0"),
        ({"num_beams": 3, "num_beam_groups": 2}, BrocaError, ""),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(options, error, words):
    with pytest.raises(error, match=words):
        wrapped("llama").generate(["a"], **options)


# -- every pass is guarded, compiled or not ------------------------------------------------------------------------------


class Now_and_then:  # noqa: N801
    """An edit that runs in the prompt's pass alone, as a compiled graph leaves it."""

    fingerprint, reads_prompt = "now and then", False

    def apply(self, lm):
        from contextlib import contextmanager

        @contextmanager
        def inner():
            runs = {Site(0, "z"): 0}

            def once(x):
                runs[Site(0, "z")] += x.shape[1] > 1

            with hooks.read_sites(lm.model, lm.anatomy, {Site(0, "z"): once}):
                yield runs

        return inner()


def test_an_edit_that_missed_one_pass_of_many_stops_the_run():
    lm = wrapped("llama")
    with lm.under(Now_and_then()):
        lm.generate(["hello"], max_new_tokens=1)
        lm.assert_fired()
        with pytest.raises(GuardError, match=r"0\.z did not run in a pass of 1 columns after 6"):
            lm.generate(["hello"], max_new_tokens=3)
    with lm.under(Now_and_then()), pytest.raises(GuardError, match="did not run"):
        continuation_logprobs(lm, ["hello"], [(" a", " b")])


def _whole(made):
    return torch.compile(made, backend="eager")


def _in_place(made):
    made.compile(backend="eager")
    return made


def _by_layer(made):
    for layer in made.model.layers:
        layer.compile(backend="eager")
    return made


def _forward(made):
    made.forward = torch.compile(made.forward, backend="eager")
    return made


@pytest.mark.parametrize("how", [_whole, _in_place, _by_layer, _forward])
def test_a_compiled_model_is_lesioned_and_read_as_the_eager_one_is(how):
    mask = UnitMask({Site(0, "mlp_act"): np.arange(48) < 20})
    sides = [tuple(Stimulus(f"{s}{i}", f"{s} {i}") for i in range(8)) for s in ("the cat sat", "qz vb xx trr")]
    items = [Item(str(i), f"Ann put the key in box {i}", (" yes", " no indeed"), i % 2, "a") for i in range(6)]

    def measured(lm):
        intact = Likelihood()(lm, items)["logprobs"].to_list()
        with lm.under(Lesion(mask)):
            t = Localize(contrast=Contrast("c", *sides), sites="*.mlp_act").run(lm).t
            under = Likelihood()(lm, items)["logprobs"].to_list(), lm.generate(["hello"], max_new_tokens=4)
        return intact, under, Likelihood()(lm, items)["logprobs"].to_list(), [t[site].tolist() for site in sorted(t)]

    eager = measured(LM.wrap(zoo.build("llama"), zoo.tokenizer()))
    made = zoo.build("llama")
    ready = how(made)
    with torch.no_grad():
        ready(torch.tensor([[3, 4, 5]]))  # compiled, and run, before anybody hooks it
    lm = LM.wrap(ready, zoo.tokenizer())
    np.testing.assert_equal(measured(lm), eager)
    assert how is _forward or any("compiled" in note for note in lm.notes)


# -- padding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rwkv", "bart", "recurrent_gemma", "mamba", "llama", "bloom"])
def test_nothing_depends_on_the_batch(kind):
    sides = [tuple(Stimulus(f"{s}{i}", f"{s} " * (1 + i % 4)) for i in range(8)) for s in ("cat", "dog")]
    items = [Item(str(i), "the cat sat on the mat "[: 3 + 5 * i], (" yes", " no indeed"), 0, "a") for i in range(4)]
    seen = {}
    for size in (1, 8):
        lm = wrapped(kind)
        lm.batch_size = size
        t = Localize(contrast=Contrast("c", *sides), pool="mean").run(lm).t
        rows = Likelihood()(lm, items)["logprobs"].to_list()
        texts = lm.generate(TEXTS, max_new_tokens=4)
        seen[size] = np.concatenate([t[site] for site in sorted(t)]), np.array(rows), texts
    np.testing.assert_allclose(seen[1][0], seen[8][0], atol=5e-2, rtol=1e-2)
    np.testing.assert_allclose(seen[1][1], seen[8][1], atol=2e-3)
    assert seen[1][2] == seen[8][2]


def test_texts_side_by_side_are_refused_where_padding_moves_them():
    lm = wrapped("rwkv")
    tokens = lm.tokenize(["a", "abcdef"])
    with pytest.raises(GuardError, match="Padding moves"):
        lm.call(lm.pad_batch(tokens))
    lm.call(lm.pad_batch(lm.tokenize(["ab", "cd"])))


@pytest.mark.parametrize("positions", ["first", (), ("last",), 3, None])
def test_positions_that_name_no_tokens_are_refused_when_they_are_written(positions):
    with pytest.raises(SelectionError, match="names no tokens"):
        Lesion(UnitMask({Site(0, "z"): np.ones(4, bool)}), positions=positions)
    assert Lesion(UnitMask({Site(0, "z"): np.ones(4, bool)}), positions=[0, -1]).positions == (0, -1)


def test_an_empty_bank_and_no_tokenizer_are_refused():
    with pytest.raises(SelectionError, match=r"bank of 0\.z is empty"):
        Resample({Site(0, "z"): np.zeros((0, 4))})
    with pytest.raises(ModelError, match="without a tokenizer"):
        LM.wrap(model("llama"), None).generate(["a"])


# -- declarations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacks", ["fingerprint", "reads_prompt", "apply"])
def test_an_intervention_that_does_not_declare_itself_is_told_the_line_to_write(lacks):
    own = {
        "fingerprint": "x",
        "reads_prompt": False,
        "apply": lambda _self, lm: hooks.edit_sites(lm.model, lm.anatomy, {}),
    }
    intervention = type("Mine", (), {name: value for name, value in own.items() if name != lacks})()
    lm = wrapped("llama")
    with (
        pytest.raises(InterventionError, match=rf"Mine does not declare '{lacks}'.*Write into its class: .*{lacks}"),
        lm.under(intervention),
    ):
        pass
    assert lm.condition == ()
