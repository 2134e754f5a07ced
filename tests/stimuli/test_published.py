"""Published benchmarks, each read from a hand-made file of its format; the real samples where they are present."""

from __future__ import annotations

import csv
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from broca.errors import StimulusError, UnknownName
from broca.stimuli import published
from broca.stimuli.benchmarks import benchmark, sources
from broca.stimuli.published.sources import origin, records

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def written(path, rows, *, lines=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return path


# -- FANToM ----------------------------------------------------------------------------------------------------------


def qa(held, order="first-order", **more):
    return {
        "question": f"What does Bo believe ({held}, {order})?",
        "tom_type": order,
        "question_type": f"tom:belief:{held}",
        "correct_answer": "Bo does not know of it.",
        "wrong_answer": "Bo thinks that it is Rex.",
        **more,
    }


def fantom(folder, *qas, **more):
    rows = [
        {
            "set_id": f"{i}",
            "full_context": f"Ann: Hello.\nBo: Bye, {i}.\nCy: A dog: Rex.",
            "short_context": "Ann: A dog.\nCy: Rex.",
            "beliefQAs": [{name: text.replace("Rex", f"Rex {i}") for name, text in each.items()} for each in own],
            **more,
        }
        for i, own in enumerate(qas)
    ]
    return written(folder / "fantom_v1.json", rows)


def test_fantom_keeps_beliefs_of_both_kinds(tmp_path):
    path = fantom(
        tmp_path,
        [qa("inaccessible"), qa("accessible")],
        [qa("inaccessible", "second-order:cyclic")],
        [qa("accessible")],
    )
    items = benchmark(path)
    assert [item.ability for item in items] == [
        "false-belief",
        "true-belief",
        "second-order-false-belief",
        "true-belief",
    ]
    assert items[0].group == items[1].group != items[2].group
    assert items[0].prompt.startswith("Conversation:\nAnn: A dog.\nCy: Rex.\nQuestion: What does Bo")
    assert items[0].choices[items[0].answer] == "Bo does not know of it."
    assert [item.id for item in items] == ["fantom_v1:1:1", "fantom_v1:1:2", "fantom_v1:2:1", "fantom_v1:3:1"]
    assert {item.ability for item in benchmark(path, belief="false", order="second")} == {"second-order-false-belief"}
    assert "Bye" in benchmark(path, context="full")[0].prompt


def test_the_published_order_of_fantoms_answers_is_drawn_before_the_filter(tmp_path):
    import random

    held = ["accessible", "inaccessible"] * 10
    path = fantom(tmp_path, *([qa(one), qa("inaccessible")] for one in held))
    random.seed(42)
    orders = [random.sample(["right", "wrong"], 2) for _ in held]
    items = benchmark(path, preset="tl")
    assert [item.answer for item in items] == [
        o.index("right") for o, one in zip(orders, held, strict=True) if one[0] == "i"
    ]
    assert items[0].choices == ("a", "b")
    assert "characters: Ann, Bo and Cy. The question" in items[0].prompt
    assert items[0].prompt.endswith("\nAnswer:")
    assert "\nStory:Ann: A dog." in items[0].prompt
    assert "\nStory:Ann: Hello." in benchmark(path, preset="tl", context="full")[0].prompt


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([qa("inaccessible", correct_answer="")], "entry 1, question 1: 'correct_answer' is empty"),
        ([qa("inaccessible", wrong_answer="Bo does not know of it.")], "both answers are"),
        ([], r"entry 1: 'beliefQAs' is \[\]. It must be a list of questions"),
        ([qa("unheard-of")], "no items with belief='both'"),
        ([{"question": "?"}], "entry 1, question 1: 'correct_answer' is empty"),
    ],
)
def test_bad_fantom(tmp_path, own, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(fantom(tmp_path, own))


def test_a_conversation_in_which_nobody_speaks(tmp_path):
    path = fantom(tmp_path, [qa("inaccessible")], full_context="Silence.")
    with pytest.raises(StimulusError, match="entry 1: nobody speaks in 'full_context'"):
        benchmark(path, preset="tl")


# -- OpenToM ---------------------------------------------------------------------------------------------------------


def tom(n=0, *, answer="basket", kind="location-fo", observed=False, who="Mo", **more):
    return {
        "plot": f"Plot {n}.",
        "narrative": f"A long story {n}.",
        "plot_info": {"mover": "Al", "observer": "Mo", "original_place": "basket", "move_to_place": f"drawer{n or ''}"},
        "observed": observed,
        "question": {"question": f"From {who}'s perspective, where is the hat?", "answer": answer, "type": kind},
        **more,
    }  # fmt: skip


def opentom(folder, *rows):
    return written(folder / "opentom.json", list(rows))


def test_opentom_asks_for_places_of_both_beliefs(tmp_path):
    rows = [tom(0), tom(1, observed=True, answer="drawer1"), tom(2, who="Al", answer="drawer2"), tom(3, kind="location-so"),
            tom(4, kind="multihop-fo", answer="less full"), tom(5, kind="attitude", answer="positive"),
            tom(6, answer="Yes")]  # fmt: skip
    path = opentom(tmp_path, *rows)
    items = benchmark(path)
    assert [(item.ability, item.choices[item.answer]) for item in items] == [
        ("false-belief", "basket"),
        ("true-belief", "drawer1"),
    ]
    assert items[0].prompt == "Story: A long story 0.\nQuestion: From Mo's perspective, where is the hat?\nAnswer:"
    assert "Story: Plot 0." in benchmark(path, text="plot")[0].prompt
    assert [item.ability for item in benchmark(path, order="both")][2] == "second-order-false-belief"
    assert len(benchmark(path, perspective="any")) == 3
    assert [item.id for item in benchmark(path, drop=[0])] == ["opentom:2"]


def test_opentoms_yes_and_no_with_one_answer_are_refused(tmp_path):
    rows = [tom(n, answer="Yes") for n in range(12)] + [tom(n) for n in range(12)]
    path = opentom(tmp_path, *rows)
    with pytest.raises(StimulusError, match=r"all 12 items of 'false-belief-yes-no' have the answer 'yes'"):
        benchmark(path, questions="both")
    assert len(benchmark(path, questions="yes-no", degenerate="keep")) == 12
    mixed = opentom(tmp_path / "m", *(tom(n, answer=("Yes", "No")[n % 2]) for n in range(12)))
    assert len(benchmark(mixed, questions="yes-no")) == 12


def test_the_published_flips_of_opentom(tmp_path):
    rows = [row for n in range(9) for row in (tom(n, answer="Yes"), tom(n, answer=f"drawer{n or ''}"))]
    items = benchmark(opentom(tmp_path, *rows), preset="tl", drop=[])
    draws = np.random.RandomState(42)
    flips = [*(draws.rand(9) < 0.5), *(draws.rand(9) < 0.5)]
    assert [item.answer for item in items] == [int(flip) for flip in flips]
    assert [item.tags["options"] for item in items[:2]] == ["drawer|basket", "basket|drawer1"]
    assert items[0].prompt.endswith("?\nOptions:\na. drawer\nb. basket\nAnswer letter:")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (tom(answer="attic"), "entry 1: the answer 'attic' is not one of the places"),
        (tom(observed="no"), "'observed' is 'no'. It must be true or false"),
        (tom(question={"question": "", "answer": "basket", "type": "location-fo"}), "'question.question' is empty"),
        (tom(plot_info={**tom()["plot_info"], "move_to_place": "basket"}), "both places are 'basket'"),
        ({"plot": "x"}, "no column 'observed'"),
    ],
)
def test_bad_opentom(tmp_path, row, message):
    path = opentom(tmp_path, row)
    with pytest.raises(StimulusError, match=message):
        published.opentom.opentom(path)


