"""The readers: each with what it is called on, and files that it reads well."""

from __future__ import annotations

import csv
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fuzz import samples

READERS: dict[str, Reader] = {}


@dataclass(frozen=True)
class Reader:
    """A way to read a file."""

    name: str
    call: Callable[[Path], object]
    """On the path of the file."""
    seeds: Callable[[], list[bytes]]
    """Contents that it reads."""
    file: str
    """What the file is called, below a folder of its own."""
    beside: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    """Other files in that folder, which stay as they are."""

    @property
    def suffix(self) -> str:
        return Path(self.file).suffix


def reader(name: str, file: str, seeds: Callable[[], list[bytes]], beside: Any = None) -> Callable[[Any], Any]:
    """Register a function of a path."""

    def kept(call: Any) -> Any:
        READERS[name] = Reader(name, call, seeds, file, beside or {})
        return call

    return kept


def as_json(rows: object) -> list[bytes]:
    return [json.dumps(rows).encode()]


def as_lines(rows: list[dict[str, Any]]) -> list[bytes]:
    return ["\n".join(map(json.dumps, rows)).encode()]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> list[bytes]:
    out = io.StringIO()
    table = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    return [out.getvalue().encode()]


def as_parquet(rows: list[dict[str, Any]]) -> list[bytes]:
    import polars as pl

    made = []
    for compression in ("uncompressed", "zstd"):
        out = io.BytesIO()
        pl.DataFrame(rows).write_parquet(out, compression=compression)  # type: ignore[arg-type]
        made.append(out.getvalue())
    return made


# -- tables and what is made of them ---------------------------------------------------------------------------------

FORMS: dict[str, Callable[[list[dict[str, Any]]], list[bytes]]] = {
    "csv": as_csv,
    "tsv": partial(as_csv, delimiter="\t"),
    "jsonl": as_lines,
    "json": as_json,
    "parquet": as_parquet,
}


def _table(path: Path) -> object:
    from broca.stimuli.tables import read_table

    return read_table(path)


for _form, _written in FORMS.items():
    reader(f"table.{_form}", f"t.{_form}", partial(_written, samples.LABELLED))(_table)


def _stimuli(room: str, function: str) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        from importlib import import_module

        return getattr(import_module(f"broca.stimuli.{room}"), function)(path)

    return call


def _kinds(path: Path) -> object:
    from broca.stimuli.perturb import pairs

    return pairs(path, kinds=("main", "swap", "homonym"))


_contrast, _benchmark = _stimuli("contrasts", "contrast"), _stimuli("benchmarks", "benchmark")
_pairs, _trees, _texts = _stimuli("perturb", "pairs"), _stimuli("trees", "trees"), _stimuli("texts", "texts")

reader("contrast.csv", "c.csv", lambda: as_csv(samples.LABELLED) + as_csv(samples.PAIRED))(_contrast)
reader("contrast.jsonl", "c.jsonl", lambda: as_lines(samples.LABELLED) + as_lines(samples.PAIRED))(_contrast)
reader("langloc", "run1.csv", lambda: as_csv(samples.LANGLOC))(_contrast)
reader(
    "tomloc",
    "tom/1b_story.txt",
    lambda: [b"Ann puts the ball in the box and leaves.\nBo moves it."],
    {f"tom/{name}": (lambda text=text: text) for name, text in samples.TOMLOC.items() if name != "1b_story.txt"},
)(lambda path: _contrast(path.parent))
reader(
    "extended-tomloc",
    "tom/tomloc_positive.txt",
    lambda: [samples.BLOCKS],
    {"tom/tomloc_negative.txt": lambda: samples.BLOCKS.replace(b"thinks", b"shows")},
)(lambda path: _contrast(path.parent))
reader("items.csv", "i.csv", lambda: as_csv(samples.ITEMS))(_benchmark)
reader("items.jsonl", "i.jsonl", lambda: as_lines(samples.ITEMS))(_benchmark)
for _name, _file, _rows in samples.PUBLISHED:
    _form = Path(_file).suffix[1:]
    reader(f"published.{_name}", _file, partial(FORMS[_form], _rows))(_benchmark)
