"""Prompts of the style ``tl`` beside a second, plain-minded building of them from what is known of Jamaa et al. (2025).

Rows are of the shapes that the published files have, oddities included; the files stay with their users.
"""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from PIL import Image

from broca.errors import StimulusError
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.pictures import squash
from broca.stimuli.published.listing import listing

CHOOSE = "Read the story and then answer the question. Choose the best answer among options provided."
LOOK = (
    "Given an image and a related question with multiple-choice options, analyze the image and select the best answer "
    "from the provided choices:"
)


def lines(path, rows):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def letters(options):
    return "\n".join(f"{chr(97 + i)}. {option}" for i, option in enumerate(options))


def answers(items):
    return ["abcdefgh"[item.answer] for item in items]


# -- MMStar ----------------------------------------------------------------------------------------------------------

HINT = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
STARS = {
    "Which one is it?\nOptions: A: A dog sits., B: A cat, a big one., C: None, D: All": "B",
    "<image 1> What is meant? \nOptions: A: war, B: peace": "A",
    f"{HINT}Question: How many, to 0.1?\nChoices:\n(A) 40.7\n(B) 74\n(C) 70.4": "C",
    f"{HINT}Question: How many in all?\n(A) 54\n(B) 52\n(C) 56\n(D) 57": "D",
    "There are points (A), (B) and (C). At which is it solid?\nOptions: A: (A), B: (B), C: (C)": "C",
    "Who eats whom?\nOptions: A: hawk, B: snake, C: lion, D: none (A) hawk (B) none (C) lion": "D",
    "Which?\nOptions: A: at 5 C, B: at 6 C, C: at 6 C": "B",
    "¿Cuál? 😀\nOptions: A: años, B: 年, C: é": "B",
}


def star_question(text):
    """All behind the first ``question:``, up to a line that begins with a label; white space stays."""
    start = text.lower().find("question:")
    rest = text if start < 0 else text[start + len("question:") :]
    ends = [at for at in (rest.find("\nOptions:"), rest.find("\nChoices:")) if at >= 0]
    return rest[: min(ends, default=len(rest))]


def star_options(text):
    """Letter by letter: from its first mark to the first mark of any later letter."""
    places = [text.find(label) + len(label) for label in ("Options:", "Choices:") if label in text]
    rest = text[min(places) if places else text.index("\n", text.index("Question:")) :]

    def mark(letter, start):
        found = [(rest.find(m, start), len(m)) for m in (f"({letter})", f"{letter}:") if rest.find(m, start) >= 0]
        return min(found, default=None)

    options = []
    for place, letter in enumerate("ABCDEFGH"):
        if (own := mark(letter, 0)) is not None:
            start = sum(own)
            later = (found[0] for each in "ABCDEFGH"[place + 1 :] if (found := mark(each, start)) is not None)
            options.append(rest[start : next(later, len(rest))].strip().rstrip(","))
    return options


def star_rows():
    more = {"category": "coarse perception", "image": None}
    return [{"index": i, "question": text, "answer": answer, **more} for i, (text, answer) in enumerate(STARS.items())]


def test_mmstar_is_shown_as_published(tmp_path):
    items = benchmark(lines(tmp_path / "mmstar.jsonl", star_rows()), preset="tl", images="leave out")
    assert len(items) == len(STARS)
    for item, (text, answer) in zip(items, STARS.items(), strict=True):
        options = star_options(text)
        shown = ", ".join("abcdefgh"[: len(options)])
        assert item.prompt == f"{LOOK} {shown}\nQuestion: {star_question(text)}\nOptions:\n{letters(options)}"
        assert item.answer == options.index(options["ABCDEFGH".index(answer)])


