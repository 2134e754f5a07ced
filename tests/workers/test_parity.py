"""A causal test ends with the same bytes on every engine, also when workers die or the run was begun on another one."""

from __future__ import annotations

import hashlib

import pytest

import zoo
from broca.cache.cache import no_cache
from broca.cache.mapping import map_cached
from broca.errors import BrocaError
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.instruments.perturb.spec import Perturb
from broca.models.lm import LM
from broca.runs import open_run, run
from broca.runs.cells import Cells
from broca.workers import Local, Ray
from broca.workers.pool import WorkerPool
from workers import toys


def contents(path):
    """Hash of each table and tensor file, by name."""
    files = [*path.glob("tables/*.parquet"), path / "tensors.safetensors", path / "result.json"]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    items = tmp_path_factory.mktemp("items") / "items.csv"
    rows = [f"where is {i}?,box|bag,{i % 2}" for i in range(150)]
    items.write_text("\n".join(["prompt,choices,answer", *rows]))
    return CausalTest(
        localizer=Localize(contrast="pain", sites="*.mlp_act", twins=2, permutations=60),
        localizers=("language",),
        items=str(items),
        percent=5,
        doses=(10,),
        fills=("zero", "mean", "resample"),
        draws=8,
        n_bootstrap=200,
        gate="mark",
    )


@pytest.fixture(scope="module")
def whole(spec, lm, tmp_path_factory):
    return run(spec, lm, tmp_path_factory.mktemp("whole") / "run", engine=Local(threads=1))


def test_two_processes_end_with_the_bytes_of_one(spec, lm, whole, tmp_path):
    told = []
    made = run(
        spec, lm, tmp_path / "run", engine=Local(workers=2, threads=1), progress=lambda *words: told.append(words)
    )
    assert contents(made.path) == contents(whole.path)
    assert made.manifest["hash"] == whole.manifest["hash"]
    here, there = (dict(each.manifest["cells"]) for each in (whole, made))
    # Workers may run ahead of a stop: what they computed past it stays in the cache, and is in no table.
    assert there.pop("computed") >= here.pop("computed")
    assert there == here
    assert made.manifest["engine"] == {"kind": "local", "workers": 2}
    assert made.manifest["environment"]["threads"] == 1
    done = [(n, total) for what, n, total in told if what == "scoring lesions"]
    assert [n for n, _ in done] == list(range(done[0][1] + 1))


@pytest.mark.slow
def test_processes_share_what_is_asked_of_perturbed_texts(tmp_path):
    sums = LM.load("sums", device="cpu")
    spec = Perturb(items="sums", n_items=12, kinds=("case", "delete"), compare=0, cases=0, n_bootstrap=200)
    alone = run(spec, sums, tmp_path / "alone", engine=Local(threads=1))
    made = run(spec, sums, tmp_path / "shared", engine=Local(workers=2, threads=1))
    assert contents(made.path) == contents(alone.path)
    assert made.manifest["engine"] == {"kind": "local", "workers": 2}
    assert not any("were started" in text for text in made.manifest["warnings"])


@pytest.mark.slow
def test_two_ray_workers_end_with_the_bytes_of_one_process(spec, lm, whole, tmp_path):
    made = run(spec, lm, tmp_path / "run", engine=Ray(workers=2, threads=1))
    assert contents(made.path) == contents(whole.path)
    assert made.manifest["hash"] == whole.manifest["hash"]
    assert made.manifest["engine"] == {"kind": "ray", "workers": 2}


def test_a_finished_run_is_opened_and_no_worker_started(spec, lm, whole, monkeypatch):
    monkeypatch.setattr(WorkerPool, "_spawn", lambda *_: pytest.fail("a worker was started"))
    again = run(spec, lm, whole.path, engine=Local(workers=2, threads=1))
    assert again.manifest == open_run(whole.path).manifest


@pytest.mark.slow
def test_a_run_that_stopped_on_one_engine_goes_on_on_another(spec, lm, whole, tmp_path, monkeypatch):
    calls = iter(range(40))

    def full(*_):
        if next(calls) == 20:
            raise BrocaError("the disk is full")
        return write(*_)

    from broca.runs import cells as module

    write = module.write
    with monkeypatch.context() as patch:
        patch.setattr(module, "write", full)
        with pytest.raises(BrocaError, match="the disk is full"):
            run(spec, lm, tmp_path / "run", engine=Local(threads=1))
    made = run(spec, lm, tmp_path / "run", engine=Local(workers=2, threads=1))
    assert contents(made.path) == contents(whole.path)
    assert made.manifest["cells"]["reused"] == 20 + whole.manifest["cells"]["reused"]
    assert not any("mix both" in text for text in made.manifest["warnings"])


def test_what_is_done_is_kept_before_it_is_its_turn(tmp_path):
    """Part 1 waits on the disk while part 0, which is begun before it, ends worker after worker."""
    lm = toys.Held()
    task = toys.Draw(fails=frozenset({0}))
    with Local(workers=2, threads=1).open_pool(toys.opening) as pool:
        from broca.cache.mapping import with_pool

        pool.ready()
        cache = with_pool(Cells(tmp_path), pool, lm)
        with pytest.raises(BrocaError, match="part 0"):
            list(map_cached(task, [1, 2, 3, 0, 5], lm, cache))
        assert len(Cells(tmp_path)) >= 3
    again = [
        part if isinstance(part, dict) else part.to_dict(as_series=False)
        for part in map_cached(toys.Draw(), [1, 2, 3], lm, Cells(tmp_path))
    ]
    alone = [
        part if isinstance(part, dict) else part.to_dict(as_series=False)
        for part in map_cached(toys.Draw(), [1, 2, 3], lm, no_cache)
    ]
    assert repr(again) == repr(alone)


def test_a_crew_is_not_asked_about_a_model_that_it_does_not_hold(tmp_path):
    from broca.cache.mapping import with_pool

    mine, other = toys.Held(), toys.Held()
    with Local(workers=2, threads=1).open_pool(toys.opening) as pool:
        list(map_cached(toys.Draw(), [1, 2, 3], other, with_pool(no_cache, pool, mine)))
        assert pool.worker_ids == set()
