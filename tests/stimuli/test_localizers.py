from __future__ import annotations

import csv
import hashlib

import pytest

from broca.errors import StimulusError, UnknownName
from broca.stimuli.contrasts import contrast

ANSWERS = ["TFFTTFTFTT", "FFFFFFFTFT"]
EXTENDED = ["TFFTTFTFTT", "TTFFTFTFTF"]


def tomloc(folder, count=10):
    for i in range(1, count + 1):
        for kind in "bp":
            (folder / f"{i}{kind}_story.txt").write_text(f"Story {i}{kind} begins here \nand goes on.")
            (folder / f"{i}{kind}_question.txt").write_text(f"Is it {i} \nafter all?\n\nTrue\tFalse")
    return folder


def extended(folder, positive=95, negative=100):
    for side, count in (("positive", positive), ("negative", negative)):
        blocks = [f"Story: The {side} story {i}.\nQuestion: Is it {i}?" for i in range(count)]
        (folder / f"tomloc_{side}.txt").write_text("\n\n".join(blocks) + "\n")
    return folder


def langloc(path, kinds):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"stim{i}" for i in range(1, 15)])
        writer.writerows([i, *(f"W{i}X{j}" for j in range(12)), kind] for i, kind in enumerate(kinds, start=1))
    return path


def letters(side):
    return "".join(s.text[-4 if s.text.endswith("True") else -5] for s in side)


def digest(side):
    return hashlib.sha256("\n\n".join(s.text for s in side).encode()).hexdigest()[:16]


def test_the_published_belief_prompts_to_the_letter(shared):
    found = contrast(shared / "data" / "tomloc", style="tl", answers="random")
    assert digest(found.positive) == "cda6926beb177e92"
    assert digest(found.negative) == "d28e6ef90971d467"


def test_the_sample_of_the_language_localizer(shared):
    found = contrast(shared / "data" / "langloc")
    assert len(found.positive) == len(found.negative) == 120
    assert all(len(s.text.split()) == 12 and s.text == s.text.lower() for s in (*found.positive, *found.negative))
    one = contrast(next(iter(sorted((shared / "data" / "langloc").iterdir()))))
    assert one.positive == found.positive[:24]


def test_random_answers_are_those_of_the_published_draw(tmp_path):
    found = contrast(tomloc(tmp_path), style="tl", answers="random")
    assert [letters(found.positive), letters(found.negative)] == ANSWERS
    assert found.positive[9].text.endswith("Question: Is it 10 after all?\nOptions:\n- True\n- False\nAnswer: True")
    assert found.positive != contrast(tmp_path, style="tl", answers="random", seed=0).positive


def test_our_style_shows_story_and_question_alone(tmp_path):
    found = contrast(tomloc(tmp_path))
    assert found.positive[0].text == "Story: Story 1b begins here and goes on.\nQuestion: Is it 1 after all?\nAnswer:"
    assert [s.id for s in found.negative] == [f"{i}p" for i in range(1, 11)]
    assert "taken for a theory-of-mind localizer: 10 positive, 10 negative" in found.source
    assert "Dodell-Feder" in found.source


def test_extended_stories_are_cut_in_the_published_style_alone(tmp_path):
    found = contrast(extended(tmp_path), style="tl", answers="random")
    assert (len(found.positive), len(found.negative)) == (95, 95)
    assert [letters(found.positive)[:10], letters(found.negative)[:10]] == EXTENDED
    assert len(contrast(tmp_path).negative) == 100
    assert contrast(tmp_path).positive[3].text == "Story: The positive story 3.\nQuestion: Is it 3?\nAnswer:"


def test_pain_stories(tmp_path):
    (tmp_path / "emotion_pain.txt").write_text("One was left.\r\n\r\nTwo was lost.\r\n")
    (tmp_path / "physical_pain.txt").write_text("One fell.\nTwo fell.\nThree fell.")
    found = contrast(tmp_path, style="tl")
    assert [s.text for s in found.positive] == ["Story: One was left.", "Story: Two was lost."]
    assert len(contrast(tmp_path).negative) == 3
    assert contrast(tmp_path).negative[0].text == "One fell."


def test_language_files_are_read_in_the_order_of_their_names(tmp_path):
    langloc(tmp_path / "b.csv", "SN")
    langloc(tmp_path / "a.csv", "NSs")
    found = contrast(tmp_path)
    assert [s.id for s in found.positive] == ["a:3", "a:4", "b:2"]
    assert found.negative[0].text == " ".join(f"w1x{j}" for j in range(12))


def test_a_kind_that_is_neither_sentence_nor_list(tmp_path):
    with pytest.raises(StimulusError, match=r"a.csv, line 3: stim14 is 'J'. It must be S"):
        contrast(langloc(tmp_path / "a.csv", "SJ"))


def test_another_table_among_the_language_files(tmp_path):
    langloc(tmp_path / "a.csv", "SSNN")
    (tmp_path / "b.csv").write_text("text,label\na,1\n")
    with pytest.raises(StimulusError, match=r"b.csv has no column 'stim1'"):
        contrast(tmp_path)


def test_a_story_without_its_question(tmp_path):
    (tomloc(tmp_path) / "3p_question.txt").unlink()
    with pytest.raises(StimulusError, match=r"There is no file '.*3p_question.txt'"):
        contrast(tmp_path)


def test_an_empty_question(tmp_path):
    (tomloc(tmp_path) / "3p_question.txt").write_text(" \n")
    with pytest.raises(StimulusError, match=r"3p in .* has an empty story or question"):
        contrast(tmp_path)


def test_only_one_side(tmp_path):
    tomloc(tmp_path, count=3)
    for name in [f"{i}p_{part}.txt" for i in range(1, 4) for part in ("story", "question")]:
        (tmp_path / name).unlink()
    with pytest.raises(StimulusError, match=r"0 negative stimuli"):
        contrast(tmp_path)


def test_half_of_an_extended_folder(tmp_path):
    (extended(tmp_path) / "tomloc_negative.txt").unlink()
    with pytest.raises(StimulusError, match=r"There is no file '.*tomloc_negative.txt'"):
        contrast(tmp_path)


def test_a_block_of_another_form(tmp_path):
    with (extended(tmp_path) / "tomloc_positive.txt").open("a") as file:
        file.write("\nStory: no question.\n")
    with pytest.raises(StimulusError, match=r"tomloc_positive.txt, line 286: a block must read 'Story: ...'"):
        contrast(tmp_path)


def test_folders_of_no_format_and_of_two(tmp_path):
    with pytest.raises(
        StimulusError, match=r"fits no format that is known. It holds nothing. Known are folders with: 1b_story"
    ):
        contrast(tmp_path)
    tomloc(extended(tmp_path))
    with pytest.raises(StimulusError, match=r"fits more than one format"):
        contrast(tmp_path)


def test_options_of_another_reader(tmp_path):
    langloc(tmp_path / "a.csv", "SSNN")
    with pytest.raises(StimulusError, match=r"takes no options, and 'style' was given"):
        contrast(tmp_path, style="tl")
    (tmp_path / "a.csv").unlink()
    tomloc(tmp_path)
    with pytest.raises(UnknownName, match=r"option 'anwsers' is not known. Did you mean 'answers'"):
        contrast(tmp_path, anwsers="none")
