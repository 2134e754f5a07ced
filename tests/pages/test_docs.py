"""Every Python block of the README and the docs runs, and every example."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import broca
import pictures
from broca import cli
from broca.sites import Site
from broca.units import UnitMask

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_file())
GALLERY = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
STORIES = GALLERY["stories"]()


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def lm():
    return broca.LM.load("beliefs")


FILES = ("extending",)
"""Pages that show whole files of another package, which `tests/architecture/test_stranger.py` installs and runs."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and page.stem not in FILES], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = ["Anna puts the key in the box.", "Ben moves the key to the bag."]
    known = {
        "__name__": "__main__",
        "broca": broca,
        "lm": lm,
        "model": lm.model,
        "tokenizer": lm.tokenizer,
        "items": broca.benchmark("beliefs/false-belief", n=8),
        "lesion": broca.Lesion(UnitMask.of({Site(0, "z"): [0]}, n=lm.anatomy.n_heads, grain="head")),
        "texts": texts,
        "spans": [[(0, 4)] for _ in texts],
    }
    if page.stem == "vision":
        known["vlm"] = pictures.lm("llava")
        (tmp_path / "seen").mkdir()
        rows = [(shape, i) for shape in ("disc", "box") for i in range(1, 9)]
        for shape, i in rows:
            pictures.draw(tmp_path / "seen" / f"{shape}{i}.png", shape, f"hsl({40 * i}, 80%, 50%)")
        table = [f"Look {i}.,{'positive' if shape == 'disc' else 'negative'},seen/{shape}{i}.png" for shape, i in rows]
        (tmp_path / "shapes.csv").write_text("\n".join(["text,label,image", *table]), encoding="utf-8")
    if page.stem == "report":
        spec = broca.Localize(contrast="pain", sites="*.mlp_act")
        known["run"] = broca.run(spec, lm)
    for block in blocks(page):
        exec(compile(block, str(page), "exec", dont_inherit=True), known)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if example.suffix == ".toml":
        monkeypatch.setattr("sys.argv", ["broca", "run", str(example)])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        assert "report.html" in "".join(capsys.readouterr().out.split())
    else:
        runpy.run_path(str(example), run_name="__main__")
        assert len(capsys.readouterr().out.splitlines()) == 3


OURS = [path.stem for path in sorted((ROOT / "examples" / "gallery").glob("*.py"))]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs" / "gallery").glob("*.md")))
def test_a_page_of_the_gallery_has_the_code_of_its_story(name):
    recorded = (ROOT / "docs" / "gallery" / f"{name}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```\{code-block\} python\n(.*?)\n```", recorded, re.DOTALL)
    cells = GALLERY["cells"](STORIES[name].read_text(encoding="utf-8"))
    assert shown == [body for kind, body in cells if kind == "code"], "make gallery"


def test_every_story_of_a_shipped_model_is_recorded():
    assert [name for name in OURS if not (ROOT / "docs" / "gallery" / f"{name}.md").is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_a_story_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "```text" in GALLERY["page"](STORIES[name], tmp_path)


def test_every_page_stands_in_one_list_of_pages():
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    listed = [
        line.strip()
        for path in (ROOT / "docs").glob("*.md")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line.strip() and not line.startswith(":") and "/" not in line
    ]
    assert sorted(listed) == sorted(pages)


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_no_link_leads_nowhere(page):
    for target, anchor in LINK.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)):
        if "://" in target or target.startswith("made/"):
            continue
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            heads = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_files_of_the_tutorial_are_read():
    folder = ROOT / "examples" / "tutorial"
    for name in ("opposites", "synonyms"):
        items = broca.benchmark(str(folder / f"{name}.csv"))
        assert len(items) == 48
        assert len({item.group for item in items}) == 24
    found = broca.contrast(str(folder / "contrast.csv"))
    assert len(found.positive) == len(found.negative) == 24
