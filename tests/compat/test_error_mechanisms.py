"""Old captures: read without running code, named by site, converted whole."""

from __future__ import annotations

import pickle

import pytest
import torch

import zoo
from broca.compat.error_mechanisms.captures import convert, old_captures, read_converted, read_old_capture
from broca.errors import RunError

PAD = 0


def capture(rows=(0, 1), length=5, **changes):
    """A file as the ancestor's capture script lays it out."""
    draw = torch.Generator().manual_seed(len(rows))
    n = len(rows)

    def normal(*shape):
        return torch.randn(*shape, generator=draw).to(torch.bfloat16)

    ids = torch.arange(1, n * length + 1).reshape(n, length)
    ids[0, :2] = PAD
    content = {
        "hidden_states": {f"layer_{i}": normal(n, length, 8) for i in (0, 5)},
        "attentions": {f"layer_{i}": normal(n, 2, length, length) for i in (0, 5)},
        "topk_vals": normal(n, length, 3),
        "topk_indices": torch.arange(n * length * 3).reshape(n, length, 3),
        "input_ids": ids,
        "final_predictions": [f"What is it: {row} + 1 = {row + 1}" for row in rows],
        "original_indices": list(rows),
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


def saved(path, content):
    torch.save(content, path)
    return path


def test_layers_become_sites_and_padding_a_mask(tmp_path):
    content = capture()
    found = read_old_capture(saved(tmp_path / "activations_00000_00002.pt", content), pad=PAD)
    assert set(found.tensors) == {
        *("0.resid_pre", "4.resid_post", "0.pattern", "5.pattern", "topk_logits", "topk_ids", "ids", "mask")
    }
    assert found.tensors["4.resid_post"].equal(content["hidden_states"]["layer_5"])
    assert found.tensors["5.pattern"].equal(content["attentions"]["layer_5"])
    assert found.tensors["mask"].tolist() == [[False, False, True, True, True], [True] * 5]
    assert found.rows == (0, 1)
    assert found.texts[1] == "What is it: 1 + 1 = 2"


def test_the_last_hidden_state_is_what_the_final_norm_gave(tmp_path):
    lm = zoo.lm("llama")
    ids = torch.arange(5, 11).reshape(2, 3)
    left: dict[int, torch.Tensor] = {}
    hooks = [
        block.register_forward_hook(
            lambda _m, _a, out, i=i: left.update({i: out[0] if isinstance(out, tuple) else out})
        )
        for i, block in enumerate(lm.model.model.layers)
    ]
    seen = lm.model(ids, output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    states = {f"layer_{i}": state.detach() for i, state in enumerate(seen)}
    assert len(states) == 4
    maps = {f"layer_{i}": torch.ones(2, 2, 3, 3) for i in range(2)}
    content = capture(hidden_states=states, attentions=maps, topk_vals=None, topk_indices=None, input_ids=ids)
    path = saved(tmp_path / "activations_00000_00002.pt", content)
    known = read_old_capture(path, blocks=3).tensors
    assert [name for name in known if name.endswith(("resid_pre", "resid_post", "final_norm"))] == [
        *("0.resid_pre", "0.resid_post", "1.resid_post", "final_norm")
    ]
    for layer in range(2):
        assert known[f"{layer}.resid_post"].equal(left[layer])
    assert not known["final_norm"].equal(left[2])
    assert known["final_norm"].equal(lm.model.model.norm(left[2]))
    unknown = read_old_capture(path).tensors  # attentions of blocks 0 and 1: nothing says what comes after state 1
    assert {"0.resid_pre", "0.resid_post", "hidden_2", "hidden_3"} <= set(unknown)
    assert "1.resid_post" not in unknown
    assert "final_norm" in read_converted(convert(tmp_path, tmp_path / "new", blocks=3)[0]).tensors
    with pytest.raises(RunError, match=r"has a layer 3, and blocks is 2. Give how many blocks the captured model has"):
        read_old_capture(path, blocks=2)
    with pytest.raises(RunError, match="has a layer 1, and blocks is 1"):
        read_old_capture(saved(tmp_path / "b.pt", capture(hidden_states=None, attentions=maps)), blocks=1)


def test_padding_on_the_right_and_a_row_of_nothing_else(tmp_path):
    ids = torch.tensor([[3, 0, 4, 0, 0], [0, 0, 0, 0, 0]])
    found = read_old_capture(saved(tmp_path / "a.pt", capture(input_ids=ids)), pad=PAD)
    assert found.tensors["mask"].tolist() == [[True, True, True, False, False], [False] * 4 + [True]]


def test_converted_and_read_back_and_not_written_twice(tmp_path):
    for start in (0, 2):
        saved(tmp_path / f"activations_{start:05d}_{start + 2:05d}.pt", capture((start, start + 1), length=5 + start))
    paths = convert(tmp_path, tmp_path / "new", pad=PAD)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    for path, old in zip(paths, old_captures(tmp_path, pad=PAD), strict=True):
        new = read_converted(path)
        assert (new.name, new.rows, new.texts) == (old.name, old.rows, old.texts)
        assert new.tensors.keys() == old.tensors.keys()
        assert all(new.tensors[name].equal(tensor) for name, tensor in old.tensors.items())
        assert new.tensors["4.resid_post"].dtype == torch.bfloat16
    paths[0].unlink()
    assert convert(tmp_path, tmp_path / "new", pad=PAD) == paths
    assert paths[0].read_bytes() == before[0][0]
    assert paths[1].stat().st_mtime_ns == before[1][1]


def test_the_other_two_layouts(tmp_path):
    stage_a = saved(tmp_path / "normal_attn_batch_00000_00002.pt", capture(hidden_states=None))
    assert "0.resid_pre" not in read_old_capture(stage_a).tensors
    lists = [[torch.ones(2, s, s) for _ in range(3)] for s in (4, 6)]
    wanted = {"attentions": lists, "hidden_states": None, "topk_vals": None, "topk_indices": None, "input_ids": None}
    patched = read_old_capture(saved(tmp_path / "patched.pt", capture(**wanted)))
    assert patched.tensors["pattern/1/2"].shape == (2, 6, 6)
    assert len(patched.tensors) == 6


class Harmful:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_code_in_a_pickle_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    saved(tmp_path / "a.pt", capture(final_predictions=[Harmful(trap), "x"]))
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Harmful(trap)))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(RunError, match="could be code and is not loaded"):
            read_old_capture(tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (capture(final_predictions=None), "has no final_predictions"),
        (capture(final_predictions="ab"), "has no final_predictions"),
        (capture(original_indices=[0]), "of the same length"),
        (capture(hidden_states={"five": torch.ones(2, 3)}), "names no layer"),
        (capture(hidden_states=3), "hidden_states is a int"),
        (capture(attentions=[3, 4]), "attentions of row 0 are a int"),
        (capture(topk_vals=[1.0]), "topk_vals holds a list"),
        (capture(topk_vals=torch.ones(3, 4)), "topk_logits has 3 rows"),
        ([1], "holds a list"),
    ],
)
def test_files_of_another_kind(tmp_path, content, said):
    with pytest.raises(RunError, match=said):
        read_old_capture(saved(tmp_path / "a.pt", content))


def test_damaged_missing_empty_and_twice(tmp_path):
    with pytest.raises(RunError, match=r"has no \.pt files"):
        list(old_captures(tmp_path))
    whole = saved(tmp_path / "a.pt", capture()).read_bytes()
    saved(tmp_path / "b.pt", capture())
    with pytest.raises(RunError, match=r"Row 0 is in a\.pt and in b\.pt"):
        list(old_captures(tmp_path))
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="is damaged"):
        read_old_capture(tmp_path / "a.pt")
    (tmp_path / "a.safetensors").write_bytes(b"no")
    for name in ("a.safetensors", "gone.safetensors"):
        with pytest.raises(RunError, match=r"is no (whole safetensors file|converted capture)"):
            read_converted(tmp_path / name)
    with pytest.raises(RunError, match="cannot be read"):
        read_old_capture(tmp_path / "gone.pt")