def test_an_answer_may_say_more_than_its_place(tmp_path):
    (item,) = benchmark(opentom(tmp_path, tom(answer="The Basket")))
    assert item.choices[item.answer] == "basket"


# -- MMToM-QA --------------------------------------------------------------------------------------------------------

FLAT = "What's inside the apartment: a fridge.\nThere is a cup in it.\nActions taken by Ann: she walks."


def mm(kind=1.2, answer="b", question=None, **more):
    text = f"{FLAT}\nQuestion: If so, which is more likely? (a) She thinks so. (b) She does (not). Please respond with either a or b."
    return {"question": question or text, "answer": answer, "question_type": kind, "test": [], "episode": 6,
            "start_time": 1, "end_time": 2, "answer_list": ["a", "b"], **more}  # fmt: skip


def test_the_whole_story_of_mmtom_is_told(tmp_path):
    path = written(tmp_path / "questions.json", [mm(), mm(2.4, "a")], lines=True)
    one, other = benchmark(path)
    assert one.prompt == f"Story: {FLAT}\nQuestion: If so, which is more likely?\nAnswer:"
    assert (one.choices, one.answer, one.ability) == (("She thinks so.", "She does (not)."), 1, "false-belief")
    assert (other.answer, other.ability, other.group) == (0, "goal-future-actions", "episode-6")
    (lost,) = benchmark(path, preset="tl")
    assert "fridge" not in lost.prompt
    assert "Story:\nActions taken by Ann: she walks.\nQuestion" in lost.prompt
    assert lost.choices == ("a", "b")


