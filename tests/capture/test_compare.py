"""Two runs compared, against a loop that shows one text at a time and keeps everything."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.decomposition import PCA

import zoo
from broca.capture.compare import compare_pairs
from broca.capture.comparison import Comparison
from broca.capture.pairs import AlignedPair
from broca.errors import AnatomyError, StatisticsError, StimulusError
from broca.models.lens import lens
from broca.sites import Site

WORDS = ("cats", "dog", "horses", "an owl", "the ewe", "mice")


def pairs_of(lm, n=9):
    """A letter doubled in the second word; one character a token, BOS in front."""
    found = []
    for k in range(n):
        head, word, tail = "see ", WORDS[k % len(WORDS)], f" {k} and {k * 7}="
        clean, perturbed = lm.tokenize([head + word + tail, head + word[0] + word + tail])
        first, end, size = len(head) + 1, len(head) + 1 + len(word), len(clean)
        covers = [(i,) for i in range(first)] + [(first, first + 1)] + [(i + 1,) for i in range(first + 1, size)]
        points = {
            "edited": ((end - 1,), (end,)),
            "suffix": (tuple(range(end, size - 1)), tuple(range(end + 1, size))),
            "answer": ((size - 1,), (size,)),
        }
        if k == 4:
            del points["suffix"]
        word_at = tuple(range(first, end)), tuple(range(first, end + 1))
        segments = {"bos": ((0,), (0,)), "edited": word_at, "rest": (points["answer"][0], points["answer"][1])}
        found.append(AlignedPair(clean, perturbed, points, tuple(covers), segments, str(k)))
    return found


def run_alone(lm, tokens):
    with torch.no_grad():
        out = lm.model(
            input_ids=torch.tensor([tokens.ids]), output_hidden_states=True, output_attentions=True, use_cache=False
        )
    return (
        [h[0].double().numpy() for h in out.hidden_states],
        [a[0].double().numpy() for a in out.attentions],
        out.logits[0].double().log_softmax(-1).numpy(),
    )


@pytest.fixture(scope="module")
def eager():
    return zoo.lm("llama", attention="eager")


@pytest.fixture(scope="module")
def alone(eager):
    return [(pair, run_alone(eager, pair.clean), run_alone(eager, pair.perturbed)) for pair in pairs_of(eager)]


@pytest.fixture(scope="module")
def found(eager):
    return compare_pairs(eager, pairs_of(eager), lens=True, size=4)


def at_points(alone, own):
    return [(*p.points[own], clean, other) for p, clean, other in alone if own in p.points]


def test_states_at_points_are_those_of_runs_alone(found, alone):
    table = found.points()
    # transformers' last hidden state is normed: the layers before it are the residual stream.
    for row in table.filter(pl.col("layer") < 2).iter_rows(named=True):
        figures, differences = [], []
        for i, j, (clean, *_), (other, *_) in at_points(alone, row["class"]):
            a, b = clean[row["layer"] + 1][list(i)], other[row["layer"] + 1][list(j)]
            size, distance = np.linalg.norm(a, axis=1), np.linalg.norm(b - a, axis=1)
            cosine = (a * b).sum(1) / size / np.linalg.norm(b, axis=1)
            figures.append([cosine.mean(), distance.mean(), (distance / size).mean()])
            differences.append((b - a).mean(0))
        assert row["n"] == len(figures) == (8 if row["class"] == "suffix" else 9)
        for k, name in enumerate(("cosine", "distance", "relative_distance")):
            values = np.array(figures)[:, k]
            assert row[name] == row[f"{name}_robust"] == pytest.approx(values.mean(), rel=1e-5, abs=1e-6)
            assert row[f"{name}_sd"] == pytest.approx(values.std(ddof=1), rel=1e-4, abs=1e-6)
        assert row["mean_difference"] == pytest.approx(np.linalg.norm(np.mean(differences, 0)), rel=1e-5, abs=1e-6)
        if np.ptp(differences) > 1e-5:
            pca = PCA(5).fit(np.array(differences))
            explained = [row[f"explained_{k}"] for k in range(1, 6)]
            np.testing.assert_allclose(explained, pca.explained_variance_ratio_, rtol=1e-4, atol=1e-6)
            assert row["coordinate_share"] == pytest.approx(np.abs(pca.components_[0]).max(), rel=1e-3)
            assert row["coordinate"] == np.abs(pca.components_[0]).argmax()
    assert table.height == 3 * 4
    assert found.differences["answer"].shape == (4, 32)


def test_rows_of_pairs_are_what_the_means_are_of(found):
    rows, table = found.pairs(), found.points()
    assert rows.height == 4 * (9 + 9 + 8)
    means = rows.group_by("class", "site", maintain_order=True).agg(pl.col("cosine", "relative_distance").mean())
    for row in means.iter_rows(named=True):
        expected = table.row(
            by_predicate=(pl.col("class") == row["class"]) & (pl.col("site") == row["site"]), named=True
        )
        assert row["cosine"] == pytest.approx(expected["cosine"], abs=1e-4)
        assert row["relative_distance"] == pytest.approx(expected["relative_distance"], rel=1e-3)


def test_attention_is_scipys(found, alone):
    for row in found.heads().iter_rows(named=True):
        figures = []
        for p, (_, maps, _), (_, others, _) in alone:
            if row["query"] not in p.points:
                continue
            own = []
            for i, j in zip(*p.points[row["query"]], strict=True):
                a, b = maps[row["layer"]][row["head"], i], others[row["layer"]][row["head"], j]
                moved = np.zeros(len(b))
                for key, to in enumerate(p.covers):
                    moved[list(to)] += a[key] / len(to)
                mass = [[a[list(p.segments[g][0])].sum(), b[list(p.segments[g][1])].sum()] for g in p.segments]
                own.append([jensenshannon(moved, b) ** 2, entropy(a), entropy(b), *np.array(mass).T.ravel()])
            figures.append(np.mean(own, 0))
        expected = np.array(figures)
        every = ["divergence", "entropy_clean", "entropy_perturbed"]
        every += [f"{g}_{side}" for side in ("clean", "perturbed") for g in ("bos", "edited", "rest")]
        assert row["n"] == len(expected)
        for k, name in enumerate(every):
            assert row[name] == pytest.approx(expected[:, k].mean(), rel=1e-4, abs=1e-6), name
            assert row[f"{name}_sd"] == pytest.approx(expected[:, k].std(ddof=1), rel=1e-3, abs=1e-6), name
    assert found.heads().height == 2 * 3 * 4


def test_logits_and_the_lens_over_the_last_layer_agree(found, alone):
    table = found.logits()
    for own in ("edited", "suffix", "answer"):
        figures = []
        for i, j, (*_, clean), (*_, other) in at_points(alone, own):
            a, b = clean[list(i)], other[list(j)]
            top = [len({*x} & {*y}) / 10 for x, y in zip(np.argsort(-a)[:, :10], np.argsort(-b)[:, :10], strict=True)]
            figures.append(
                [entropy(np.exp(a), np.exp(b), axis=1).mean(), (a.argmax(1) == b.argmax(1)).mean(), np.mean(top)]
            )
        rows = table.filter(pl.col("class") == own)
        for site in ("", "2.resid_post"):
            row = rows.row(by_predicate=pl.col("site") == site, named=True)
            assert [row["kl"], row["same_first"], row["same_top"]] == pytest.approx(
                np.mean(figures, 0), rel=1e-4, abs=1e-6
            )
        assert rows.height == 1 + 4


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj"])
def test_every_route_and_batch_size_gives_the_same(name):
    lm = zoo.lm(name)
    pairs = pairs_of(lm)
    one, many = compare_pairs(lm, pairs, size=1), compare_pairs(lm, pairs)
    for table in ("points", "heads", "logits"):
        for column in getattr(one, table)().select(pl.col(pl.Float64)).iter_columns():
            other = getattr(many, table)()[column.name].to_numpy()
            np.testing.assert_allclose(column.to_numpy(), other, rtol=2e-3, atol=2e-5, err_msg=column.name)


def test_shards_are_added_in_order_and_told(found, eager, monkeypatch):
    told = []
    monkeypatch.setattr("broca.capture.compare.SHARD", 4)
    cut = compare_pairs(eager, pairs_of(eager), lens=True, size=4, progress=lambda *done: told.append(done))
    assert told == [(4, 9), (8, 9), (9, 9)]
    for table in ("points", "heads", "logits", "pairs"):
        for column in getattr(cut, table)().select(pl.col(pl.Float64, pl.Float32)).iter_columns():
            expected = getattr(found, table)()[column.name].to_numpy()
            np.testing.assert_allclose(column.to_numpy(), expected, rtol=2e-3, atol=2e-5, err_msg=column.name)


@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_comparisons_of_parts_add_up_to_the_whole(found, eager, cut):
    pairs = pairs_of(eager)
    parts = [compare_pairs(eager, part, lens=True).sums for part in (pairs[:cut], pairs[cut:]) if part]
    meaning = found.meaning
    whole = Comparison(meaning)
    for part in parts:
        whole += part
    for table in ("points", "heads", "logits"):
        for column in getattr(whole.result(), table)().select(pl.col(pl.Float64)).iter_columns():
            expected = getattr(found, table)()[column.name].to_numpy()
            np.testing.assert_allclose(column.to_numpy(), expected, rtol=2e-3, atol=2e-5, err_msg=column.name)
    np.testing.assert_array_equal(whole.result().pairs()["pair"], found.pairs()["pair"])


def test_a_massive_coordinate_is_told_and_left_out_of_what_is_robust():
    lm = zoo.lm("llama")
    # The first letter of the word beside its last one: different tokens, also where the states are the embeddings.
    ends = [
        AlignedPair(pair.clean, pair.perturbed, {"ends": ((pair.segments["edited"][0][0],), pair.points["edited"][1])})
        for pair in pairs_of(lm)
    ]

    def embeddings():
        return compare_pairs(lm, ends, attention=False, sites=[Site(0, "resid_pre")])

    with torch.no_grad():
        lm.model.model.embed_tokens.weight[:, 7] = 3000.0
    (row,) = embeddings().points().to_dicts()
    assert embeddings().meaning.massive[0].nonzero()[0].tolist() == [7]
    assert (row["massive"], row["distance"]) == (1, pytest.approx(row["distance_robust"]))
    assert row["cosine"] > 0.99 > 0.5 > row["cosine_robust"]
    assert row["relative_distance"] < 0.01 < 0.5 < row["relative_distance_robust"]
    with torch.no_grad():
        lm.model.model.embed_tokens.weight[:, 7] = torch.linspace(-3e5, 3e5, 99)
    (row,) = embeddings().points().to_dicts()
    assert (row["coordinate"], row["coordinate_massive"]) == (7, True)
    assert row["coordinate_share"] > 0.999
    assert row["explained_1"] > 0.999 > 0.9 > row["explained_1_robust"]


def test_what_stands_before_the_edit_is_marked_as_measuring_no_layer(eager):
    before = [
        AlignedPair(pair.clean, pair.perturbed, {**pair.points, "prefix": ((2,), (2,))}, pair.covers, pair.segments)
        for pair in pairs_of(eager)
    ]
    marked = compare_pairs(eager, before).degenerate
    assert "the same in every layer" in marked["cosine at prefix"]
    assert not any("answer" in name for name in marked)


def test_what_cannot_be_compared_is_refused(eager):
    pair = pairs_of(eager, 1)[0]
    with pytest.raises(StimulusError, match="one to one"):
        AlignedPair(pair.clean, pair.perturbed, {"edited": ((1, 2), (1,))})
    with pytest.raises(StimulusError, match="not among the"):
        AlignedPair(pair.clean, pair.perturbed, {"edited": ((1,), (99,))})
    with pytest.raises(StimulusError, match="covers for"):
        AlignedPair(pair.clean, pair.perturbed, {}, covers=((0,),))
    with pytest.raises(StimulusError, match="no points"):
        compare_pairs(eager, [])
    bare = AlignedPair(pair.clean, pair.perturbed, pair.points)
    with pytest.raises(StimulusError, match="attention=False"):
        compare_pairs(eager, [bare])
    with pytest.raises(StimulusError, match="looked at from nowhere"):
        compare_pairs(eager, [pair], queries=["nowhere"])
    assert compare_pairs(eager, [bare], attention=False).heads().height == 0
    with pytest.raises(StimulusError, match="units wide"):
        compare_pairs(eager, [pair], sites=[Site(0, "resid_pre"), Site(0, "mlp_act")])
    with pytest.raises(StatisticsError, match="no pairs"):
        Comparison(compare_pairs(eager, [pair]).meaning).result()


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_the_lens_over_the_last_layer_gives_the_models_logits(name):
    lm = zoo.lm(name)
    assert lens(lm).error <= 1e-6
    assert lens(lm) is lens(lm)


def test_a_lens_that_cannot_be_proved_is_refused():
    lm = zoo.lm("llama")

    def otherwise(_module, _args, out):
        out.logits = out.logits.sort(-1).values

    lm.model.register_forward_hook(otherwise)
    with pytest.raises(AnatomyError, match="cannot be proved"):
        lens(lm)