def test_mmstar_without_hints_in_our_style(tmp_path):
    items = benchmark(lines(tmp_path / "mmstar.jsonl", star_rows()), style="ours", images="leave out")
    assert items[2].prompt == "Question: How many, to 0.1?\nAnswer:"
    assert (items[3].prompt, items[3].choices) == ("Question: How many in all?\nAnswer:", ("54", "52", "56", "57"))
    assert items[4].choices == ("(A)", "(B)", "(C)")
    assert items[6].answer == 1  # the letter of the file


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Q?\r\nOptions: A: x, B: y\r\n", ["x", "y"]),
        ("Q?\noptions: (a) x (b) y (c) both (a) and (b)", ["x", "y", "both (a) and (b)"]),
        ("Which of the options: none?\nChoices: A: x, B: y", ["x", "y"]),
        ("Q?\nOptions: " + ", ".join(f"{chr(65 + i)}: o{i}" for i in range(12)), [f"o{i}" for i in range(12)]),
        ("A: Is it so?\nQuestion: What?\nOptions: A: x, B: y", ["x", "y"]),
        ("Ratio a: b?\n(A) 1 a: 2\n(B) 2", ["1 a: 2", "2"]),
        ("Q?\nOptions:\nA:\u00a0x\nB:\u2003y", ["x", "y"]),
        ("Q?\nOptions: A: DNA: x, B: RNA: y", ["DNA: x", "RNA: y"]),
        ("Q?\nOptions: (A): x (B): y", ["x", "y"]),
        ("Q?\nOptions: (A) x (B) (c) 2020 (C) z", ["x", "(c) 2020", "z"]),
    ],
)
def test_options_of_many_forms(text, options):
    assert [option.strip() for option in listing(text).options] == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Q?", "no options were found"),
        ("", "no options were found"),
        ("Q?\nOptions: A: x", "no options were found"),
        ("Q?\nOptions: A: x, B: ", "none of them empty"),
        ("Q?\nOptions: A: , B: y", "none of them empty"),
        ("Q?\nOptions: B: x, C: y", "no options were found"),
        ("Q?\nOptions: A: x, B: y, D: z", "option D comes where C should"),
        ("Q?\nOptions: (A) x, (B) y, (c) z", "option c comes where C should"),
        ("Q?\nOptions: A: x, B: y, B: z, C: w", "option B comes twice"),
        ("Options: A: x, B: y", "no question before the options"),
        ("Question:\nOptions: A: x, B: y", "no question before the options"),
        ("Q?\nOptions: A. x, B. y", "no options were found"),
        ("Q?\nOptions: 1: x, 2: y", "no options were found"),
        ("Q?\nOptions: x or y", "no options were found"),
    ],
)
def test_options_that_cannot_be_told_apart(text, said):
    with pytest.raises(StimulusError, match=said):
        listing(text)


# -- pictures --------------------------------------------------------------------------------------------------------


def noisy(path, size):
    draw = np.random.default_rng(size[0])
    Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def theirs(path, smallest):
    """Grey; sides stretched to the smallest, then squashed if too large, by Lanczos each time."""
    image = Image.fromarray(pixels(path)).convert("L")
    image = image.resize((max(smallest, image.width), max(smallest, image.height)), Image.Resampling.LANCZOS)
    if image.width > 650 or image.height > 600:
        image = image.resize((650, 650), Image.Resampling.LANCZOS)
    return np.asarray(image)


@pytest.mark.parametrize("size", [(700, 100), (30, 20), (12, 640), (650, 600)])
@pytest.mark.parametrize("smallest", [0, 40])
def test_pictures_are_squashed_to_the_same_pixels(size, smallest, tmp_path):
    path = noisy(tmp_path / "x.png", size)
    copy = pixels(squash(str(path), tmp_path / "grey", smallest=smallest))
    np.testing.assert_array_equal(copy[..., 0], theirs(path, smallest))


def test_only_mathvista_stretches_small_pictures(tmp_path):
    noisy(tmp_path / "small.png", (30, 20))
    star = {"index": 0, "question": "What?\nOptions: A: x, B: y", "answer": "A", "category": "c", "image": "small.png"}
    (one,) = benchmark(lines(tmp_path / "mmstar.jsonl", [star]), preset="tl")
    (other,) = benchmark(lines(tmp_path / "vista.jsonl", [vista(image="small.png")]), preset="tl")
    assert [pixels(item.images[0]).shape[:2] for item in (one, other)] == [(20, 30), (40, 40)]


# -- MathVista, MATH -------------------------------------------------------------------------------------------------


def vista(**more):
    return {"pid": "1", "question": " Where is it? \r\n", "image": "x.jpg", "choices": ["Legal ", "Code", " News"],
            "answer": "Code", "question_type": "multi_choice", **more}  # fmt: skip


def test_mathvista_keeps_its_white_space(tmp_path):
    row = vista()
    (item,) = benchmark(lines(tmp_path / "v.jsonl", [row]), preset="tl", images="leave out")
    body = f"Question: {row['question']}\nOptions:\n{letters(row['choices'])}"
    assert item.prompt == f"{LOOK} a, b, c\n{body}"
    (mine,) = benchmark(lines(tmp_path / "v.jsonl", [row]), style="ours", images="leave out")
    assert (mine.prompt, mine.choices) == ("Question: Where is it?\nAnswer:", ("Legal", "Code", "News"))


def test_math_keeps_its_white_space(tmp_path):
    row = {"A": "44", "B": "\\frac 29 ", "C": " ", "D": "7\n", "Answer": "B", "Question": " Find $n$. "}
    (item,) = benchmark(lines(tmp_path / "t.jsonl", [row]), preset="tl")
    context = "This is a mathematical problem. Read it and choose the best answer among options provided: a, b, c, d."
    listed = letters([row[letter] for letter in "ABCD"])
    assert item.prompt == f"{context}\nQuestion: {row['Question']}\nOptions:\n{listed}\nAnswer letter:"


# -- MMToM-QA, FANToM, OpenToM, ToMi ---------------------------------------------------------------------------------


