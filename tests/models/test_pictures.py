"""Pictures before a text: tokens, places, batches, and what a missing or damaged picture is told as."""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pictures
import zoo
from broca.capture import Gather, capture
from broca.capture.attention import head_summary
from broca.capture.gradient import attribution
from broca.capture.metrics import Logit
from broca.capture.objectives import AnsweredQuestion
from broca.errors import GuardError, ModelError, StimulusError
from broca.interventions import Lesion
from broca.items import Item, Message, PicturedText
from broca.models import pictures as viewing
from broca.models import processing
from broca.models.continuation import continuation_logprobs
from broca.models.lm import LM
from broca.models.load import load_processor, model_class
from broca.models.pool import Pool
from broca.models.sampling import sample_texts
from broca.models.source import worker_source
from broca.models.twins import untrained_twin
from broca.scoring import Generation, Likelihood
from broca.sites import Site
from broca.units import UnitMask

KINDS = tuple(pictures.CONFIGS)
_made: dict[str, LM] = {}


def lm_of(kind: str) -> LM:
    return _made.setdefault(kind, pictures.lm(kind))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A red disc, a green box of the same size, and a wide blue box."""
    folder = tmp_path_factory.mktemp("drawn")
    return (
        pictures.draw(folder / "a.png", "disc", "red"),
        pictures.draw(folder / "b.png", "box", "green"),
        pictures.draw(folder / "c.png", "box", "blue", size=(90, 30)),
    )


def prompts(drawn):
    a, b, c = drawn
    return [
        PicturedText("What is it?", (a,)),
        "words alone",
        PicturedText("Where?", (b,)),
        PicturedText("Which of both?", (a, b)),
        PicturedText("Who?", (c,)),
        PicturedText((Message("system", "Be brief."), Message("user", "And now?")), (b,)),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_what_the_processor_makes_of_it(kind, drawn):
    """Tokens and logits of one prompt against the processor and the model, called as their documentation says."""
    lm = lm_of(kind)
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = lm.processor.apply_chat_template(turns, add_generation_prompt=True)
    with Image.open(drawn[0]) as image:
        # Mllama's processor puts a BOS into the string, and the tokenizer another one.
        once = {"add_special_tokens": False} if kind == "mllama" else {}
        inputs = lm.processor(text=[text], images=[[image.convert("RGB")]], return_tensors="pt", **once)
    (tokens,) = lm.tokenize([PicturedText("What is it?", (drawn[0],))])
    assert tokens.ids == tuple(inputs["input_ids"][0].tolist())
    with torch.no_grad():
        want = lm.model(**inputs).logits[:, -1]
    torch.testing.assert_close(lm.next_logits(next(lm.batches([tokens]))), want, atol=1e-5, rtol=1e-5)
    # The tokens of the picture are between the words, and the words are where they were.
    inside = [tokens.text[slice(*tokens.offsets[i])] for i in tokens.pictures]
    assert inside
    assert set(inside) == {"<image>" if kind in ("llava", "idefics3") else inside[0]}
    assert "".join(
        tokens.text[slice(*span)] for i, span in enumerate(tokens.offsets) if i not in tokens.pictures
    ) == tokens.text.replace(inside[0], "")
    start = tokens.text.index("What")
    covered = tokens.covering((start, start + 4))
    assert [pictures.tokenizer().decode(tokens.ids[i]) for i in covered] == list("What")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_neighbours_in_a_batch_change_nothing(kind, side, drawn):
    lm = lm_of(kind)
    tokens = lm.tokenize(prompts(drawn))
    alone = torch.cat([lm.next_logits(next(lm.batches([one]))) for one in tokens])
    together, sizes = torch.zeros_like(alone), []
    for batch, logits in lm.each(tokens, lm.next_logits, side=side):
        together[list(batch.index)] = logits
        sizes.append(len(batch))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert max(sizes) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_another_picture_is_another_answer(kind, drawn):
    lm = lm_of(kind)
    one, other = lm.tokenize([PicturedText("What is it?", drawn[:1]), PicturedText("What is it?", drawn[1:2])])
    assert one.ids == other.ids
    assert one.content != other.content
    logits = [lm.next_logits(next(lm.batches([tokens]))) for tokens in (one, other)]
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_priced_alike_on_each_way(kind, drawn):
    lm = lm_of(kind)
    shown = [one for one in prompts(drawn) if isinstance(one, PicturedText)]
    options = [[" red", " blues"]] * len(shown)
    found = {
        way: np.array([f.logprobs for f in continuation_logprobs(lm, shown, options, way=way)])
        for way in (None, "alone", "plain", "cached")
    }
    for way, values in found.items():
        np.testing.assert_allclose(values, found["alone"], atol=2e-3, err_msg=str(way))
    assert not any("copy of the prompt" in note for note in lm.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_depends_on_no_neighbour(kind, drawn):
    lm = lm_of(kind)
    shown = prompts(drawn)
    together = lm.generate(shown, max_new_tokens=4)
    assert together == [lm.generate([one], max_new_tokens=4)[0] for one in shown]
    numbers = np.random.default_rng(0).random((len(shown), 3))
    drawn_together = sample_texts(lm, shown, numbers, temperature=1.0)
    assert drawn_together == [
        sample_texts(lm, [one], numbers[i : i + 1], temperature=1.0)[0] for i, one in enumerate(shown)
    ]


def test_scorers_show_pictures(drawn):
    lm = lm_of("llava")
    items = [Item(str(i), "What?", ("disc", "box"), 0, images=(path,)) for i, path in enumerate(drawn)]
    for scorer in (
        Likelihood(),
        Likelihood(options="letter"),
        Generation(match="letter"),
        Generation(max_new_tokens=3),
    ):
        seen = scorer(lm, items)
        alone = [scorer(lm, [item]) for item in items]
        assert seen["id"].to_list() == ["0", "1", "2"]
        assert seen["predicted"].to_list() == [row["predicted"][0] for row in alone]
    priced = Likelihood()(lm, items)["logprobs"].to_list()
    blind = Likelihood(chat="always")(lm, [replace(item, images=()) for item in items])["logprobs"].to_list()
    assert priced[0] != priced[1]
    assert blind[0] == blind[1]


def test_tokens_of_pictures_count_as_asked(drawn):
    lm = lm_of("gemma3")
    site = Site(1, "resid_post")
    (tokens,) = lm.tokenize([PicturedText("What?", (drawn[0],))])

    def seen(**how):
        return capture(lm, [tokens], [site], Gather, pool=Pool("mean", **how))[site].result()[0]

    n, inside = len(tokens) - tokens.prefix, len(tokens.pictures)
    assert inside == 10
    whole, words, only = seen(), seen(images="without"), seen(images="only")
    np.testing.assert_allclose(whole * n, words * (n - inside) + only * inside, rtol=1e-4, atol=1e-4)
    assert not np.allclose(words, only)
    (bare,) = lm.tokenize(["words alone"])
    with pytest.raises(StimulusError, match="0 of images, images='only'"):
        Pool("mean", images="only").weights(next(lm.batches([bare])))
    assert (Pool("mean", images="without").weights(next(lm.batches([bare]))) > 0).sum() == len(bare) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_template_a_picture_is_marked_as_in_it(kind, drawn):
    lm = lm_of(kind)
    (tokens,) = lm.tokenize([PicturedText("What?", drawn[:2])], chat="never")
    mark = pictures._PICTURE.get(kind, "<image>")
    assert tokens.text == 2 * mark + "What?"
    assert tokens.prefix == 1
    bare = pictures.processor(kind)
    bare.chat_template = None
    again = LM.wrap(lm.model, bare.tokenizer, processor=bare, anatomy=lm.anatomy)
    (plain,) = again.tokenize([PicturedText("What?", drawn[:2])])
    if kind != "qwen2_vl":  # whose marks around a picture stand in its template alone
        assert plain.ids == tokens.ids
    with pytest.raises(StimulusError, match="no chat template"):
        again.tokenize([PicturedText((Message("user", "What?"),), drawn[:1])])


def test_a_lesion_acts_on_pictures_too(drawn):
    lm = lm_of("llava")
    (tokens,) = lm.tokenize([PicturedText("What?", drawn[:1])])
    site = Site(2, "resid_post")
    lesion = Lesion(UnitMask({site: np.arange(32) == 3}))
    with lm.under(lesion):
        held = capture(lm, [tokens], [site], Gather, pool=Pool("mean", images="only"))[site].result()[0]
    free = capture(lm, [tokens], [site], Gather, pool=Pool("mean", images="only"))[site].result()[0]
    assert held[3] == 0 != free[3]
    np.testing.assert_array_equal(np.delete(held, 3), np.delete(free, 3))


def test_memory_that_runs_out_halves_batches_of_pictures(drawn):
    lm = LM.wrap(pictures.build("llava"), pictures.tokenizer(), processor=pictures.processor("llava"))
    tokens = lm.tokenize([PicturedText(f"What {i}?", drawn[i % 2 : i % 2 + 1]) for i in range(8)])
    want = torch.cat([lm.next_logits(next(lm.batches([one]))) for one in tokens])
    sizes = []

    def step(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("full")
        return lm.next_logits(batch)

    found = torch.zeros_like(want)
    for batch, logits in lm.each(tokens, step):
        found[list(batch.index)] = logits
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-5)
    assert sizes[:3] == [8, 4, 2]
    assert lm.notes == ["Out of memory: batch size lowered from 32 to 2."]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_see_pictures_and_no_neighbours(kind, drawn):
    lm, site = lm_of(kind), Site(1, "resid_post")
    tokens = lm.tokenize([one for one in prompts(drawn) if isinstance(one, PicturedText)])
    together = attribution(lm, tokens, [site], Logit(40), Gather)[site].result()
    alone = [attribution(lm, [one], [site], Logit(40), Gather)[site].result()[0] for one in tokens]
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-5)
    same_words = lm.tokenize([PicturedText("What is it?", drawn[i : i + 1]) for i in (0, 1)])
    one, other = attribution(lm, same_words, [site], Logit(40), Gather)[site].result()
    assert np.abs(one - other).max() > 1e-4


def test_attention_is_read_beside_pictures(drawn):
    lm = lm_of("llava")
    summary = head_summary(lm, [PicturedText("What is it?", drawn[:1]), "words alone"])
    alone = head_summary(lm, [PicturedText("What is it?", drawn[:1])])
    words = head_summary(lm, ["words alone"])
    np.testing.assert_allclose(2 * summary.entropy, alone.entropy + words.entropy, rtol=1e-4)


def test_weights_are_not_scored_on_pictures(drawn):
    lm = lm_of("llava")
    (question,) = Likelihood().questions(lm, [Item("a", "What?", ("disc", "box"), 0, images=drawn[:1])])
    with pytest.raises(StimulusError, match="weights are scored on words alone"):
        AnsweredQuestion(question)


def test_pictures_that_are_lost_on_the_way_are_told(drawn):
    lm = lm_of("llava")
    (batch,) = lm.batches(lm.tokenize([PicturedText("What?", drawn[:1])]))
    with pytest.raises(GuardError, match="works on words alone"):
        lm.call(replace(batch, beside={}))


def test_pixels_are_made_once_and_are_not_kept_for_ever(drawn, monkeypatch):
    lm = LM.wrap(pictures.build("llava"), pictures.tokenizer(), processor=pictures.processor("llava"))
    opened = []
    monkeypatch.setattr(
        processing, "open_picture", lambda path, own=processing.open_picture: opened.append(path) or own(path)
    )
    shown = [PicturedText("What is it?", (path,)) for path in drawn]
    before = continuation_logprobs(lm, shown, [[" red", " blue", " green"]] * 3)
    assert sorted(opened) == sorted(drawn)
    monkeypatch.setattr(viewing, "AT_HAND", 0)
    lm.__dict__.pop("viewer")
    assert continuation_logprobs(lm, shown, [[" red", " blue", " green"]] * 3) == before
    assert len(opened) > 6
    assert (len(lm.viewer._words), len(lm.viewer._pixels)) == (1, 1)


@settings(max_examples=8, deadline=None)
@given(st.text("abc <?\n", min_size=1, max_size=12), st.text("abc >.\n", min_size=1, max_size=6))
def test_a_longer_prompt_is_what_it_would_be_alone(drawn, text, more):
    for kind in KINDS:
        lm = lm_of(kind)
        (prompt,) = [lm.render(PicturedText(text, drawn[:1]))]
        known, fresh = viewing.Viewer(lm.processor), viewing.Viewer(lm.processor)
        known.tokenize(prompt)
        longer = replace(prompt, text=prompt.text + more)
        one, other = known.tokenize(longer), fresh.tokenize(longer)
        assert one == other
        for mine, own in zip(one.view.beside(len(one)), other.view.beside(len(other)), strict=True):
            assert mine.keys() == own.keys()
            assert all(torch.equal(mine[name], own[name]) for name in mine)


def test_a_picture_that_changes_is_read_again(tmp_path):
    lm = lm_of("llava")
    path = pictures.draw(tmp_path / "x.png", "disc", "red")
    (before,) = lm.tokenize([PicturedText("What?", (path,))])
    first = lm.next_logits(next(lm.batches([before])))
    pictures.draw(tmp_path / "x.png", "box", "blue", size=(80, 80))
    (after,) = lm.tokenize([PicturedText("What?", (path,))])
    assert not torch.allclose(first, lm.next_logits(next(lm.batches([after]))))
    assert before.view.prompt == after.view.prompt


def test_missing_and_damaged_pictures_are_named(drawn, tmp_path):
    lm = lm_of("llava")
    with pytest.raises(StimulusError, match=r"There is no picture '.*gone.png'"):
        lm.tokenize([PicturedText("What?", (str(tmp_path / "gone.png"),))])
    whole = Path(drawn[0]).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.png").write_bytes(b"no picture")
    for name in ("half.png", "words.png"):
        with pytest.raises(StimulusError, match=rf"The picture '.*{name}' is damaged, or no picture"):
            lm.tokenize([PicturedText("What?", (str(tmp_path / name),))])


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory")
def test_no_more_of_a_picture_is_read_than_there_is(drawn, tmp_path):
    """Its header says 4 GiB, for which there is no room."""
    whole = Path(drawn[0]).read_bytes()
    at = whole.index(b"IDAT") - 4
    (tmp_path / "long.png").write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, limits[1]))
    try:
        seen = processing.open_picture(str(tmp_path / "long.png"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert seen.size == processing.open_picture(drawn[0]).size


def test_what_cannot_be_shown_is_refused(drawn):
    words = LM.wrap(zoo.build("llama"), zoo.tokenizer())
    with pytest.raises(StimulusError, match="no processor to see them with"):
        words.tokenize([PicturedText("What?", drawn[:1])])
    lm = lm_of("llava")
    with pytest.raises(StimulusError, match="truncate=9 would cut the pictures"):
        lm.tokenize([PicturedText("What is it?", drawn[:1])], truncate=9)
    (cut,) = lm.tokenize([PicturedText("What is it?", drawn[:1])], truncate=14)
    assert len(cut) == 14
    lm.next_logits(next(lm.batches([cut])))
    with pytest.raises(StimulusError, match="without a user's turn"):
        lm.tokenize([PicturedText((Message("system", "Look."),), drawn[:1])])
    with pytest.raises(StimulusError, match="cannot read"):
        lm.tokenize([PicturedText("An <image> too many", drawn[:1])])


def test_a_colour_picture_stays_one_and_turns_upright(tmp_path):
    image = Image.new("RGB", (30, 20), "red")
    image.getexif()[0x0112] = 6  # stored lying on its side
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    seen = processing.open_picture(str(tmp_path / "x.jpg"))
    assert (seen.mode, seen.size) == ("RGB", (20, 30))
    assert seen.getpixel((5, 5))[0] > 200 > seen.getpixel((5, 5))[1]


@pytest.mark.parametrize("kind", ["llava", "gemma3"])
def test_a_directory_is_loaded_whole_with_its_processor(kind, drawn, tmp_path):
    lm = lm_of(kind)
    lm.model.save_pretrained(tmp_path)
    lm.processor.save_pretrained(tmp_path)
    again = LM.load(str(tmp_path))
    assert type(again.model) is type(lm.model)
    assert again.fingerprint == lm.fingerprint
    assert again.notes == []
    shown = prompts(drawn)
    assert again.generate(shown, max_new_tokens=3) == lm.generate(shown, max_new_tokens=3)
    (tmp_path / "processor_config.json").unlink(missing_ok=True)
    (tmp_path / "preprocessor_config.json").unlink(missing_ok=True)
    blind = LM.load(str(tmp_path))
    assert blind.notes[0].startswith("No processor could be loaded, so this model is shown words alone")
    with pytest.raises(StimulusError, match="no processor"):
        blind.tokenize(shown[:1])


def test_a_language_part_stored_alone_is_loaded_alone():
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.for_model("mllama", **pictures.CONFIGS["mllama"])
    assert model_class(config) is AutoModelForImageTextToText
    config.architectures = ["MllamaForCausalLM"]
    assert model_class(config) is AutoModelForCausalLM
    assert model_class(AutoConfig.for_model("llama", **zoo.LLAMA)) is AutoModelForCausalLM


def test_a_text_model_has_no_processor_and_no_note(tmp_path):
    model = zoo.build("llama")
    assert load_processor(str(tmp_path), model) == (None, [])


def test_twins_and_workers_see_pictures(drawn, tmp_path):
    from broca.workers.worker import WorkerId

    lm = lm_of("llava")
    twin = untrained_twin(lm, 0)
    shown = prompts(drawn)
    assert len(twin.generate(shown, max_new_tokens=1)) == len(shown)
    with worker_source(lm) as source:
        other = source(WorkerId(0, 1))
    assert other.generate(shown, max_new_tokens=3) == lm.generate(shown, max_new_tokens=3)


def test_pictures_need_pillow(monkeypatch, drawn):
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModelError, match="pip install 'broca"):
        processing.open_picture(drawn[0])


def test_a_site_that_never_runs_is_told(drawn):
    """A module of the vision tower, named as a layer of the stack, does not run on words alone."""
    lm = lm_of("llava")
    wrong = replace(lm.anatomy, path="model.vision_tower.encoder.layers", blocks=lm.anatomy.blocks[:2])
    path = next(n for n, m in lm.model.named_modules() if "vision" in n and n.endswith("layers"))
    odd = LM(lm.model, lm.tokenizer, replace(wrong, path=path), processor=lm.processor)
    with pytest.raises(GuardError, match=r"0.resid_post never ran on 'words alone'"):
        capture(odd, odd.tokenize(["words alone"]), [Site(0, "resid_post")], Gather)
