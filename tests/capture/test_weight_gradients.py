"""Squared gradients of weights: sums of hooks and of batches against a plain loop over samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.capture.objectives import OBJECTIVES, Against, AnsweredQuestion, text, without_bos
from broca.capture.weight_gradients import sensitivity
from broca.errors import BrocaError, GuardError, StatisticsError, StimulusError
from broca.models.limits import pads
from broca.models.questions import split
from broca.models.weight_matrices import matrices

PROMPTS = ["the cat sat on", "a", "where did the long story end", "she went", "no"]
OPTIONS = [[" mat", " hat!"], ["x", "y"], [" here", " there"], [" out", " inside"], ["b", "cd"]]
ANSWERS = [0, 1, 1, 0, 1]
ALL = ("squared-gradient", "gradient-weight", "squared-gradient-weight")


def wide(name: str):
    lm = zoo.lm(name)
    lm.model.double()
    lm.batch_size = 4
    return lm


def asked(lm) -> list[AnsweredQuestion]:
    return [AnsweredQuestion(q, a) for q, a in zip(split(lm, PROMPTS, OPTIONS), ANSWERS, strict=True)]


def looped(lm, samples, objective) -> tuple[dict, dict]:
    """By the definition: one sample, one row a forward pass, `torch.autograd.grad`."""
    parameters = dict(lm.model.named_parameters())
    squares = {name: torch.zeros_like(p) for name, p in parameters.items()}
    sizes = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for sample in samples:
        rows = objective.rows(sample)
        logprobs = []
        for row in rows:
            logits = lm.model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0].log_softmax(-1)
            logprobs.append(sum(logits[t - 1, row.ids[t]] for t in range(row.start, len(row.ids))))
        terms = objective.terms(torch.stack(logprobs), torch.tensor([float(row.n) for row in rows]))
        for weight, value in terms:
            found = torch.autograd.grad(value, list(parameters.values()), retain_graph=True, allow_unused=True)
            for name, g in zip(parameters, found, strict=True):
                if g is not None:
                    squares[name] += float(weight) * g**2
                    sizes[name] += float(weight) * g.abs()
    return squares, sizes


def checked(sums, lm, every, squares, sizes, rtol=1e-9) -> None:
    for matrix in every:
        weight = lm.model.get_parameter(matrix.parameter)
        w = matrix.of(weight.detach())
        wanted = {
            "squared-gradient": matrix.of(squares[matrix.parameter]),
            "gradient-weight": matrix.of(sizes[matrix.parameter]) * w.abs(),
            "squared-gradient-weight": matrix.of(squares[matrix.parameter]) * w**2,
        }
        for kind, values in wanted.items():
            got = sums.score(matrix, weight, kind)
            torch.testing.assert_close(got, values.detach(), rtol=rtol, atol=float(rtol * values.max()))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_ways_equal_a_loop_for_every_objective(objective) -> None:
    lm = wide("gpt2")
    samples = asked(lm)
    if objective == "last-token":
        samples = samples[:1] + samples[2:]
    every = matrices(lm.model, lm.anatomy)
    truth = looped(lm, samples, OBJECTIVES[objective])
    for mode in ("single", "batched"):
        sums = sensitivity(lm, samples, OBJECTIVES[objective], every, scores=ALL, mode=mode)
        checked(sums, lm, every, *truth)
        assert sum(sums.n) == len(samples)


# Double precision models of these classes normalise, or take a softmax, in single precision.
SINGLE_PARTS = ("llama", "phi3", "gemma2", "falcon-new", "gpt_neox", "bloom")
EXPERTS = ("gpt_oss", "mixtral")


@pytest.mark.parametrize("name", ["gpt2", "opt", *SINGLE_PARTS, *EXPERTS])
def test_both_ways_equal_a_loop_for_every_layout(name) -> None:
    lm = zoo.lm(name) if name in EXPERTS else wide(name)
    samples = asked(lm)[:3]
    every = matrices(lm.model, lm.anatomy)
    truth = looped(lm, samples, Against())
    rtol = 1e-4 if name in EXPERTS else 1e-5 if name in SINGLE_PARTS else 1e-9
    for mode in ("single", "auto") if name in EXPERTS else ("single", "batched"):
        checked(sensitivity(lm, samples, Against(), every, scores=ALL, mode=mode), lm, every, *truth, rtol)


class Width(torch.nn.Module):
    """What makes a token's embedding depend on how many tokens the batch is wide, pads and all."""

    def forward(self, x):
        return x * (1 + x.shape[-2] / 50)