def test_mmtom_is_shown_as_published(tmp_path):
    flat = "What's inside: a fridge.\nThere is a cup in it.\n  Actions taken by Ann: she walks. "
    asked = "If so, which one of the following statements is more likely to be true?"
    text = f"{flat}\nQuestion: {asked} (a) She thinks so. (b) She does (not) so. Please respond with either a or b."
    row = {"question": text, "answer": "b", "question_type": 1.2, "episode": 6, "start_time": 1, "end_time": 2}
    path = tmp_path / "questions.json"
    lines(path, [row, row])
    context = (
        "The following multiple-choice question is based on the story, with complementary text and images enhancing its "
        f"context. The question is related to Theory-of-Mind. {CHOOSE}"
    )
    last = re.search(r"([^\n]*)\s+Question:", text)[1].strip()
    own = [
        each.replace("(", "").replace(")", ".") for each in re.findall(r"\([ab]\)\s*[^()]+", text.partition("true?")[2])
    ]
    assert own == ["a. She thinks so. ", "b. She does "]
    listed = "\n".join(own)
    first, _ = benchmark(path, preset="tl")
    assert first.prompt == f"{context}\nStory:\n{last}\nQuestion: {asked}\nOptions:\n{listed}\nAnswer:"


def talk(i, **more):
    qa = {
        "question": f" What does Bo believe of {i}? ",
        "tom_type": "first-order",
        "question_type": "tom:belief:inaccessible",
        "correct_answer": f"Bo does not know of {i}. ",
        "wrong_answer": f" Bo thinks that it is {i}.",
    }
    full = f"Ann: Hello {i}.\nBo : Bye.\nCy: A dog: Rex.\n"
    return {"full_context": full, "short_context": f" Ann: A dog {i}.\nCy: Rex. ", "beliefQAs": [qa], **more}


def test_fantom_is_shown_as_published(tmp_path):
    rows = [talk(i) for i in range(12)]
    path = tmp_path / "fantom_v1.json"
    path.write_text(json.dumps(rows))
    draw = random.Random(42)
    for row, item in zip(rows, benchmark(path, preset="tl"), strict=True):
        qa = row["beliefQAs"][0]
        options = draw.sample([qa["correct_answer"], qa["wrong_answer"]], 2)
        names = sorted({line.split(":")[0] for line in row["full_context"].split("\n") if ":" in line})
        context = (
            f"The following multiple choice question is based on a dialogue with the following characters: "
            f"{', '.join(names[:-1])} and {names[-1]}. The question is related to Theory-of-Mind. {CHOOSE}"
        )
        assert names == ["Ann", "Bo ", "Cy"]
        body = f"Story:{row['short_context']}\nQuestion: {qa['question']}\nOptions:\n{letters(options)}"
        assert item.prompt == f"{context}\n{body}\nAnswer:"
        assert item.answer == options.index(qa["correct_answer"])


def place(i, answer, kind="location-fo"):
    info = {"mover": "Al", "observer": "Mo", "original_place": f"basket {i} ", "move_to_place": f"drawer {i}"}
    asked = {"question": f"From Mo's perspective, where is hat {i}? ", "answer": answer, "type": kind}
    return {
        "plot": f"Plot {i}.",
        "narrative": f" A story {i}.",
        "plot_info": info,
        "observed": False,
        "question": asked,
    }


def test_opentom_draws_the_flips_of_places_first_whatever_is_asked(tmp_path):
    rows = [row for i in range(15) for row in (place(i, f"drawer {i}"), place(i, "Yes"))]
    path = tmp_path / "opentom.json"
    path.write_text(json.dumps(rows))
    state = np.random.RandomState(42)
    places, yes_no = state.rand(15) < 0.5, state.rand(15) < 0.5
    assert (places != yes_no).any()
    how = {"preset": "tl", "drop": []}
    assert [item.answer for item in benchmark(path, questions="yes-no", **how)] == yes_no.astype(int).tolist()
    assert [item.answer for item in benchmark(path, questions="location", **how)] == places.astype(int).tolist()
    both = benchmark(path, **how)
    assert both == benchmark(path, questions="location", **how) + benchmark(path, questions="yes-no", **how)
    context = (
        "The following multiple choice question is based on the following story. The question is related to "
        f"Theory-of-Mind. {CHOOSE}"
    )
    for i, item in enumerate(both[:15]):
        options = [f"basket {i} ", f"drawer {i}"][:: -1 if places[i] else 1]
        body = f"Story:  A story {i}.\nQuestion: From Mo's perspective, where is hat {i}? "
        assert item.prompt == f"{context}\n{body}\nOptions:\n{letters(options)}\nAnswer letter:"


def test_tomi_keeps_its_white_space(tmp_path):
    head = "story,question,answer,qOrder,falseTrueBelief,cands"
    rows = '"Ann came. "," Where?",box,first_order,False,"[\'bag\', \'box \']"'
    path = tmp_path / "tomi.csv"
    path.write_text(f"{head}\n{rows}\n")
    (item,) = benchmark(path, preset="tl")
    assert item.prompt.endswith("\nStory:Ann came. \nQuestion:  Where?\nOptions:\na. bag\nb. box \nAnswer:")
    assert (item.answer, item.tags["options"]) == (1, "bag|box")