def frames(folder, intervals, *, old=False, only=None):
    task = folder / "task_6"
    (task / "script" / "0").mkdir(parents=True)
    if old:
        (task / "frame_intervals.pik").write_bytes(pickle.dumps(intervals))
    else:
        (task / "frame_intervals.json").write_text(json.dumps(intervals))
    for first, last in only or intervals:
        (task / "script" / "0" / f"Action_{(first + last) // 2:04d}_0_normal.png").write_bytes(PNG)
    return folder


@pytest.mark.parametrize("old", [False, True])
def test_the_middle_frames_of_a_question(tmp_path, old):
    path = written(tmp_path / "questions.json", [mm(), mm()], lines=True)
    folder = frames(tmp_path / f"videos-{old}", [(0, 9), (10, 20), (21, 30), (31, 40)], old=old)
    item = benchmark(path, frames=str(folder))[0]
    assert [Path(image).name for image in item.images] == ["Action_0015_0_normal.png", "Action_0025_0_normal.png"]
    assert item.fingerprint != benchmark(path)[0].fingerprint


def test_frames_that_are_missing_or_would_run_something(tmp_path):
    path = written(tmp_path / "questions.json", [mm(), mm()], lines=True)
    folder = frames(tmp_path / "some", [(0, 9), (10, 20), (21, 30)], only=[(0, 9)])
    with pytest.raises(StimulusError, match=r"line 1: there is no frame .*Action_0015"):
        benchmark(path, frames=str(folder))
    with pytest.raises(StimulusError, match=r"There is no file .*frame_intervals.pik"):
        benchmark(path, frames=str(tmp_path / "none"))
    bad = frames(tmp_path / "bad", Path("x").joinpath, old=True, only=[(0, 0)])
    with pytest.raises(StimulusError, match=r"is no list of numbers: it holds more than numbers, texts and lists"):
        benchmark(path, frames=str(bad))
    odd = frames(tmp_path / "odd", [[1, "2"]], only=[(0, 0)])
    with pytest.raises(StimulusError, match=r"must be a list of pairs of whole numbers"):
        benchmark(path, frames=str(odd))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (mm(answer="c"), "line 2: 'answer' is 'c'. It must be a letter from a to b"),
        (mm(kind=9.9), "line 2: 'question_type' is 9.9. It must be one of"),
        (mm(question="No options."), "line 2: 'question' has another form"),
    ],
)
def test_bad_mmtom(tmp_path, row, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(written(tmp_path / "questions.json", [mm(), row], lines=True))


def test_a_type_that_mmtom_does_not_have(tmp_path):
    with pytest.raises(StimulusError, match=r"types holds 3.0. The types are 1.1, 1.2"):
        benchmark(written(tmp_path / "q.json", [mm(), mm()], lines=True), types=[3.0])


# -- MATH ------------------------------------------------------------------------------------------------------------


def sum_(answer="B", **more):
    return {"A": "1", "B": "2", "C": "3", "D": "4", "Answer": answer, "Question": "What is 1+1?", "Level": "Level 1",
            "Type": "Prealgebra", **more}  # fmt: skip


def test_math_lists_its_options(tmp_path):
    path = written(tmp_path / "test.jsonl", [sum_(), sum_("d", Level="Level 3"), sum_(A="")], lines=True)
    items = benchmark(path)
    assert [item.answer for item in items] == [1, 3, 1]
    assert items[0].choices == ("a", "b", "c", "d")
    assert items[0].prompt.endswith("Question: What is 1+1?\nOptions:\na. 1\nb. 2\nc. 3\nd. 4\nAnswer letter:")
    assert [item.answer for item in benchmark(path, level=3)] == [3]
    assert len(benchmark(path, empty="drop")) == 2
    assert benchmark(path, style="ours", empty="drop")[0].choices == ("1", "2", "3", "4")
    with pytest.raises(StimulusError, match=r"line 3: 'A' is empty"):
        benchmark(path, style="ours")
    with pytest.raises(StimulusError, match=r"no items with type='Geometry'"):
        benchmark(path, type="Geometry")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (sum_("E"), "line 2: 'Answer' is 'E'. It must be a letter from a to d"),
        (sum_(B=""), "line 2: 'B' is empty"),
        (sum_(Question=""), "line 2: 'Question' is empty"),
    ],
)
def test_bad_math(tmp_path, row, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(written(tmp_path / "test.jsonl", [sum_(), row], lines=True))


def test_the_sample_of_math(shared):
    path = shared / "data" / "math_mc" / "math_mc_first1000.jsonl"
    items = benchmark(path)
    answers = Counter(item.answer for item in items)
    assert (len(items), set(answers)) == (1000, {0, 1, 2, 3})
    assert {item.choices for item in items} == {("a", "b", "c", "d")}
    assert max(answers.values()) / len(items) == pytest.approx(0.27)
    said = [json.loads(line)["Answer"] for line in path.read_text().splitlines()]
    assert ["ABCD"[item.answer] for item in items] == said
    assert len(benchmark(path, empty="drop")) == 1000 - 25


def test_the_preset_of_tomi(shared):
    path = shared / "data" / "tomi" / "tomi_first930.csv"
    assert {item.ability for item in benchmark(path, preset="tl")} == {"false-belief"}
    assert Counter(item.ability for item in benchmark(path, preset="tl", belief="both")) == {
        "false-belief": 62,
        "true-belief": 164,
    }


# -- pictures --------------------------------------------------------------------------------------------------------


def vista(pid="1", **more):
    return {"pid": pid, "question": "How many?", "image": f"images/{pid}.jpg", "choices": ["one", "two", "three"],
            "answer": "two", "question_type": "multi_choice", "metadata": {"task": "counting"}, **more}  # fmt: skip


def test_mathvista_with_pictures_beside_it(tmp_path):
    path = written(tmp_path / "testmini.json", {"1": vista(), "2": vista("2", choices=None, question_type="free_form")})
    with pytest.raises(
        StimulusError, match=r"entry '1': its picture is named 'images/1.jpg', and .* holds no such file"
    ):
        benchmark(path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(PNG)
    (item,) = benchmark(path)
    assert item.images == (str(tmp_path / "images" / "1.jpg"),)
    assert (item.id, item.choices, item.answer) == ("mathvista:1", ("a", "b", "c"), 1)
    assert item.prompt.startswith("Given an image")
    assert "choices: a, b, c\nQuestion: How many?\nOptions:\na. one" in item.prompt
    assert item.prompt.endswith("c. three\nAnswer:")
    assert benchmark(path, preset="tl", look="own")[0].prompt.endswith("c. three")
    (bare,) = benchmark(path, images="leave out")
    assert (bare.images, bare.prompt) == ((), item.prompt)


def test_mathvista_with_pictures_inside(tmp_path):
    rows = [
        vista(str(i), image=f"images/{i}.jpg", decoded_image={"bytes": PNG + bytes([i]), "path": None})
        for i in range(3)
    ]
    rows[2] |= {"choices": None}
    path = tmp_path / "testmini-00000.parquet"
    pl.DataFrame(rows).write_parquet(path)
    with pytest.raises(StimulusError, match=r"its picture is within the table, .*it is written there once"):
        benchmark(path)
    items = benchmark(path, images=str(tmp_path / "pictures"))
    assert [Path(item.images[0]).read_bytes()[-1] for item in items] == [0, 1]
    assert items == benchmark(path, images=str(tmp_path / "pictures"))
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert items[0].group != items[1].group
    pl.DataFrame([*rows[:2], rows[0] | {"pid": "9", "question": "What else?"}]).write_parquet(path)
    first, _, again = benchmark(path, images=str(tmp_path / "pictures"))
    assert first.group == again.group


def star(question="Which?\nOptions: A: a dog, B: a cat, a big one, C: none", answer="B", **more):
    return {"index": 0, "question": question, "image": PNG, "answer": answer, "category": "coarse perception", **more}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Which?\nOptions: A: a dog, B: a cat, a big one, C: none", "a dog|a cat, a big one|none"),
        ("Question: Which?\nChoices:\n(A) red\n(B) blue, or so\n(C) none\n(D) 4", "red|blue, or so|none|4"),
        ("Which?\nOptions: A: at 5 C, B: at 6 C: cold", "at 5 C|at 6|cold"),
    ],
)
def test_options_within_the_questions_of_mmstar(tmp_path, text, options):
    path = tmp_path / "mmstar.parquet"
    pl.DataFrame([star(text)]).write_parquet(path)
    (item,) = benchmark(path, images=str(tmp_path / "p"))
    assert item.tags["options"] == options
    assert (item.answer, item.tags["category"]) == (1, "coarse perception")
    assert item.prompt.partition("\nQuestion: ")[2].partition("\nOptions:")[0].strip() == "Which?"
    assert Path(item.images[0]).read_bytes() == PNG


