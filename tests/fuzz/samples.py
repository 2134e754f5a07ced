"""Small files that are right, as data."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

LABELLED = [
    {"text": f"Text {i}.", "label": side, "group": f"g{i // 2}", "id": str(i)}
    for i, side in enumerate(["positive", "negative"] * 2)
]
PAIRED = [{"positive": f"Ann thinks so, {i}.", "negative": f"Ann stands so, {i}."} for i in range(3)]
ITEMS = [
    {"prompt": f"Q{i}?", "choices": '["yes", "no"]', "answer": "yes", "ability": "a", "group": "g"} for i in range(3)
]
WORDS = {f"stim{i}": f"w{i}" for i in range(2, 14)}
LANGLOC = [{"stim1": str(i), **WORDS, "stim14": "SN"[i % 2]} for i in range(4)]
TOMLOC = {
    f"{i}{kind}_{part}.txt": f"A {part} {i}{kind} \nand more.\n\nTrue\tFalse".encode()
    for i in (1, 2)
    for kind in "bp"
    for part in ("story", "question")
}
BLOCKS = b"\n\n".join(b"Story: Ann thinks %d.\nQuestion: Is it %d?" % (i, i) for i in range(3))

_QA = {"question": "What?", "tom_type": "first-order", "correct_answer": "Rex.", "wrong_answer": "Tom."}
FANTOM = [
    {
        "set_id": str(i),
        "full_context": "Ann: Hello.\nBo: Bye.",
        "short_context": "Ann: A dog.",
        "beliefQAs": [{**_QA, "question_type": f"tom:belief:{held}"} for held in ("inaccessible", "accessible")],
    }
    for i in range(2)
]
OPENTOM = [
    {
        "plot": "A plot.",
        "narrative": f"A story {i}.",
        "plot_info": {"mover": "Ann", "observer": "Bo", "original_place": "box", "move_to_place": "bag"},
        "question": {"question": f"From Bo's perspective, where is it ({i})?", "answer": "box", "type": "location-fo"},
        "observed": bool(i),
    }
    for i in range(2)
]
_MMTOM = (
    "Information on Ann:\nWhat's inside the flat: a fridge.\nActions taken by Ann: she walks.\n"
    "Question: If so, which is more likely? (a) She thinks so. (b) She does (not). Please respond with either a or b."
)
MMTOM = [
    {"question": _MMTOM, "answer": "b", "question_type": kind, "episode": i, "start_time": 1, "end_time": 2}
    for i, kind in enumerate((1.1, 2.4))
]
MATH = [{"Question": f"1 + {i}?", "A": "1", "B": "2", "C": "3", "D": "4", "Answer": "B"} for i in range(3)]
BLIMP = [
    {
        "sentence_good": "Cats sit.",
        "sentence_bad": "Cats sits.",
        "UID": "agr",
        "pairID": str(i),
        "linguistics_term": "x",
    }
    for i in range(3)
]
TOMI = [
    {
        "story": "Ann puts it in the box.",
        "question": f"Where is it, {i}?",
        "answer": "box",
        "qOrder": "first_order",
        "falseTrueBelief": "False",
        "cands": "['box', 'bag']",
    }
    for i in range(2)
]
MATHVISTA = {
    str(i): {
        "pid": str(i),
        "question": "How many?",
        "choices": ["one", "two"],
        "answer": "two",
        "image": "p.png",
        "metadata": {"task": "counting"},
    }
    for i in (1, 2)
}
MMSTAR = [
    {"index": i, "question": "What?\nOptions: A: x, B: y", "answer": "A", "category": "c", "image": "p.png"}
    for i in range(2)
]
MOVED = "The hat is in the box. Bob moved the hat to the bag. Where is the hat really?"
INSPECT = [{"input": [{"role": "user", "content": MOVED}], "target": target} for target in ("bag", "box")]
_NAMES = {"choices": ["Mary", "John"], "answerKey": 0}
MIB_IOI = [
    {
        "prompt": f"When Mary and John went to place {i}, John gave a drink to",
        **_NAMES,
        "template": "t",
        "metadata": {"indirect_object": "Mary", "subject": "John"},
        "s2_io_flip_counterfactual": {
            "prompt": f"When Mary and John went to place {i}, Mary gave a drink to",
            **_NAMES,
            "answerKey": 1,
        },
    }
    for i in range(2)
]
_LETTERS = {"label": ["A", "B"], "text": ["red", "blue"]}
MIB_CHOICE = [
    {
        "prompt": f"The box {i} is red.\nA. red\nB. blue\nAnswer:",
        "choices": _LETTERS,
        "answerKey": 0,
        "symbol_counterfactual": {
            "prompt": f"The box {i} is red.\nX. red\nY. blue\nAnswer:",
            "choices": {"label": ["X", "Y"], "text": ["red", "blue"]},
            "answerKey": 0,
        },
    }
    for i in range(2)
]
MIB_SUMS = [
    {
        "prompt": f"{i} + 2 = ",
        "label": i + 2,
        "operator": "+",
        "random_counterfactual": {"prompt": f"{i} + 3 = ", "label": i + 3},
    }
    for i in range(2)
]
PUBLISHED: tuple[tuple[str, str, Any], ...] = (
    ("fantom", "fantom_v1.json", FANTOM),
    ("opentom", "opentom.json", OPENTOM),
    ("mmtom", "questions.jsonl", MMTOM),
    ("math", "math.csv", MATH),
    ("blimp", "blimp.jsonl", BLIMP),
    ("tomi", "tomi.csv", TOMI),
    ("inspect", "samples.jsonl", INSPECT),
    ("mib-ioi", "ioi.jsonl", MIB_IOI),
    ("mib-choice", "mcqa.jsonl", MIB_CHOICE),
    ("mib-sums", "sums.jsonl", MIB_SUMS),
)
SUITE = {
    "meta": {"name": "agreement", "metric": "sum"},
    "region_meta": {"1": "a", "2": "b"},
    "predictions": [{"type": "formula", "formula": "(2;%match%) < (2;%mismatch%)"}],
    "items": [
        {
            "item_number": number,
            "conditions": [
                {
                    "condition_name": name,
                    "regions": [{"region_number": 1, "content": "Ann"}, {"region_number": 2, "content": word}],
                }
                for name, word in (("match", "plays"), ("mismatch", "play"))
            ],
        }
        for number in (1, 2)
    ],
}
_S1 = {"o1": "pens", "o2": "cups", "c": "box", "xnam": "Max", "xpro": "he", "obj_pro": "him", "pos_pro": "his"}
_S2 = {
    "o1": "shelf",
    "o2": "desk",
    "q1": "It rolls off the",
    "q2": "Lea will look on the",
    "txt": "On the desk, then the shelf.",
}
TASKS = {
    "s1": [
        {
            "NUMBER": 0,
            **_S1,
            "txt": "A CX full of S1, not S2. XNAM sees it.",
            "txt_correctlabel": "A CX of S1. XPRO sees it.",
        }
    ],
    "s2": [
        {"NUMBER": 0, **_S2, "txt_notransfer": "Desk.", "txt_informed": "Max calls.", "txt_present": "She sees it."}
    ],
    "s3": [{"NUMBER": 0, "txt": "How nice.", "txt_reverse": "How bad."}],
}
TYPOS = [
    {
        "normal": f"What is this answer of this equation: {i} + 1",
        "main": f"Waht is {i} + 1",
        "homo,nym": "x",
        "swap": f"Whst is {i} + 1",
        "number": i,
    }
    for i in range(3)
]
CLEAN = [
    {"clean": f"A text {i}.", "perturbed": f"A txet {i}.", "kind": "swap", "group": "g", "id": str(i)} for i in range(3)
]
QUORA = [
    {"id": str(i), "question1": f"Who is {i}?", "question2": f"{i} is who?", "is_duplicate": str(i % 2)}
    for i in range(4)
]
TREES = [
    {
        "statements": ["It is old.", "Old is grey."],
        "edges": [["1", "2"], ["2", "conclusion"]],
        "question": "Is it grey?",
        "choices": ["yes", "no"],
        "answer": "yes",
        "id": str(i),
        "group": "g",
        "kinds": ["fact", "rule"],
    }
    for i in range(2)
]
_ASKED = {
    "question": "The hen is grey.",
    "answer": True,
    "QDep": 1,
    "QLen": 1,
    "proofs": "[(((triple1) -> rule1))]",
    "strategy": "proof",
}
PROOFS = [
    {
        "id": f"AttNeg-{i}",
        "theory": "The hen is old. Old things are grey.",
        "triples": {"triple1": {"text": "The hen is old.", "representation": "..."}},
        "rules": {"rule1": {"text": "Old things are grey."}},
        "questions": {"Q1": _ASKED},
    }
    for i in range(2)
]
ARC = [
    {
        "id": f"M_{i}",
        "context": "a magnet attracts iron. a nail is made of iron.",
        "question": "What sticks to a magnet?",
        "options": ["A) paper", "B) nail"],
        "answer": ["B"],
        "textual_logical_units": {
            "(1)": "iron",
            "(2)": "a nail",
            "(4)": "What?",
            "(6)": "B) nail",
            "(7)": "both",
            "(8)": "B",
        },
        "reasoning_graph_edges": [
            {"antecedents": ["(2)", "(1)"], "consequent": "(7)"},
            {"antecedents": ["(7)", "(4)", "(6)"], "consequent": "(8)"},
        ],
    }
    for i in range(2)
]
SPEC = b"""none = ["/truncate"]