@pytest.mark.parametrize("score", ["squared-gradient", "activation-weight"])
def test_where_padding_moves_the_model_each_row_is_computed_alone(score) -> None:
    lm = wide("gpt2")
    lm.model.get_submodule("transformer").add_module("drop", Width())
    samples, every = asked(lm), matrices(lm.model, lm.anatomy)
    truth = looped(lm, samples, Against())
    scores = ALL if score in ALL else (score,)
    found = [sensitivity(lm, samples, Against(), every, scores=scores, mode=mode) for mode in ("single", "auto")]
    for sums in found if score in ALL else ():
        checked(sums, lm, every, *truth)
    for matrix in every if score not in ALL else ():
        weight = lm.model.get_parameter(matrix.parameter)
        torch.testing.assert_close(*(sums.score(matrix, weight, score) for sums in found))
    with pytest.raises(GuardError, match=r"Padding moves .* Use mode='single'"):
        sensitivity(lm, samples, Against(), every, mode="batched")


def test_gradients_made_in_small_blocks_are_the_same(monkeypatch) -> None:
    lm = wide("gpt2")
    samples, every = asked(lm), matrices(lm.model, lm.anatomy)
    monkeypatch.setattr("broca.capture.samples._CELLS", 100)
    sums = sensitivity(lm, samples, Against(), every, scores=ALL, mode="batched")
    checked(sums, lm, every, *looped(lm, samples, Against()))


def test_halves_are_the_even_and_the_odd_samples() -> None:
    lm = wide("llama")
    samples, every = asked(lm), matrices(lm.model, lm.anatomy)
    for mode in ("single", "batched"):
        both = sensitivity(lm, samples, Against(), every, mode=mode)
        for half in (0, 1):
            alone = sensitivity(lm, samples[half::2], Against(), every, mode=mode, halves=False)
            for m in every:
                weight = lm.model.get_parameter(m.parameter)
                got = both.score(m, weight, "squared-gradient", half)
                torch.testing.assert_close(got, alone.score(m, weight, "squared-gradient"), rtol=1e-10, atol=0)


