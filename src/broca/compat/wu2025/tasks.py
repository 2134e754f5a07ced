"""The task file and the training texts of Wu et al. (npj AI, 2025), read as they are: prompts, expected words, order.

The files stay with the user. Phrases here are theirs where a prompt must be theirs, so that numbers can be compared; what is
wrong with them is told in `Wording`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.benchmarks import TaskFile
from broca.stimuli.cell_items import FALSE_BELIEF, cell_item, choose_items, irony_item
from broca.stimuli.encodings import read_text
from broca.stimuli.json_values import is_lines, parse_json
from broca.stimuli.tables import short_repr

CODE = ".py"
"""A task file may be a Python file; only the literals in it are read."""

Wording = Literal["published", "mended"]
"""``published`` is to the letter. ``mended`` swaps whole words only (not ``opens`` for ``opencils``), says ``believes his
cousin``, drops doubled words and blanks, and leaves out two scenes whose text contradicts the expected answer: the open
container of contents 17, and the informed protagonist of transfer 5."""

_NAMES = {"s1": "contents", "s2": "transfer", "s3": "irony"}
_CODE_NAMES = {"tsks1": "s1", "tsks2": "s2", "tsks3": "s3"}
_FIELDS = {
    "s1": ("txt", "txt_correctlabel", "o1", "o2", "c", "xnam", "xpro", "obj_pro", "pos_pro"),
    "s2": ("txt", "txt_notransfer", "txt_informed", "txt_present", "o1", "o2", "q1", "q2"),
    "s3": ("txt", "txt_reverse"),
}
_SCENES = {
    "contents": (FALSE_BELIEF, "correct label", "informed protagonist", "open container"),
    "transfer": (FALSE_BELIEF, "no transfer", "informed protagonist", "present protagonist"),
}
_CONTRADICTORY = {("contents", 17, "open container"), ("transfer", 5, "informed protagonist")}
_SHUT = " XNAM does not open the CX and does not look inside. XNAM reads the label."
_SHUTS = {
    1: " XNAM does not connect to the CX and does not explore its contents. XNAM reads the label on the CX. ",
    17: " XNAM does not open the box and does not listen to any of the CDs. XNAM reads the label.",
}
_OPEN = " XNAM opens the CX and looks inside. XNAM reads the label."
_OPENS = {
    1: " XNAM connects to the CX and explores its contents. XNAM reads the label on the CX.",
    17: " XNAM puts one in a CD player and listens to the songs. XNAM can can clearly hear that it is full of S2 music.",
}
_INFORMED = (
    " A cousin calls XNAM and tells OBJ_PRO that the CX has S1 in it, and that XPRO should ignore the label that says "
    '"S2". XNAM believes OBJ_PRO cousin.'
)

Task = Mapping[str, str | int]


def is_task_file(path: Path) -> bool:
    """Whether a file is a task file: any ``.py``, or a JSON object with one of its lists.

    Raises:
        StimulusError: There is no such file, or it is malformed.
    """
    if path.suffix.lower() == CODE:
        return True
    if path.suffix.lower() != ".json":
        return False
    text = read_text(path)
    value = parse_json(path, text) if text.lstrip().startswith("{") and not is_lines(text) else None
    return isinstance(value, dict) and not _NAMES.keys().isdisjoint(value)


def task_items(path: str | Path, *, which: str = "all", wording: Wording = "published") -> tuple[Item, ...]:
    """The questions of a task file: 16 for each story of ``s1`` and ``s2``, 2 for each of ``s3``.

    Args:
        path: ``.json`` with lists ``s1``, ``s2``, ``s3``; or ``.py`` with ``tsks1``, ``tsks2``, ``tsks3``.
        which: A task (contents, transfer, irony), an ability of `broca.stimuli.cell_items.ABILITIES`, or all.
        wording: To the letter, or mended.

    Raises:
        UnknownName: There is no such task or ability.
        StimulusError: The file is missing or malformed, or has no items of that kind.
    """
    path = Path(path)
    items = choose_items(
        (item for name, tasks in read_tasks(path).items() for item in _items(name, tasks, wording)), which
    )
    if not items:
        raise StimulusError(f"{path.name} has no items of {which!r}. Give another task or ability, or all.")
    return items


def read_tasks(path: Path) -> dict[str, tuple[Task, ...]]:
    """The lists of a task file by task, each entry checked.

    Raises:
        StimulusError: The file is missing or malformed; the message names list, entry and field.
    """
    if path.suffix.lower() == CODE:
        found = _literals(path)
    else:
        value = parse_json(path, read_text(path))
        found = value if isinstance(value, dict) else {}
    if _NAMES.keys().isdisjoint(found):
        raise StimulusError(
            f"{path.name} has none of the lists of a task file. A .json has s1, s2 and s3; a .py tsks1, tsks2 and tsks3."
        )
    return {task: _read_tasks(path, name, found[name]) for name, task in _NAMES.items() if name in found}


def _literals(path: Path) -> dict[str, object]:
    """The lists that a Python file assigns, read as literals. Nothing is run."""
    found: dict[str, object] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts of others
            body = ast.parse(read_text(path)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise StimulusError(f"{path.name} is not a Python file that can be read: {error}.") from error
    for node in body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and target.id in _CODE_NAMES:
            try:
                found[_CODE_NAMES[target.id]] = ast.literal_eval(node.value or ast.Constant(None))
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
                raise StimulusError(
                    f"{path.name}, line {node.lineno}: {target.id} is not a plain list of texts, and files are read, never "
                    "run. Write its value out, or save it as .json with the lists s1, s2 and s3."
                ) from error
    return found


def _read_tasks(path: Path, name: str, entries: object) -> tuple[Task, ...]:
    if not isinstance(entries, list) or not entries:
        raise StimulusError(f"{path.name}: {name} is {short_repr(entries)}. It must be a list with at least one task.")
    numbers: set[int] = set()
    for index, entry in enumerate(entries, start=1):
        where = f"{path.name}, entry {index} of {name}"
        if not isinstance(entry, dict):
            raise StimulusError(f"{where}: {short_repr(entry)} is no task. Give an object with named fields.")
        number = entry.get("NUMBER")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 10**6 or number in numbers:
            raise StimulusError(
                f"{where}: NUMBER is {short_repr(number)}. It must be a number from 0 that no other task has."
            )
        numbers.add(number)
        for field in _FIELDS[name]:
            if not isinstance(entry.get(field), str) or not _whole(entry[field]):
                raise StimulusError(f"{where}: {field!r} is {short_repr(entry.get(field))}. It must be a text.")
        if name != "s3" and entry["o1"].strip() == entry["o2"].strip():
            raise StimulusError(f"{where}: o1 and o2 are both {short_repr(entry['o1'])}. Give two different texts.")
    return tuple(entries)


def _whole(text: str) -> bool:
    """Whether a text says something and can be written as UTF-8."""
    return bool(text.strip()) and not any("\ud800" <= character <= "\udfff" for character in text)


def _items(task: str, entries: Sequence[Task], wording: Wording) -> Iterator[Item]:
    for entry in entries:
        e = {field: value if isinstance(value, str) else "" for field, value in entry.items()}
        number = int(entry["NUMBER"])
        story = f"{task}-{number}"
        if task == "irony":
            for field, ironic in (("txt", True), ("txt_reverse", False)):
                text = f"Read the following story: {e[field]} Correct Answer:"
                yield irony_item(
                    story=story, ironic=ironic, question="thought", prompt=_squeeze(text, wording), yes=not ironic
                )
            continue
        tell = _contents if task == "contents" else _transfer
        for scene in _SCENES[task]:
            if wording == "published" or (task, number, scene) not in _CONTRADICTORY:
                yield from _cell(
                    tell(number, e, scene, wording),
                    story=story,
                    scene=scene,
                    choices=(e["o1"], e["o2"]),
                    wording=wording,
                )


def _cell(
    told: tuple[str, tuple[str, str]], *, story: str, scene: str, choices: tuple[str, str], wording: Wording
) -> Iterator[Item]:
    """The four questions of one scene: plain and swapped, reality and belief. The swap is in the story alone."""
    text, questions = told
    swap = _swap if wording == "published" else _words_swapped
    real = 1 if scene == "no transfer" else 0
    for swapped in (False, True):
        shown_text = swap(text, *choices) if swapped else text
        for question, asked in zip(("reality", "belief"), questions, strict=True):
            answer = 1 if scene == FALSE_BELIEF and question == "belief" else real
            yield cell_item(
                story=story,
                scene=scene,
                swapped=swapped,
                question=question,
                prompt=_squeeze(f"Complete the following story: {shown_text} {asked}", wording),
                choices=tuple(choice.strip() for choice in choices),
                answer=answer ^ swapped,
                real=real ^ swapped,
            )


def _contents(number: int, e: Mapping[str, str], scene: str, wording: Wording) -> tuple[str, tuple[str, str]]:
    text = e["txt_correctlabel"] if scene == "correct label" else e["txt"]
    text += _OPENS.get(number, _OPEN) if scene == "open container" else _SHUTS.get(number, _SHUT)
    if scene == "informed protagonist":
        text += _INFORMED if wording == "published" else _INFORMED.replace("OBJ_PRO cousin", "POS_PRO cousin")
    names = {
        "S1": "o1",
        "S2": "o2",
        "CX": "c",
        "XNAM": "xnam",
        "XPRO": "xpro",
        "OBJ_PRO": "obj_pro",
        "POS_PRO": "pos_pro",
    }
    for placeholder, field in names.items():
        text = text.replace(placeholder, e[field])
    text = text.replace(". h", ". H").replace(". s", ". S")
    she = e["xpro"].capitalize()
    looks = f"{she} opens the {e['c']} and looks inside. {she} can clearly see that it is full of"
    listens = f"{she} puts one in a CD player and listens to the songs. {she} can clearly hear that it is full of"
    got = "received" if number in (12, 14) else "found"
    calls = f"{e['xnam']} calls a friend to tell them that {e['xpro']} has just {got} a {e['c']} full of"
    return text, (listens if number == 17 else looks, calls)


def _transfer(_number: int, e: Mapping[str, str], scene: str, _wording: Wording) -> tuple[str, tuple[str, str]]:
    text = {
        FALSE_BELIEF: e["txt"],
        "no transfer": e["txt_notransfer"],
        "informed protagonist": f"{e['txt']} {e['txt_informed']}",
        "present protagonist": e["txt_present"],
    }[scene]
    return text, (e["q1"], e["q2"])


def _squeeze(text: str, wording: Wording) -> str:
    return text if wording == "published" else re.sub(r" {2,}", " ", text)


def _swap(text: str, a: str, b: str) -> str:
    return text.replace(a, "\0").replace(b, a).replace("\0", b)


def _words_swapped(text: str, a: str, b: str) -> str:
    other = {a: b, b: a}
    longest = sorted(other, key=len, reverse=True)
    return re.sub(rf"(?<!\w)({'|'.join(map(re.escape, longest))})(?!\w)", lambda match: other[match[1]], text)


# -- order of the training texts -----------------------------------------------------------------------------------


TASK_FILE = TaskFile(CODE, is_task_file, task_items)
"""How `broca.stimuli.benchmarks` knows and reads it."""
