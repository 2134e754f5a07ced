"""Cell tasks: our own stories, and the task file of Wu et al. (2025)."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broca.errors import BrocaError, StimulusError, UnknownName
from broca.items import Item
from broca.stimuli import draws
from broca.stimuli.benchmarks import BENCHMARKS, benchmark
from broca.stimuli.blind_rules import baselines, reports_reality, says_yes
from broca.stimuli.cell_items import ABILITIES, TASKS, accuracies, cells

PLACEHOLDER = re.compile(r"\b(S1|S2|CX|XNAM|XPRO|OBJ_PRO|POS_PRO)\b")
S1 = {
    "NUMBER": 3,
    "o1": "buttons",
    "o2": "nails",
    "c": "jar",
    "xnam": "Omar",
    "xpro": "he",
    "obj_pro": "him",
    "pos_pro": "his",
    "txt": 'In the garage stands a closed CX full of S1. There are no S2 in it. Yet its label says "S2". XNAM sees the CX. XPRO has never seen it.',
    "txt_correctlabel": 'In the garage stands a closed CX full of S1. There are no S2 in it. Its label says "S1". XNAM sees the CX. XPRO has never seen it.',
}
S2 = {
    "NUMBER": 0,
    "o1": "shelf",
    "o2": "desk",
    "q1": "The pen rolls off the",
    "q2": "Lea will look for the pen on the",
    "txt": "Lea puts the pen on the desk and leaves. Max moves it to the shelf. Lea returns.",
    "txt_notransfer": "Lea puts the pen on the desk and leaves. Max puts it back on the desk. Lea returns.",
    "txt_informed": "Max calls Lea and says that it is on the shelf.",
    "txt_present": "Lea puts the pen on the desk. She sees Max move it to the shelf.",
}
S3 = {
    "NUMBER": 0,
    "txt": "It poured. 'Nice day', said A. Question: Did A like it?",
    "txt_reverse": "It shone. Question: Did A?",
}
TASKS_OF = {"s1": [S1], "s2": [S2], "s3": [S3]}


@pytest.fixture
def file(tmp_path):
    def write(content, name="tasks.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def rows(items, right):
    return pl.DataFrame({"id": [item.id for item in items], "correct": [right(item) for item in items]})


def shares(items, right):
    found = accuracies(items, rows(items, right))
    return {(task, kind): value for task, kind, value in found.select("task", "kind", "accuracy").rows()}


# -- our own stories -----------------------------------------------------------------------------------------------


def test_how_many_stories_and_questions_there_are():
    items = benchmark("cells")
    stories = {task: {i.group for i in items if i.tags["task"] == task} for task in TASKS}
    assert {task: len(found) for task, found in stories.items()} == {"contents": 40, "transfer": 40, "irony": 24}
    assert Counter(i.tags["task"] for i in items) == {"contents": 640, "transfer": 640, "irony": 96}
    assert len({i.id for i in items}) == len({i.prompt for i in items}) == len(items)
    assert list(dict.fromkeys(i.ability for i in items)) == list(ABILITIES)
    assert not [i.id for i in items if re.search(r"[{}|]|  |\.\.", str(i.prompt))]


def test_a_story_in_all_its_scenes():
    asked = {i.id.removeprefix("contents-00:"): i for i in benchmark("cells/contents", n=1)}
    assert {key: i.choices[i.answer] for key, i in asked.items() if key.endswith("belief")} == {
        "false-belief:plain:belief": "nails",
        "false-belief:swapped:belief": "buttons",
        "correct-label:plain:belief": "buttons",
        "correct-label:swapped:belief": "nails",
        "informed:plain:belief": "buttons",
        "informed:swapped:belief": "nails",
        "open:plain:belief": "buttons",
        "open:swapped:belief": "nails",
    }
    assert asked["false-belief:plain:belief"].prompt == (
        "Above the workbench of the tailor's shop a jar of brown glass stands on a narrow board. The jar holds buttons, not "
        'nails. The label on it says "nails". Nora started in the shop this morning. She takes the jar down to dust it. She '
        "has never seen it before. She reads the label, but does not open the jar and does not look inside. Nora thinks that "
        "the jar holds"
    )
    moved = {i.id.removeprefix("transfer-01:"): i for i in benchmark("cells/transfer", n=2)}
    assert str(moved["no-transfer:plain:belief"].prompt).count("puts it back on the piano, and not on the sofa.") == 1
    assert {key: i.choices[i.answer] for key, i in moved.items() if ":plain:" in key and "transfer-00" not in key} == {
        "false-belief:plain:belief": "piano",
        "no-transfer:plain:belief": "piano",
        "informed:plain:belief": "sofa",
        "present:plain:belief": "sofa",
        "false-belief:plain:reality": "sofa",
        "no-transfer:plain:reality": "piano",
        "informed:plain:reality": "sofa",
        "present:plain:reality": "sofa",
    }


@pytest.mark.parametrize("form", ["completion", "question"])
def test_no_shortcut_finds_the_false_beliefs(form):
    found = {
        (ability, name): accuracy
        for task in ("contents", "transfer")
        for ability, name, accuracy in baselines(benchmark(f"cells/{task}", form=form)).rows()
    }
    for task in ("contents", "transfer"):
        for name in ("first-mentioned", "last-mentioned", "majority-position", "chance"):
            assert found[f"{task}-false-belief", name] == 0.5
        assert found[f"{task}-false-belief", "reality-reporter"] == 0
        assert found[f"{task}-reality", "reality-reporter"] == found[f"{task}-true-belief", "reality-reporter"] == 1
    forms = [benchmark("cells/transfer", n=1, form=f)[0] for f in ("completion", "question")]
    assert [str(i.prompt)[-12:] for i in forms] == [" kite in the", "swer: in the"]
    ironies = dict(
        baselines(benchmark("cells/irony"))
        .filter(pl.col("baseline") == "always-yes")
        .select("ability", "accuracy")
        .rows()
    )
    assert ironies == {"irony-ironic": 0.5, "irony-literal": 0.5}


@pytest.mark.parametrize("task", ["contents", "transfer"])
def test_choices_stand_only_where_the_story_is_meant_to_say_them(task):
    """A word of a scene that happens to be a choice would be a mention in itself."""
    counts = {}
    for item in benchmark(f"cells/{task}"):
        mentions = tuple(len(re.findall(rf"\b{choice}\b", str(item.prompt))) for choice in item.choices)
        index = int(item.group[-2:]) % 2
        swapped = item.tags["order"] == "swapped"
        counts.setdefault((item.tags["scene"], index, item.tags["question"]), set()).add(
            tuple(reversed(mentions)) if swapped else mentions
        )
    assert all(len(found) == 1 for found in counts.values()), counts


def test_every_name_is_an_ability_or_a_task():
    for name in (name for name in BENCHMARKS if name.startswith("cells/")):
        which = name.partition("/")[2]
        items = benchmark(name, n=1)
        assert (
            {i.ability for i in items} == {which} if which in ABILITIES else {i.tags["task"] for i in items} == {which}
        )
    assert {name for name in BENCHMARKS if name.startswith("cells")} == {
        "cells",
        *(f"cells/{which}" for which in (*TASKS, *ABILITIES)),
    }
    with pytest.raises(StimulusError, match="25 stories of irony were asked for, and there are 24"):
        benchmark("cells/irony", n=25)
    with pytest.raises(UnknownName, match="Did you mean 'cells/contents"):
        benchmark("cells/content")


# -- cells ---------------------------------------------------------------------------------------------------------


def test_a_cell_is_right_only_if_all_its_questions_are():
    items = benchmark("cells/transfer", n=1)
    one_wrong = "transfer-00:informed:plain:reality"
    found = cells(items, rows(items, lambda i: i.id != one_wrong))
    assert found.filter(~pl.col("correct")).select("scene", "order", "kind", "questions").rows() == [
        ("informed", "plain", "control", 2)
    ]
    assert shares(items, lambda i: i.id != one_wrong) == {
        ("transfer", "false-belief"): 1.0,
        ("transfer", "control"): 5 / 6,
        ("transfer", "all"): 7 / 8,
        ("transfer", "story"): 0.0,
    }


@given(right=st.lists(st.booleans(), min_size=32, max_size=32))
def test_accuracies_against_counting_by_hand(right):
    items = benchmark("cells/contents", n=2)
    answers = dict(zip((i.id for i in items), right, strict=True))
    by_cell = {}
    for item in items:
        key = (item.group, item.tags["scene"], item.tags["order"])
        by_cell[key] = by_cell.get(key, True) and answers[item.id]
    false = [ok for (_, scene, _), ok in by_cell.items() if scene == "false belief"]
    found = shares(items, lambda i: answers[i.id])
    assert found["contents", "all"] == sum(by_cell.values()) / 16
    assert found["contents", "false-belief"] == sum(false) / 4
    assert found["contents", "control"] == (sum(by_cell.values()) - sum(false)) / 12


def test_rows_of_several_repetitions_stay_apart():
    items = benchmark("cells/irony", n=2)
    table = pl.concat(
        [rows(items, lambda i, r=r: i.ability == "irony-literal" or r > 0).with_columns(rep=pl.lit(r)) for r in (1, 0)]
    )
    found = accuracies(items, table, by=["rep"]).filter(pl.col("kind") == "all")
    assert found.select("rep", "n", "accuracy", "always_yes", "reality_reporter").rows() == [
        (1, 4, 1.0, 0.0, None),
        (0, 4, 0.5, 0.0, None),
    ]
    with pytest.raises(StimulusError, match=r"each question needs one row. Score all items of the cells, once"):
        cells(items, table)


def test_cells_that_were_not_scored_whole_are_refused():
    items = benchmark("cells/irony", n=2)
    with pytest.raises(StimulusError, match="7 of the rows belong to the 8 questions"):
        cells(items, rows(items[1:], lambda _: True))
    twice = [*items[1:], items[1]]
    with pytest.raises(StimulusError, match="8 of the rows belong to the 8 questions"):
        cells(items, rows(twice, lambda _: True))
    with pytest.raises(StimulusError, match="0 of the rows belong to the 0 questions"):
        cells([Item("1", "w", ("a", "b"), 0)], rows(items, lambda _: True))


# -- the task file -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared):
    path = shared / "data/tom_cells/tom_tasks.json"
    if not path.is_file():
        pytest.skip("no sample of the task file")
    return path


def test_the_real_file_gives_the_published_prompts(real):
    items = benchmark(real)
    assert Counter(i.tags["task"] for i in items) == {"contents": 320, "transfer": 320, "irony": 24}
    assert len({i.prompt for i in items}) == len({i.id for i in items}) == 664
    assert not [i.id for i in items if PLACEHOLDER.search(str(i.prompt))]
    # Figures of the published prompts: double blanks, and a swap that goes through "opens".
    assert Counter(i.tags["task"] for i in items if "  " in str(i.prompt)) == {"contents": 20, "transfer": 4}
    assert {i.tags["story"] for i in items if "opencils" in str(i.prompt)} == {"contents-4"}
    assert sum("can can" in str(i.prompt) for i in items) == 4


def test_a_reality_reporter_and_one_who_always_says_yes_on_the_real_file(real):
    items = benchmark(real)
    reporter = shares(items, lambda i: (reports_reality(i) if i.tags["task"] != "irony" else says_yes(i)) == i.answer)
    assert [reporter[task, "all"] for task in TASKS] == [0.75, 0.75, 0.5]
    assert [reporter[task, "false-belief"] for task in TASKS[:2]] == [0.0, 0.0]
    assert [reporter[task, "control"] for task in TASKS[:2]] == [1.0, 1.0]
    found = accuracies(items, rows(items, lambda _: True)).filter(pl.col("kind") == "all")
    assert found.select("task", "n", "accuracy", "reality_reporter", "always_yes").rows() == [
        ("contents", 160, 1.0, 0.75, None),
        ("transfer", 160, 1.0, 0.75, None),
        ("irony", 24, 1.0, None, 0.5),
    ]


def test_the_mended_real_file(real):
    items = benchmark(real, wording="mended")
    assert len(items) == 664 - 8
    assert not [i.id for i in items if re.search(r"  |opencils|can can|him cousin", str(i.prompt))]


def test_prompts_to_the_letter(file):
    items = {i.id: i for i in benchmark(file(TASKS_OF))}
    told = 'In the garage stands a closed jar full of {}. There are no {} in it. {} label says "{}". Omar sees the jar. He has never seen it.'
    shut = " Omar does not open the jar and does not look inside. Omar reads the label."
    q1 = "He opens the jar and looks inside. He can clearly see that it is full of"
    q2 = "Omar calls a friend to tell them that he has just found a jar full of"
    lead = "Complete the following story: "

    def prompt(scene, order, question):
        item = items[f"contents-3:{scene}:{order}:{question}"]
        return item.prompt, item.choices[item.answer]

    yet = told.format("buttons", "nails", "Yet its", "nails") + shut
    assert prompt("false-belief", "plain", "reality") == (f"{lead}{yet} {q1}", "buttons")
    assert prompt("false-belief", "plain", "belief") == (f"{lead}{yet} {q2}", "nails")
    other = told.format("nails", "buttons", "Yet its", "buttons") + shut
    assert prompt("false-belief", "swapped", "belief") == (f"{lead}{other} {q2}", "buttons")
    assert prompt("correct-label", "plain", "belief") == (
        f"{lead}{told.format('buttons', 'nails', 'Its', 'buttons')}{shut} {q2}",
        "buttons",
    )
    cousin = (
        " A cousin calls Omar and tells him that the jar has buttons in it, and that he should ignore the label that says "
        '"nails". Omar believes him cousin.'
    )
    assert prompt("informed-protagonist", "plain", "belief") == (f"{lead}{yet}{cousin} {q2}", "buttons")
    opened = (
        told.format("buttons", "nails", "Yet its", "nails")
        + " Omar opens the jar and looks inside. Omar reads the label."
    )
    assert prompt("open-container", "plain", "belief") == (f"{lead}{opened} {q2}", "buttons")

    assert (
        items["transfer-0:no-transfer:plain:reality"].choices[items["transfer-0:no-transfer:plain:reality"].answer]
        == "desk"
    )
    assert items["transfer-0:informed-protagonist:swapped:belief"].prompt == (
        f"{lead}Lea puts the pen on the shelf and leaves. Max moves it to the desk. Lea returns. Max calls Lea and says that it "
        "is on the desk. Lea will look for the pen on the"
    )
    ironic, literal = items["irony-0:ironic:plain:thought"], items["irony-0:literal:plain:thought"]
    assert ironic.prompt == f"Read the following story: {S3['txt']} Correct Answer:"
    assert [i.choices[i.answer] for i in (ironic, literal)] == ["No", "Yes"]


def test_mended_stories_swap_whole_words_and_the_longer_first(file):
    story = S2 | {"o1": "box", "o2": "box of tea", "txt": "The boxer moves it from the box to the box of tea."}
    items = {i.id: str(i.prompt) for i in benchmark(file({"s2": [story]}), wording="mended")}
    swapped = items["transfer-0:false-belief:swapped:reality"]
    assert "The boxer moves it from the box of tea to the box. The pen" in swapped


@pytest.mark.parametrize(
    ("number", "asked"), [(12, "has just received a"), (14, "has just received a"), (13, "has just found a")]
)
def test_stories_with_words_of_their_own(file, number, asked):
    items = benchmark(file({"s1": [S1 | {"NUMBER": number}]}), which="contents-false-belief")
    assert len(items) == 2
    assert all(asked in str(i.prompt) for i in items)


def test_disks_and_computers_are_opened_otherwise(file):
    texts = [str(i.prompt) for i in benchmark(file({"s1": [S1 | {"NUMBER": 1}, S1 | {"NUMBER": 17}]}))]
    assert (
        sum(
            "does not connect to the jar and does not explore its contents. Omar reads the label on the jar.  " in t
            for t in texts
        )
        == 12
    )
    assert (
        sum("Omar connects to the jar and explores its contents. Omar reads the label on the jar. " in t for t in texts)
        == 4
    )
    assert sum("listen to any of the CDs" in t for t in texts) == 12
    assert sum("he can clearly hear that it is full of" in t.lower() for t in texts) == 8


def test_a_python_file_is_read_and_never_run(file, tmp_path):
    trap = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nraise SystemExit\n"
    code = f"{trap}tsks1 = {[S1]!r}\ntsks2: list = {[S2]!r}\ntsks3 = {[S3]!r}\nother = open\n"
    assert benchmark(file(code, "tasks.py")) == benchmark(file(TASKS_OF))
    assert not (tmp_path / "ran").exists()


BAD = {
    "no list": ("tasks.json", {"s1": []}, "s1 is .* at least one task"),
    "other lists": ("tasks.py", "tsks = []", "has none of the lists of a task file"),
    "an expression": ("tasks.py", "x = 1\ntsks1 = list(x)", "line 2: tsks1 is not a plain list .* never run"),
    "a bare annotation": ("tasks.py", "tsks1: list", "s1 is None"),
    "no Python": ("tasks.py", "tsks1 = [", "not a Python file that can be read"),
    "a null": ("tasks.py", "tsks1 = '\0'", "there is a NUL character"),
    "deep": ("tasks.py", "tsks1 = " + "[" * 5000 + "]" * 5000, "not a Python file|not a plain list"),
    "missing field": (
        "tasks.json",
        {"s2": [{k: v for k, v in S2.items() if k != "q1"}]},
        "entry 1 of s2: 'q1' is None",
    ),
    "empty field": ("tasks.json", {"s3": [S3 | {"txt": " "}]}, "entry 1 of s3: 'txt' is ' '"),
    "no number": ("tasks.json", {"s3": [S3 | {"NUMBER": "0"}]}, "NUMBER is '0'"),
    "true": ("tasks.json", {"s3": [S3 | {"NUMBER": True}]}, "NUMBER is True"),
    "same number": ("tasks.json", {"s3": [S3, S3]}, "entry 2 of s3: NUMBER is 0"),
    "no object": ("tasks.json", {"s1": ["x"]}, "entry 1 of s1: 'x' is no task"),
    "same words": ("tasks.json", {"s2": [S2 | {"o1": "desk "}]}, "o1 and o2 are both 'desk '"),
    "no list at all": ("tasks.json", {"s1": {"a": 1}}, "It must be a list"),
    "half a pair": ("tasks.py", 'tsks3 = [{"NUMBER": 0, "txt": "\\ud800", "txt_reverse": "b"}]', "'txt' is"),
    "broken": ("tasks.json", '{"s1": [', "line 1: malformed JSON"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_bad_task_files(file, name, content, message):
    with pytest.raises(StimulusError, match=message):
        benchmark(file(content, name))


def test_a_task_that_the_file_lacks(file):
    with pytest.raises(StimulusError, match=r"tasks.json has no items of 'irony'"):
        benchmark(file({"s1": [S1]}), which="irony")
    with pytest.raises(UnknownName, match=r"Cell task or ability 'ironie' is not known. Did you mean"):
        benchmark(file({"s1": [S1]}), which="ironie")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["S1", "CX", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*S1, *S2, "s1"]), inner, max_size=6),
    max_leaves=12,
)
CHANGES = st.dictionaries(st.sampled_from([*S1, *S2, *S3]), VALUES, max_size=3)


@given(name=st.sampled_from(["s1", "s2", "s3"]), change=CHANGES, wording=st.sampled_from(["published", "mended"]))
@example(name="s2", change={"o1": "(", "o2": "(["}, wording="mended")
def test_a_task_with_anything_in_it(tmp_path_factory, name, change, wording):
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(json.dumps({name: [TASKS_OF[name][0] | change]}))
    try:
        items = benchmark(path, wording=wording)
    except BrocaError:
        return
    assert all(item.fingerprint for item in items)
    assert len(items) in (2, 12, 16)


@given(content=st.text(st.sampled_from("tsk123 =[]{}():,\"\n\\'0#\ud7ff\0"), max_size=60).map(lambda t: "tsks1 = " + t))
def test_any_python_file(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.py"
    path.write_text(content, encoding="utf-8", errors="replace")
    with pytest.raises(BrocaError):
        benchmark(path)


# -- the order of the training texts -------------------------------------------------------------------------------


def test_the_first_texts_of_seed_0():
    assert draws.draw_texts(10, of=640) == (5, 481, 404, 34, 301, 13, 462, 566, 536, 500)
    used = draws.draw_texts(100, of=640)
    assert sum(i < 320 for i in used) == 45
    assert len({i // 16 for i in used}) == 36


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8), seed=st.integers(0, 99), window=st.integers(1, 20))
def test_windows_lie_within_their_documents(lengths, seed, window):
    def cut():
        return draws.draw_windows(lambda i: lengths[i], 20, documents=len(lengths), window=window, seed=seed)

    if max(lengths) < window:
        with pytest.raises(StimulusError, match="A hundred texts in a row"):
            cut()
        return
    try:
        found = cut()
    except StimulusError:
        assert sum(length < window for length in lengths) >= len(lengths) / 2
        return
    assert found == cut()
    assert all(0 <= start <= lengths[i] - window for i, start in found)


def test_windows_are_the_published_ones_up_to_the_last():
    """A document until one is long enough, then a place: ``random.randint`` includes both its ends, so the last window counts."""
    lengths = [3, 9, 12, 8, 30, 9]
    for seed in range(40):
        random.seed(seed)
        expected = []
        for _ in range(25):
            while True:
                document = random.randint(0, 5)
                if lengths[document] >= 8:
                    break
            expected.append((document, 0 if lengths[document] == 8 else random.randint(0, lengths[document] - 8)))
        assert draws.draw_windows(lambda i: lengths[i], 25, documents=6, window=8, seed=seed) == tuple(expected)