def test_bad_mmstar(tmp_path):
    for row, message in [
        (star("Which?"), r"row 2: no options were found in 'Which\?'"),
        (star(answer="D"), "row 2: 'answer' is 'D'. It must be a letter from a to c"),
        (star(image=b""), "its picture is missing"),
    ]:
        path = tmp_path / "mmstar.parquet"
        pl.DataFrame([star(), row]).write_parquet(path)
        with pytest.raises(StimulusError, match=message):
            benchmark(path, images=str(tmp_path / "p"))


def test_doubled_options_of_mmstar(tmp_path):
    path = tmp_path / "mmstar.parquet"
    twice = star("Q\nOptions: A: x, B: y, C: y", "C")
    pl.DataFrame([star(), twice]).write_parquet(path)
    with pytest.raises(StimulusError, match="gives two items the name 'mmstar:0'"):
        benchmark(path, images="leave out")
    pl.DataFrame([star(), {**twice, "index": 1}]).write_parquet(path)
    how = {"images": "leave out", "category": "coarse perception"}
    assert [item.answer for item in benchmark(path, **how)] == [1, 2]
    assert len(benchmark(path, doubled="drop", **how)) == 1


# -- minimal pairs ---------------------------------------------------------------------------------------------------


def pair(good="The cats sit here.", bad="The cats sits here.", **more):
    return {"sentence_good": good, "sentence_bad": bad, "UID": "agreement", "pairID": "0", **more}


