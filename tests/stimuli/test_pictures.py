"""Tables that name pictures, and pictures that are missing or damaged, told with their row."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import pictures
from broca.errors import StimulusError
from broca.items import Contrast, Stimulus, fingerprint
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast
from broca.stimuli.pictures import squash


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "seen").mkdir()
    for i, color in enumerate(("red", "green", "blue", "black")):
        pictures.draw(tmp_path / "seen" / f"{i}.png", "disc", color)
    whole = (tmp_path / "seen" / "0.png").read_bytes()
    (tmp_path / "seen" / "half.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


def csv(path, *rows):
    pl.DataFrame(rows).write_csv(path)
    return path


def test_items_name_their_pictures_relative_to_the_file(folder, monkeypatch):
    rows = [
        {"prompt": "Which?", "choices": "disc|box", "answer": "disc", "images": images}
        for images in ("seen/0.png", "seen/1.png | seen/2.png", '["seen/3.png", "seen/0.png"]', None)
    ]
    path = csv(folder / "items.csv", *rows)
    monkeypatch.chdir(folder.parent)
    items = benchmark(path)
    assert [[Path(image).name for image in item.images] for item in items] == [
        ["0.png"],
        ["1.png", "2.png"],
        ["3.png", "0.png"],
        [],
    ]
    assert all(Path(image).is_file() for item in items for image in item.images)
    lines = folder / "items.jsonl"
    rows = [{**row, "image": row["images"], "images": []} for row in rows[:1]]
    rows += [{**rows[0], "image": "", "images": ["seen/1.png", "seen/2.png"]}]
    lines.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    again = benchmark(lines)
    assert [len(item.images) for item in again] == [1, 2]
    assert again[0].images == items[0].images


def test_contrasts_of_pictures(folder):
    labelled = [
        {"text": "Look.", "label": label, "image": f"seen/{i}.png"}
        for i, label in ((0, "positive"), (1, "positive"), (2, "negative"), (3, "negative"))
    ]
    found = contrast(csv(folder / "shapes.csv", *labelled))
    assert [len(side) for side in (found.positive, found.negative)] == [2, 2]
    assert {stimulus.text for stimulus in found.positive} == {"Look."}
    assert "repeat an earlier" not in found.source
    pairs = [
        {
            "positive": "Look.",
            "negative": "Look.",
            "positive_images": f"seen/{i}.png",
            "negative_image": f"seen/{i + 2}.png",
        }
        for i in (0, 1)
    ]
    paired = contrast(csv(folder / "pairs.csv", *pairs))
    assert paired.paired
    assert [Path(stimulus.images[0]).name for stimulus in (*paired.positive, *paired.negative)] == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
    ]
    with pytest.raises(StimulusError, match="line 3: both sides hold the same text"):
        contrast(csv(folder / "same.csv", pairs[0], {**pairs[1], "negative_image": "seen/1.png"}))
    with pytest.raises(StimulusError, match=r"line 6: the text 'Look\.' has the other label in line 2"):
        contrast(csv(folder / "both.csv", *labelled, {**labelled[0], "label": "negative"}))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("seen/gone.png", r"line 3: the picture 'seen/gone.png' in 'image': There is no file"),
        ("seen/half.png", r"line 3: the picture 'seen/half.png' in 'image': damaged, or no picture"),
        ("items.csv", r"line 3: the picture 'items.csv' in 'image': damaged, or no picture"),
        ("seen", r"line 3: the picture 'seen' in 'image': .* cannot be read"),
        ('["seen/0.png", 3]', r"line 3: 'image' is .* Give a path, several"),
        ('["seen/0.png"', r"line 3: 'image' is .*, no JSON list of paths"),
    ],
)
def test_what_is_wrong_with_a_picture_is_told_with_its_row(folder, cell, said):
    rows = [
        {"prompt": "Which?", "choices": "disc|box", "answer": "disc", "image": image} for image in ("seen/0.png", cell)
    ]
    with pytest.raises(StimulusError, match=said):
        benchmark(csv(folder / "items.csv", *rows))


def test_a_near_miss_of_the_column_is_told(folder):
    with pytest.raises(StimulusError, match="Did you mean 'imagess' to be"):
        benchmark(csv(folder / "i.csv", {"prompt": "?", "choices": "a|b", "answer": "a", "imagess": "seen/0.png"}))


def test_stimuli_count_by_the_content_of_their_pictures(folder):
    def of(name):
        side = tuple(Stimulus(str(i), "Look.", images=(str(folder / name),)) for i in range(2))
        return Contrast("c", side, side).fingerprint

    (folder / "copy.png").write_bytes((folder / "seen" / "0.png").read_bytes())
    assert of("seen/0.png") == of("copy.png") != of("seen/1.png")
    bare = Stimulus("a", "Look.")
    assert Contrast("c", (bare, bare), (bare, bare)).fingerprint == fingerprint(
        [{"id": "a", "text": "Look.", "group": "", "tags": {}}] * 4 + [2]
    )
    Contrast("c", *[(Stimulus("a", "", images=("x.png",)),) * 2] * 2)
    with pytest.raises(StimulusError, match="is empty"):
        Contrast("c", (Stimulus("a", ""),) * 2, (bare, bare))


@pytest.mark.parametrize(
    ("size", "becomes"),
    [
        ((651, 100), (650, 650)),
        ((650, 600), (650, 600)),
        ((100, 601), (650, 650)),
        ((30, 20), (40, 40)),
        ((60, 20), (60, 40)),
    ],
)
def test_the_published_squash(size, becomes, folder):
    path = pictures.draw(folder / "x.png", "box", "red", size=size)
    copy = squash(path, folder / "grey", smallest=40)
    with Image.open(copy) as image:
        assert image.size == becomes
        red, green, blue = image.convert("RGB").split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()
    assert squash(path, folder / "grey", smallest=40) == copy
    assert len(list((folder / "grey").iterdir())) == 1


def test_a_preset_squashes_and_nothing_else_does(folder):
    path = pictures.draw(folder / "seen" / "wide.png", "box", "red", size=(700, 100))
    row = {
        "index": 0,
        "question": "What?\nOptions: A: a box, B: a disc",
        "answer": "A",
        "category": "x",
        "image": "seen/wide.png",
    }
    (folder / "mmstar.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (own,) = benchmark(folder / "mmstar.jsonl")
    (grey,) = benchmark(folder / "mmstar.jsonl", preset="tl")
    assert own.images == (path,)
    assert grey.images[0].endswith("-grey.png")
    assert own.fingerprint != grey.fingerprint
    (folder / "mmstar.jsonl").write_text(json.dumps({**row, "image": "seen/half.png"}), encoding="utf-8")
    with pytest.raises(StimulusError, match=r"mmstar.jsonl, .* its picture '.*half.png': damaged"):
        benchmark(folder / "mmstar.jsonl", preset="tl")