[study]
kind = "localize"
contrast = "belief"
sites = "*.resid_post"
seed = 0
truncate = 3

[study.select]
percent = 1.0

[model]
name = "beliefs"
dtype = "float32"
"""


def task_code() -> bytes:
    return "".join(f"tsk{name} = {json.dumps(rows)}\n" for name, rows in TASKS.items()).encode()


def picture(form: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 10, 10)).save(out, form)
    return out.getvalue()


def captures() -> list[bytes]:
    import torch

    made = []
    for old in (False, True):
        content = {
            "hidden_states": {"layer_0": torch.ones(2, 3, 4), "layer_1": torch.ones(2, 3, 4).to(torch.bfloat16)},
            "attentions": {"layer_0": torch.ones(2, 2, 3, 3)},
            "topk_vals": torch.ones(2, 3, 2),
            "topk_indices": torch.ones(2, 3, 2).long(),
            "input_ids": torch.arange(6).reshape(2, 3),
            "final_predictions": ["1 + 1 = 2", "1 + 2 = 3"],
            "original_indices": [0, 1],
        }
        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=not old)
        made.append(out.getvalue())
    return made


def converted() -> list[bytes]:
    from broca.compat.error_mechanisms.captures import convert

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.pt").write_bytes(captures()[0])
        (made,) = convert(folder, folder / "to")
        return [made.read_bytes()]


def gguf() -> list[bytes]:
    import gguf as library
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.gguf")
        writer = library.GGUFWriter(path, "llama")
        writer.add_block_count(1)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["a", "b", "ab"])
        writer.add_token_types([1, 1, 1])
        writer.add_tensor("token_embd.weight", np.arange(32, dtype=np.float32).reshape(4, 8))
        writer.add_tensor("output_norm.weight", np.ones(8, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return [path.read_bytes()]


def directions() -> list[bytes]:
    import numpy as np

    from broca.units.direction import Direction

    plain = Direction({"1.resid_post": np.ones(3), "2.resid_post": np.arange(1.0, 4)}, about={"name": "x"})
    whole = Direction({"3.z": np.ones(3)}, {"3.z": np.ones(3) / 3}, {"3.z": np.zeros(3)}, {"3.z": 2.0}, "abc")
    return [_written(plain.save), _written(whole.save)]


def _written(save: Any) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        return Path(save(Path(name, "x"))).read_bytes()


def dictionaries() -> list[bytes]:
    from dictionaries import dictionary

    return [_written(dictionary(kind, d=3, n=4, about={"name": "x"}, **more).save) for kind, more in _KINDS]


_KINDS = (("relu", {}), ("jumprelu", {"norm": "layer_norm"}), ("gated", {"model": "abc"}))


def saelens() -> dict[str, Callable[[], bytes]]:
    """The files of a folder, by name."""
    from dictionaries import dictionary, saelens, saelens_arrays

    return _folder(
        "sae",
        ("cfg.json", "sae_weights.safetensors"),
        lambda folder: saelens(folder, saelens_arrays(dictionary(d=3, n=4))),
    )


def sparsify() -> dict[str, Callable[[], bytes]]:
    """The files of a folder, by name."""
    from dictionaries import dictionary, sparsify

    made = ("cfg.json", "sae.safetensors")
    return _folder("layers.1", made, lambda folder: sparsify(folder, dictionary("topk", d=3, n=6)))


def _folder(name: str, files: tuple[str, ...], write: Callable[[Path], object]) -> dict[str, Callable[[], bytes]]:
    def content(file: str) -> bytes:
        with tempfile.TemporaryDirectory() as around:
            write(Path(around, name))
            return Path(around, name, file).read_bytes()

    return {file: (lambda file=file: content(file)) for file in files}


def gemma_scope() -> list[bytes]:
    import io

    import numpy as np

    from dictionaries import dictionary

    own = dictionary("jumprelu", d=3, n=4)
    arrays = {
        "W_enc": own.encoder,
        "W_dec": own.decoder,
        "b_enc": own.bias,
        "b_dec": own.decoder_bias,
        "threshold": own.threshold,
    }
    made = []
    for save in (np.savez, np.savez_compressed):
        out = io.BytesIO()
        save(out, **arrays)
        made.append(out.getvalue())
    return made


def control_vectors() -> list[bytes]:
    import numpy as np

    from broca.compat.directions.gguf import write_control_vector
    from broca.units.direction import Direction

    given = Direction({"1.resid_post": np.ones(5), "2.resid_post": np.arange(1.0, 6)})
    content = _written(lambda path: write_control_vector(given, path, model_type="llama"))
    by_llama = content.replace(b"layer_count\x04", b"layer_count\x05")
    return [content, by_llama]


def svecs() -> list[bytes]:
    import json

    rows = {"3": [0.5, 1.0, -1.0], "4": [1.0, 2.0, 3.0]}
    made = {"model_type": "llama", "directions": rows, "explained_variances": {"3": 0.5}}
    return [json.dumps(each).encode() for each in (made, {"directions": {"0": [[1.0, 2.0]]}})]


def torch_vector() -> list[bytes]:
    import torch

    def save(path: Path) -> Path:
        torch.save(torch.arange(1.0, 5), path)
        return path

    return [_written(save)]


def mib_entry() -> dict[str, Any]:
    """One layer of two heads, of which one edge was not scored."""
    nodes = ["input", "a0.h0", "a0.h1", "m0", "logits"]
    edges = [f"input->a0.h{i}<{kind}>" for i in range(2) for kind in "qkv"] + ["input->m0", "a0.h0->m0", "a0.h1->m0"]
    edges += [f"{name}->logits" for name in nodes[:-1]]
    return {
        "cfg": {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8},
        "nodes": {name: {"in_graph": name != "a0.h1"} for name in nodes},
        "edges": {name: {"score": i / 4 - 1, "in_graph": i > 6} for i, name in enumerate(edges[1:])},
    }


def mib_tensors() -> list[bytes]:
    import torch

    shape = (4, 8)
    held = {
        "cfg": mib_entry()["cfg"],
        "src_nodes": ["input", "a0.h0", "a0.h1", "m0"],
        "dst_nodes": [*(f"a0.h{i}<{kind}>" for kind in "qkv" for i in range(2)), "m0", "logits"],
        "edges_scores": torch.arange(32.0).view(shape),
        "edges_in_graph": torch.arange(32).view(shape) > 20,
        "nodes_in_graph": torch.ones(4, dtype=torch.bool),
    }

    def save(path: Path) -> Path:
        torch.save(held, path)
        return path

    return [_written(save)]


INTERPBENCH = [
    ("hook_embed", "blocks.0.attn.hook_q_input[1]"),
    ("blocks.0.attn.hook_q_input[1]", "blocks.0.attn.hook_q[1]"),
    ("blocks.0.attn.hook_q[1]", "blocks.0.attn.hook_result[1]"),
    ("blocks.0.attn.hook_result[1]", "blocks.1.hook_mlp_in"),
    ("blocks.1.hook_mlp_in", "blocks.1.hook_mlp_out"),
    ("blocks.1.hook_mlp_out", "blocks.2.hook_resid_post"),
]


def interpbench_weights() -> list[bytes]:
    import torch

    def save(path: Path) -> Path:
        torch.save({"embed.W_E": torch.zeros(5, 4), "blocks.0.attn.b_Q": torch.ones(2, 2)}, path)
        return path

    return [_written(save)]


def course(folder: Path) -> Any:
    import torch

    from broca.organisms.course import Course, Plan

    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return Course(model, (optimizer,), lambda _: None, Plan(2), dict, folder, "stamp")  # type: ignore[arg-type,return-value]


def checkpoint() -> list[bytes]:
    from broca.organisms.course import Past

    with tempfile.TemporaryDirectory() as name:
        course(Path(name))._save(Past(1, ({"step": 1, "loss": 0.5},), ({"step": 1},), ((0.5, 0.5),)))
        return [Path(name, "checkpoint.safetensors").read_bytes()]


def run_tables() -> list[bytes]:
    import polars as pl

    from broca.runs.formats import table_to_bytes

    rows = {"a": [1, 2], "b": ["x", None], "c": [[1.0], []]}
    return [table_to_bytes(pl.DataFrame(rows, schema_overrides={"c": pl.List(pl.Float64)}), {"k": 1})]


def run_arrays() -> list[bytes]:
    import numpy as np

    from broca.runs.formats import arrays_to_bytes

    return [arrays_to_bytes({"a": np.arange(4.0), "b/0.z": np.ones((2, 3), np.uint8)}, {"grain": "unit"})]


def asked_again(path: Path) -> object:
    from types import SimpleNamespace

    from broca.scoring.answer_store import AnswerStore

    requests = [SimpleNamespace(args=(f"a{i}", "b")) for i in range(3)]
    return AnswerStore(path)(["m"], requests, lambda each: [[1.0, True] for _ in each])


def store() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "kept.sqlite")
        asked_again(path)
        return [path.read_bytes()]


def scores() -> list[bytes]:
    import torch

    out = io.BytesIO()
    torch.save({"q_proj": torch.ones(2, 2), "k_proj": torch.ones(2, 2)}, out)
    return [out.getvalue()]


@cache
def run() -> dict[str, bytes]:
    """The files of a whole small run, by name."""
    from broca.runs import run as made
    from runs.toy import Toy, ToyLM

    with tempfile.TemporaryDirectory() as name:
        path = made(Toy(), ToyLM(), Path(name, "toy")).path  # type: ignore[arg-type]
        return {
            file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
        }