def test_pairs_part_where_their_words_do(tmp_path):
    rows = [
        pair(),
        pair("Who sleeps?", "Whom sleeps?"),
        pair("It is a cat.", "It is a."),
        pair("He sat", "He sat down"),
    ]
    one, other, third, last = benchmark(written(tmp_path / "agreement.jsonl", rows, lines=True))
    assert (one.prompt, one.choices, one.answer) == ("\nThe cats", (" sit here.", " sits here."), 0)
    assert (other.prompt, other.choices, other.answer) == ("\n", ("Whom sleeps?", "Who sleeps?"), 1)
    assert (third.prompt, third.choices) == ("\nIt is", (" a cat.", " a."))
    assert (last.prompt, last.choices) == ("\nHe", (" sat down", " sat"))
    assert {one.ability, other.ability} == {"agreement"}
    for item, row in zip((one, other, third, last), rows, strict=True):
        assert f"\n{row['sentence_good']}" == item.prompt + item.choices[item.answer]


def test_bad_pairs_and_folders_of_them(tmp_path):
    written(tmp_path / "data" / "a.jsonl", [pair()], lines=True)
    written(tmp_path / "data" / "b.jsonl", [pair(UID="b")], lines=True)
    (tmp_path / "README.json").write_text("{}")
    assert [item.ability for item in benchmark(tmp_path)] == ["agreement", "b"]
    assert len({item.group for item in benchmark(tmp_path)}) == 2
    assert [path.name for path in sources(tmp_path)] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(StimulusError, match=r"line 1: .* are no two sentences"):
        benchmark(written(tmp_path / "same.jsonl", [pair(bad="The cats sit here.")], lines=True))


# -- files, folders, the hub -----------------------------------------------------------------------------------------