_PICTURE = {"p.png": lambda: samples.picture("PNG")}
_mathvista, _mmstar = _stimuli("published.vision", "mathvista"), _stimuli("published.vision", "mmstar")
reader("published.mathvista", "testmini.json", lambda: as_json(samples.MATHVISTA), _PICTURE)(_mathvista)
reader("published.mmstar", "mmstar.jsonl", lambda: as_lines(samples.MMSTAR), _PICTURE)(_mmstar)
reader("published.mmstar.parquet", "mmstar.parquet", lambda: as_parquet(samples.MMSTAR), _PICTURE)(_mmstar)
reader("published.syntaxgym", "agreement.json", lambda: as_json(samples.SUITE))(_benchmark)
reader("task-file.json", "tasks.json", lambda: as_json(samples.TASKS))(_benchmark)
reader("task-file.py", "tasks.py", lambda: [samples.task_code()])(_benchmark)
reader("pairs.typos", "typos.json", lambda: as_json(samples.TYPOS))(_kinds)
reader("pairs.csv", "p.csv", lambda: as_csv(samples.CLEAN))(_pairs)
reader("pairs.paraphrases", "qqp.csv", lambda: as_csv(samples.QUORA))(_pairs)
reader("trees.jsonl", "trees.jsonl", lambda: as_lines(samples.TREES))(_trees)
reader("texts.txt", "x.txt", lambda: [b"One text.\n\nAnother text,\nof two lines.\n\nA third.\n"])(_texts)
reader("texts.jsonl", "x.jsonl", lambda: as_lines([{"text": "One."}, {"text": "Two."}]))(_texts)
reader("proofwriter", "meta-test.jsonl", lambda: as_lines(samples.PROOFS))(_stimuli("trees.proofwriter", "proofwriter"))
reader("arc", "task_1.jsonl", lambda: as_lines(samples.ARC))(_stimuli("trees.arc", "arc"))


reader(
    "pain",
    "p/emotion_pain.txt",
    lambda: [b"One was left.\r\n\r\nTwo was lost."],
    {"p/physical_pain.txt": lambda: b"A.\nB."},
)(lambda path: _contrast(path.parent))


@reader("perturbed-column", "t.csv", lambda: as_csv(samples.LABELLED))
def _column(path: Path) -> object:
    from broca.stimuli.perturb import is_pairs
    from broca.stimuli.perturb.files import column

    return is_pairs(path), column(path, kinds=("swap",))


@reader("checksum", "t.csv", lambda: as_csv(samples.LABELLED))
def _origin(path: Path) -> object:
    from broca.stimuli.published.sources import origin

    return origin(path)


@reader("typo-entries", "typos.json", lambda: as_json(samples.TYPOS))
def _entries(path: Path) -> object:
    from broca.stimuli.perturb.entries import entries

    return entries(path)


def _frames(path: Path) -> object:
    from broca.stimuli.published.mmtom import _intervals

    _intervals.cache_clear()
    return _intervals(path.parent)


@reader(
    "mmtom-with-frames",
    "questions.jsonl",
    lambda: as_lines(samples.MMTOM),
    {
        "task_1/frame_intervals.json": lambda: as_json(FRAMES)[0],
        **{f"task_1/script/0/Action_00{n}_0_normal.png": lambda: samples.picture("PNG") for n in (15, 25)},
        "task_0/frame_intervals.json": lambda: as_json(FRAMES)[0],
        **{f"task_0/script/0/Action_00{n}_0_normal.png": lambda: samples.picture("PNG") for n in (15, 25)},
    },
)
def _mmtom_frames(path: Path) -> object:
    from broca.stimuli.published.mmtom import mmtom

    return mmtom(path, frames=str(path.parent))


@reader(
    "items-with-pictures", "i.jsonl", lambda: as_lines([{**row, "image": "p.png"} for row in samples.ITEMS]), _PICTURE
)
def _with_pictures(path: Path) -> object:
    return _benchmark(path)


@reader("answers-store", "kept.sqlite", samples.store)
def _store(path: Path) -> object:
    return samples.asked_again(path)


FRAMES = [(0, 9), (10, 20), (21, 30)]
reader("mmtom-frames.pik", "task_1/frame_intervals.pik", lambda: [pickle.dumps(FRAMES, p) for p in range(5)])(_frames)
reader("mmtom-frames.json", "task_1/frame_intervals.json", lambda: as_json(FRAMES))(_frames)


@reader("picture.png", "p.png", lambda: [samples.picture("PNG"), samples.picture("GIF"), samples.picture("BMP")])
def _picture(path: Path) -> object:
    from broca.stimuli.pictures import squash

    return squash(str(path), path.parent / "out")