def test_wanda_is_the_weight_times_the_norm_of_its_input() -> None:
    lm = wide("llama")
    samples, every = asked(lm), matrices(lm.model, lm.anatomy)
    gold = OBJECTIVES["full"]
    norms = {m.module: torch.zeros(m.address.columns, dtype=torch.float64) for m in every}
    handles = [
        lm.model.get_submodule(path).register_forward_pre_hook(
            lambda _m, args, path=path: (norms[path].add_(args[0][0].detach().square().sum(0)), None)[1]
        )
        for path in norms
    ]
    for sample in samples:
        lm.model(input_ids=torch.tensor([gold.rows(sample)[0].ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    for mode in ("single", "batched"):
        sums = sensitivity(lm, samples, gold, every, scores=("activation-weight",), mode=mode)
        for m in every:
            weight = lm.model.get_parameter(m.parameter)
            wanted = (m.of(weight.detach()).abs() * norms[m.module].sqrt()).float()
            torch.testing.assert_close(sums.score(m, weight, "activation-weight"), wanted, rtol=1e-6, atol=0)


def test_sums_are_wide_where_the_model_is_narrow_and_the_model_is_left_as_it_was() -> None:
    lm = zoo.lm("llama")
    lm.model.bfloat16()
    asking = {name: p.requires_grad for name, p in lm.model.named_parameters()}
    samples, every = asked(lm), matrices(lm.model, lm.anatomy)
    for mode in ("single", "batched"):
        sums = sensitivity(lm, samples, OBJECTIVES["gold"], every, mode=mode)
        assert {s.dtype for half in sums.squares for s in half.values()} == {torch.float32}
    assert asking == {name: p.requires_grad for name, p in lm.model.named_parameters()}
    assert all(p.grad is None for p in lm.model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())


def test_published_sums_of_a_float16_model_come_out_bit_for_bit() -> None:
    """Each gradient squared as it arrives, by a hook, and added up by autograd; no loss scaling, one sample at a time."""
    lm = zoo.lm("llama")
    lm.model.half()
    every = matrices(lm.model, lm.anatomy)
    samples = [without_bos(text(tokens)) for tokens in lm.tokenize([*PROMPTS[:1], *PROMPTS[2:]])]
    sums = sensitivity(
        lm, samples, OBJECTIVES["full"], every, mode="single", halves=False, precision="float16", nonfinite="keep"
    )
    hooks = [lm.model.get_parameter(m.parameter).register_hook(torch.Tensor.square) for m in every]
    for sample in samples:
        ids = torch.tensor([sample.question.shared.ids])
        lm.model(input_ids=ids, labels=ids).loss.backward()
    for hook in hooks:
        hook.remove()
    differ = sum(int((sums.squares[0][m.parameter] != lm.model.get_parameter(m.parameter).grad).sum()) for m in every)
    assert differ == 0


def test_float16_sums_square_in_float16() -> None:
    lm = zoo.lm("llama")
    samples, every = asked(lm)[:1], matrices(lm.model, lm.anatomy)
    plain = sensitivity(lm, samples, OBJECTIVES["gold"], every, mode="single", halves=False)
    half = sensitivity(lm, samples, OBJECTIVES["gold"], every, mode="single", halves=False, precision="float16")
    for path, values in half.squares[0].items():
        assert values.dtype == torch.float16
        torch.testing.assert_close(values.float(), plain.squares[0][path], rtol=2e-2, atol=1e-6)
        assert (values[plain.squares[0][path] < 1e-8] == 0).all()


def test_what_is_not_finite_is_refused_with_counts_or_kept() -> None:
    lm = zoo.lm("llama")
    with torch.no_grad():
        lm.model.lm_head.weight.mul_(3e4)
    samples, every = asked(lm)[:2], matrices(lm.model, lm.anatomy)
    gold = OBJECTIVES["last-token"]
    with pytest.raises(StatisticsError, match=r"of \d+ weights in \d+ matrices"):
        sensitivity(lm, samples, gold, every, precision="float16", mode="single")
    kept = sensitivity(lm, samples, gold, every, precision="float16", mode="single", nonfinite="keep")
    assert any(torch.isinf(values).any() for values in kept.squares[0].values())
    with torch.no_grad():
        lm.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(StatisticsError, match="log-probability"):
        sensitivity(lm, samples, gold, every)


def test_what_cannot_be_asked_is_refused() -> None:
    lm = zoo.lm("llama")
    every = matrices(lm.model, lm.anatomy)
    texts = [text(t) for t in lm.tokenize(["one text"])]
    with pytest.raises(StimulusError, match="without an answer"):
        sensitivity(lm, texts, OBJECTIVES["gold"], every)
    with pytest.raises(StatisticsError, match="no samples"):
        sensitivity(lm, [], OBJECTIVES["gold"], every)
    with pytest.raises(StimulusError, match="one option"):
        sensitivity(lm, [AnsweredQuestion(q) for q in split(lm, ["a"], [["b"]])], Against(), every)
    moe = zoo.lm("mixtral")
    with pytest.raises(GuardError, match="experts"):
        sensitivity(moe, asked(moe), Against(), matrices(moe.model, moe.anatomy), scores=("activation-weight",))


def test_samples_without_bos_lose_only_that() -> None:
    lm = zoo.lm("llama")
    for sample in asked(lm):
        bare = without_bos(sample)
        assert (1, *bare.question.shared.ids) == sample.question.shared.ids
        assert bare.question.options == sample.question.options


class Kept(dict):
    """A draft in memory, which raises at the n-th save, after it is kept."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def load(self):
        return dict(self) or None

    def save(self, arrays) -> None:
        self.clear()
        self.update({name: np.array(value) for name, value in arrays.items()})
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("mode", ["single", "batched"])
def test_what_was_left_by_a_crash_is_taken_up_with_the_same_bits(mode) -> None:
    lm = zoo.lm("llama")
    lm.batch_size = 1
    every = matrices(lm.model, lm.anatomy)
    whole = sensitivity(lm, asked(lm), Against(), every, scores=(*ALL, "activation-weight"), mode=mode)
    draft = Kept(1)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(lm, asked(lm), Against(), every, scores=(*ALL, "activation-weight"), mode=mode, draft=draft)
    done = int(draft["done"][0])
    assert 0 < done < 5
    rest = sensitivity(lm, asked(lm), Against(), every, scores=(*ALL, "activation-weight"), mode=mode, draft=draft)
    assert rest.n == whole.n
    for a, b in zip(
        (*whole.squares, *whole.sizes, whole.inputs), (*rest.squares, *rest.sizes, rest.inputs), strict=True
    ):
        assert all(torch.equal(a[path], b[path]) for path in a)


def test_memory_is_told_in_words(monkeypatch) -> None:
    lm = zoo.lm("llama")

    def full(*_a, **_k):
        raise torch.OutOfMemoryError

    every = matrices(lm.model, lm.anatomy)
    assert pads(lm, "right")
    monkeypatch.setattr(lm.model, "forward", full)
    with pytest.raises(BrocaError, match="mode='single'"):
        sensitivity(lm, asked(lm), Against(), every)