def test_checksums(tmp_path):
    path = written(tmp_path / "test.jsonl", [sum_()], lines=True)
    digest = origin(path).sha256
    assert benchmark(path, sha256=digest) == benchmark(path, sha256=digest[:16].upper()) == benchmark(path)
    for wanted, message in [
        ("0" * 16, "has the SHA-256"),
        ("known", "a known file was asked for"),
        ("abc", "16 or more"),
    ]:
        with pytest.raises(StimulusError, match=message):
            benchmark(path, sha256=wanted)
    assert origin(path).note == ""
    named = tmp_path / "ToMi-finalNeuralTOM.csv"
    with named.open("w", newline="") as file:
        csv.writer(file).writerow(["x"])
    assert "is not the file of that name" in origin(named).note


def test_presets_that_do_not_fit(tmp_path):
    path = written(tmp_path / "test.jsonl", [sum_()], lines=True)
    with pytest.raises(UnknownName, match=r"Preset 'lt' is not known. Did you mean 'tl'"):
        benchmark(path, preset="lt")
    with pytest.raises(StimulusError, match=r"The preset 'tl' says nothing about blimp"):
        benchmark(written(tmp_path / "b.jsonl", [pair()], lines=True), preset="tl")
    with pytest.raises(UnknownName, match=r"option 'leval' is not known. Did you mean 'level'"):
        benchmark(path, leval=3)


def test_a_file_that_lacks_one_column_of_a_format_is_told_which(tmp_path):
    row = {name: value for name, value in star(image=None).items() if name != "index"}
    path = written(tmp_path / "m.jsonl", [row], lines=True)
    with pytest.raises(
        StimulusError, match=r"m.jsonl has the columns of mmstar but for 'index'. Give the file as it was"
    ):
        benchmark(path, images="leave out")
    own = {**row, "prompt": "q", "choices": "a|b", "answer": "a", "image": ""}
    assert benchmark(written(path, [own], lines=True))[0].choices == ("a", "b")


def test_seeds_that_no_generator_takes(tmp_path):
    for path in (opentom(tmp_path, tom()), fantom(tmp_path, [qa("inaccessible")])):
        for seed in (-1, 2**32):
            with pytest.raises(StimulusError, match=f"Option 'seed' of benchmark '{path.name}' is {seed}"):
                benchmark(path, seed=seed)


def test_folders_of_one_benchmark_and_of_two(tmp_path):
    fantom(tmp_path / "fantom", [qa("inaccessible")])
    (tmp_path / "fantom" / "notes.json").write_text("[")
    assert len(benchmark(tmp_path / "fantom")) == 1
    opentom(tmp_path / "fantom", tom())
    with pytest.raises(
        StimulusError, match=r"fantom_v1.json \(fantom\), opentom.json \(opentom\). Give the path of one file"
    ):
        benchmark(tmp_path / "fantom")


def test_a_data_set_of_the_hub_that_was_fetched(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StimulusError, match=r"The data set SeacowX/OpenToM cannot be had from the hub"):
        benchmark("SeacowX/OpenToM")
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "datasets--SeacowX--OpenToM"
    opentom(home / "snapshots" / commit, tom())
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    assert [item.ability for item in benchmark("SeacowX/OpenToM")] == ["false-belief"]
    assert len(benchmark("SeacowX/OpenToM", revision="main")) == 1
    with pytest.raises(UnknownName, match=r"Did you mean 'SeacowX/OpenToM'"):
        benchmark("SeacowX/OpenTom")


def test_records_of_every_form(tmp_path):
    flat = {"a": {"b": 1, "c": {"d": 2}}, "e": None}
    wanted = {"a.b": 1, "a.c.d": 2, "e": None}
    for path in (
        written(tmp_path / "l.json", [flat, flat], lines=True),
        written(tmp_path / "l.jsonl", [flat, flat], lines=True),
        written(tmp_path / "s.json", [flat, {"f": 3}]),
    ):
        assert {name: records(path).rows[0].cells[name] for name in wanted} == wanted
    assert records(tmp_path / "s.json").rows[1].cells == dict.fromkeys(wanted) | {"f": 3}
    keyed = records(written(tmp_path / "k.json", {"x": flat}))
    assert (keyed.rows[0].cells["key"], keyed.rows[0].where) == ("x", "entry 'x'")
    for content, message in [
        ("[]", "no list of objects"),
        ("[1]", "entry 1: a JSON int"),
        ('{"a":1}\n{"a":}', "line 2"),
    ]:
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(StimulusError, match=message):
            records(tmp_path / "bad.json")