@reader("picture-shown", "p.png", lambda: [samples.picture("PNG"), samples.picture("JPEG"), samples.picture("TIFF")])
def _opened(path: Path) -> object:
    from broca.models.processing import open_picture

    return open_picture(str(path))


# -- units, models, captures -----------------------------------------------------------------------------------------


def _bytes_of(save: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        save(path)
        return path.read_bytes()


def _mask() -> list[bytes]:
    from broca.units import UnitMask

    unit = UnitMask.of({"0.z": [0, 2], "1.z": [1]}, n=4)
    return [_bytes_of(unit.save), _bytes_of(UnitMask.of({"3.z": [1]}, n=8, grain="head").save)]


@reader("mask", "mask.safetensors", _mask)
def _load_mask(path: Path) -> object:
    from broca.units import UnitMask

    return UnitMask.load(path)


@reader("direction", "d.safetensors", samples.directions)
def _load_direction(path: Path) -> object:
    from broca.units.direction import Direction

    return Direction.load(path)


def _direction(path: Path) -> object:
    from broca.compat.directions.read import read_direction

    return read_direction(path, generator="shift")


reader("direction.gguf", "d.gguf", samples.control_vectors)(_direction)
reader("direction.svec", "d.svec", samples.svecs)(_direction)
reader("direction.caa", "vec_layer_3_m.pt", samples.torch_vector)(_direction)
_REFUSAL = {"direction_metadata.json": lambda: b'{"pos": -2, "layer": 1}'}
reader("direction.refusal", "direction.pt", samples.torch_vector, _REFUSAL)(_direction)


@reader(
    "direction.metadata",
    "direction_metadata.json",
    lambda: [_REFUSAL["direction_metadata.json"]()],
    {"direction.pt": lambda: samples.torch_vector()[0]},
)
def _direction_metadata(path: Path) -> object:
    return _direction(path.with_name("direction.pt"))


def _circuit(path: Path) -> object:
    from broca.compat.circuits.read import read_circuit

    return read_circuit(path)


reader("circuit.json", "importances.json", lambda: as_json(samples.mib_entry()))(_circuit)
reader("circuit.pt", "importances.pt", samples.mib_tensors)(_circuit)


@reader("circuit.pkl", "edges.pkl", lambda: [pickle.dumps(samples.INTERPBENCH, p) for p in range(5)])
def _true_edges(path: Path) -> object:
    from broca.compat.circuits.interpbench import read_edges
    from broca.units.graph import EdgeGraph

    return read_edges(path, EdgeGraph(4, 4, (False,) * 3))


@reader("circuit.pth", "ll_model.pth", samples.interpbench_weights)
def _circuit_weights(path: Path) -> object:
    from broca.compat.circuits.interpbench import read_weights

    return read_weights(path)


@reader("dictionary", "d.safetensors", samples.dictionaries)
def _load_dictionary(path: Path) -> object:
    from broca.units.dictionary import Dictionary

    return Dictionary.load(path)


def _dictionary(path: Path) -> object:
    from broca.compat.dictionaries.read import read_dictionary

    site = "1.resid_post" if path.suffix == ".npz" else None
    return read_dictionary(path if site else path.parent, site=site)


def _register_folder(name: str, folder: str, held: Mapping[str, Callable[[], bytes]]) -> None:
    """Each file of a folder in turn, the others beside it."""
    for file, content in held.items():
        rest = {f"{folder}/{other}": held[other] for other in held if other != file}
        reader(f"dictionary.{name}.{file}", f"{folder}/{file}", lambda content=content: [content()], rest)(_dictionary)


_register_folder("saelens", "sae", samples.saelens())
_register_folder("sparsify", "layers.1", samples.sparsify())
reader("dictionary.npz", "params.npz", samples.gemma_scope)(_dictionary)


def _weights() -> list[bytes]:
    import numpy as np

    from broca.units.weights import Address, WeightSet

    made = WeightSet({"a.w": np.array([0, 3, 5])}, {"a.w": Address(0, "q", 4, 4)}, {"model": "abc"})
    return [_bytes_of(made.save)]


@reader("weight-set", "weights.safetensors", _weights)
def _load_weights(path: Path) -> object:
    from broca.units.weights import WeightSet

    return WeightSet.load(path, model="abc")


@reader("model-header", "m/model.safetensors", lambda: _weights() + _mask())
def _need(path: Path) -> object:
    from broca.models.memory import need

    return need(str(path.parent))


_INDEX = {"metadata": {"total_size": 3}, "weight_map": {"a.w": "model.safetensors"}}
_MODEL = {"m/config.json": lambda: b'{"architectures": ["A"]}', "m/model.safetensors": lambda: _weights()[0]}
reader("model-index", "m/model.safetensors.index.json", lambda: as_json(_INDEX), _MODEL)(_need)


def _locate(path: Path) -> object:
    from broca.models.checkpoint import locate

    return locate(str(path.parent))


reader("model-config", "m/config.json", lambda: as_json({"architectures": ["ACausalLM"], "n": {"a": 1}}), _MODEL)(
    _locate
)
reader("model-adapter", "m/adapter_config.json", lambda: as_json({"base_model_name_or_path": "a/b"}), _MODEL)(_locate)
reader("model-index-located", "m/model.safetensors.index.json", lambda: as_json(_INDEX), _MODEL)(_locate)


@reader(
    "cached-model",
    "m/model.safetensors",
    lambda: _weights() + _mask(),
    {"m/config.json": lambda: b"{}", "m/tokenizer.json": lambda: b"{}"},
)
def _cached(path: Path) -> object:
    from broca.models.conversion import is_whole

    return is_whole(path.parent)


@reader("model-gguf", "m/model.gguf", samples.gguf)
def _gguf_header(path: Path) -> object:
    from broca.models.conversion import cached_folder
    from broca.models.gguf import read_header

    return cached_folder(path), read_header(path)


@reader("old-capture", "activations.pt", samples.captures)
def _capture(path: Path) -> object:
    from broca.compat.error_mechanisms.captures import read_old_capture

    return read_old_capture(path, pad=0)


@reader("wu-scores", "layer_0.pt", samples.scores)
def _scores(path: Path) -> object:
    from broca.compat.wu2025.chunks import _load

    return _load(path)


@reader("converted-capture", "activations.safetensors", samples.converted)
def _converted(path: Path) -> object:
    from broca.compat.error_mechanisms.captures import read_converted

    return read_converted(path)


@reader("wu-results", "tom/1/1e-05/transfer/results.csv", lambda: [b",a,b\n0,1,0\n1,0,1\n"])
def _results(path: Path) -> object:
    from broca.compat.wu2025.results import read_tree

    return read_tree(path.parents[3])


@reader("course", "checkpoint.safetensors", samples.checkpoint)
def _course(path: Path) -> object:
    return samples.course(path.parent)._resume()


# -- runs ------------------------------------------------------------------------------------------------------------


def _content(function: str) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        from broca.runs import formats

        return getattr(formats, function)(path.read_bytes())

    return call


reader("run-table", "t.parquet", samples.run_tables)(_content("table_from_bytes"))
reader("run-arrays", "t.safetensors", samples.run_arrays)(_content("arrays_from_bytes"))


@reader("spec", "spec.toml", lambda: [samples.SPEC])
def _spec(path: Path) -> object:
    from broca.cli.execute import study_of
    from broca.runs.spec import read_spec

    document = read_spec(path)
    return study_of(document["study"], commanded=False)


RUN = (
    "manifest.json",
    "spec.toml",
    "result.json",
    "tensors.safetensors",
    "log.jsonl",
    "tables/items.parquet",
    "tables/layers.parquet",
)
"""Files of the toy's run; a test sees that these are all."""


def _run(path: Path) -> object:
    from broca.errors import BrocaError
    from broca.runs import list_runs, open_run
    from broca.runs.opening import spec_of
    from broca.runs.record import read_record

    place = path.parent.parent if path.parent.name == "tables" else path.parent
    list_runs(place.parent)
    with suppress(BrocaError):  # the toy is no study that reports know
        dict(read_record(place).tables)
    spec_of(place)
    found = open_run(place, unverified=True)
    return [
        found.manifest,
        found.spec,
        found.result,
        dict(found.tables),
        found.tensors,
        found.verdict,
        found.log,
        found.masks,
    ]


for _file in RUN:
    reader(
        f"run.{Path(_file).name}",
        f"runs/toy/{_file}",
        partial(lambda file: [samples.run()[file]], _file),
        {f"runs/toy/{other}": partial(lambda file: samples.run()[file], other) for other in RUN if other != _file},
    )(_run)
