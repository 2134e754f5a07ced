"""Files made wrong: by bytes, and by what their format means. The same seed always makes the same file."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from random import Random
from typing import Any

CHUNKS = (
    *(
        b"\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"NaN",
    ),
    *(
        b"9" * 400,
        b"9" * 5000,
        b"[" * 3000,
        b'{"a":' * 3000,
        b"\\ud800",
        b"'",
        b'"',
        b"\n",
        b"\r",
        b",",
        b"null",
        b"-1",
        b"1e999",
    ),
    *(
        b"(" * 3000,
        b"\x80\x04\x95",
        b"r\xff\xff\xff\x7f",
        b"PK\x03\x04",
        b"PAR1",
        "\u2028\u202e".encode(),
        b"{" * 200,
        b"\x1f\x8b",
    ),
)
RAW = {
    "@NAN@": "NaN",
    "@INF@": "-Infinity",
    "@HUGE@": "9" * 400,
    "@HUGER@": "1" + "0" * 5000,
    "@DEEP@": "[" * 20_000 + "]" * 20_000,
    "@DEEPER@": '{"a":' * 1500 + "1" + "}" * 1500,
    "@LONE@": '"\\ud800x"',
    "@TWICE@": '{"a": 1, "a": 2}',
}
"""JSON that no value of Python writes."""
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        10**30,
        0.5,
        1e308,
        -0.0,
        "",
        " ",
        "x",
        "x" * 20_000,
        "\u202e<b>",
        "\0",
    ),
    *(
        "0",
        "-1",
        "nan",
        "1_0",
        "٣",
        "/etc/passwd",
        "../../x",
        [],
        {},
        [[]],
        [None],
        [1, "a"],
        ["a", "b"],
        {"a": {}},
        {"": None},
    ),
    *([[1, [2, [3]]]], *RAW),
)


def mutated(seeds: list[bytes], suffix: str, random: Random) -> bytes:
    """One of the seeds, made wrong in one to four ways."""
    data = random.choice(seeds)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        shape = SHAPES.get(suffix)
        made = shape(data, random) if shape and random.random() < 0.65 else None
        data = by_bytes(data, random, seeds) if made is None else made
    return data[: 1 << 22]


def by_bytes(data: bytes, random: Random, seeds: list[bytes]) -> bytes:
    """Flipped, cut, doubled, spliced, or with another number in the place of one."""
    at, to = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    width = random.choice((1, 4, 8))
    number = random.choice(
        (0, 1, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, random.getrandbits(64), len(data))
    )
    field = (number % (1 << 8 * width)).to_bytes(width, random.choice(("little", "big")))
    other = random.choice(seeds)
    ways = (
        lambda: data[:at] + bytes([random.randrange(256)]) + data[at + 1 :],
        lambda: data[:at] + bytes(b ^ (1 << random.randrange(8)) for b in data[at : at + 1]) + data[at + 1 :],
        lambda: data[:at] + field + data[at + width :],
        lambda: field + data[width:],
        lambda: data[:at],
        lambda: data[:at] + data[min(to, at + 40) :],
        lambda: data[:to] + data[at:to] * random.choice((1, 1, 50)) + data[to:] if to - at < 2000 else data[:at],
        lambda: data[:at] + random.choice(CHUNKS) + data[at:],
        lambda: data[:at] + other[random.randrange(len(other) + 1) :],
        lambda: random.choice((b"", b"\0" * 64, data + data, data[::-1], random.choice(CHUNKS))),
    )
    return random.choice((*ways[:8] * 3, *ways))()


def json_text(data: bytes, random: Random) -> bytes | None:
    """One place in a JSON text, or in a line of it, with another value, none, or twice."""
    try:
        return _changed_json(data.decode(), random).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        pass
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    try:
        lines[at] = _changed_json(lines[at].decode(), random).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return None
    return b"\n".join(lines)


def _changed_json(text: str, random: Random) -> str:
    value = json.loads(text)
    places = list(_places(value))
    if not places or random.random() < 0.03:
        return _written(random.choice(VALUES))
    owner, key = random.choice(places)
    inner = owner[key]
    if isinstance(inner, str) and inner.startswith(("{", "[")) and random.random() < 0.8:
        owner[key] = _changed_json(inner, random)
        return _written(value)
    match random.randrange(8):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[random.choice((f"{key}x", "", str(key)[:-1], "id", "__metadata__"))] = owner.pop(key)
        case 2 if isinstance(owner, list):
            owner.extend([owner[key]] * random.choice((1, 500)))
        case 3:
            other, place = random.choice(places)
            owner[key], other[place] = other[place], owner[key]
            return _written(json.loads(json.dumps(value)) if _plain(value) else None)
        case 4:
            owner[key] = [owner[key]]
        case _:
            owner[key] = random.choice(VALUES)
    return _written(value)


def _plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (ValueError, RecursionError):  # a value within itself
        return False
    return True


def _places(value: Any) -> Any:
    stack = [value]
    while stack:
        owner = stack.pop()
        keys = owner if isinstance(owner, dict) else range(len(owner)) if isinstance(owner, list) else ()
        for key in list(keys):
            yield owner, key
            stack.append(owner[key])


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r'"(@[A-Z]+@)"', lambda found: RAW.get(found[1], found[0]), text)


def safetensors(data: bytes, random: Random) -> bytes | None:
    """The header as JSON; its length as it now is, or as it was."""
    length = int.from_bytes(data[:8], "little")
    if random.random() < 0.1:
        claimed = random.choice((0, 1, length - 1, length + 1, len(data), 2**31, 2**40, 2**63, 2**64 - 1))
        return (claimed % (1 << 64)).to_bytes(8, "little") + data[8:]
    try:
        header = _changed_json(data[8 : 8 + length].decode(), random).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return None
    size = len(header) if random.random() < 0.9 else length
    return size.to_bytes(8, "little") + header + data[8 + length :]


def parquet(data: bytes, random: Random) -> bytes | None:
    """The footer, whose numbers are varints, and the headers of pages; its length too."""
    if len(data) < 12:
        return None
    length = int.from_bytes(data[-8:-4], "little")
    start = max(len(data) - 8 - length, 4)
    if random.random() < 0.15:
        claimed = random.choice((0, 1, length - 1, length + 1, len(data), 2**31 - 1, 2**32 - 1))
        return data[:-8] + struct.pack("<I", claimed % (1 << 32)) + data[-4:]
    low, high = (start, len(data) - 8) if random.random() < 0.7 else (4, min(40, len(data) - 8))
    at = random.randrange(low, max(high, low + 1))
    varint = random.choice(
        (b"\xff\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x10", b"\0")
    )
    new = random.choice((varint, bytes([random.randrange(256)])))
    made = data[:at] + new + data[at + random.choice((1, len(new))) :]
    grown = len(made) - len(data) if at >= start else 0
    return made[:-8] + struct.pack("<I", (length + grown) % (1 << 32)) + b"PAR1"


def zipped(data: bytes, random: Random) -> bytes | None:
    """One part of an archive made wrong, and the archive whole again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        struct.error,
        LookupError,
        zlib.error,
    ):
        return None
    if not parts:
        return None
    names = sorted(parts)
    name = (
        next((name for name in names if name.endswith(".pkl")), names[0])
        if random.random() < 0.8
        else random.choice(names)
    )
    parts[name] = pickled(parts[name], random)
    made = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if random.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", how) as archive:
        for part, content in parts.items():
            archive.writestr(
                zipfile.ZipInfo(part),
                content * (1 + (1 << 24) // (len(content) + 1) if how and random.random() < 0.3 else 1),
            )
    return made.getvalue()


def pickled(data: bytes, random: Random) -> bytes:
    """An instruction too many, or another number in one."""
    at = random.randrange(len(data) + 1)
    code = random.choice(
        (
            *(
                b"N",
                b"\x88",
                b"K\xff",
                b"]",
                b"}",
                b")",
                b"(",
                b"t",
                b"a",
                b"e",
                b"s",
                b"u",
                b"0",
                b"2",
                b".",
                b"R",
                b"b",
                b"Q",
            ),
            *(
                b"J\xff\xff\xff\xff",
                b"r\xff\xff\xff\x7f",
                b"j\xff\xff\xff\x7f",
                b"\x8a\x10" + b"\xff" * 15 + b"\x7f",
                b"h\x00",
            ),
            *(
                b"X\xff\xff\xff\x7f",
                b"X\x04\x00\x00\x00true",
                b"cos\nsystem\n",
                b"G\x7f\xf8\x00\x00\x00\x00\x00\x00",
                b"\x94" * 9,
            ),
        )
    )
    if random.random() < 0.3:  # a number of one byte: a shape, a stride, an offset
        found = [place.start() + 1 for place in re.finditer(rb"K.", data, re.DOTALL)]
        if found:
            at = random.choice(found)
            return data[: at - 1] + random.choice((code, b"K" + bytes([random.randrange(256)]))) + data[at + 1 :]
    return data[:at] + code + data[at + random.choice((0, 0, 1)) :]


def delimited(data: bytes, random: Random) -> bytes | None:
    """Another cell, a cell more, a column twice."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    cells = lines[at].split(b",")
    place = random.randrange(len(cells))
    new = json.dumps(random.choice(VALUES), ensure_ascii=False).encode("utf-8", "surrogatepass")
    match random.randrange(5):
        case 0:
            cells[place] = b'"' + new.replace(b'"', b'""') + b'"'
        case 1:
            cells[place] = random.choice(CHUNKS)
        case 2:
            cells.insert(place, cells[random.randrange(len(cells))])
        case 3:
            del cells[place]
        case _:
            lines.insert(at, random.choice(lines))
            return b"\n".join(lines)
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def toml(data: bytes, random: Random) -> bytes | None:
    """Another value behind a key, a line twice or gone."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    key, equals, _ = lines[at].partition(b"=")
    match random.randrange(4) if equals else random.randrange(2):
        case 0:
            del lines[at]
        case 1:
            lines.insert(random.randrange(len(lines)), lines[at])
        case _:
            value = random.choice(VALUES)
            text = RAW.get(value, "") if isinstance(value, str) else ""
            more = ("{}", "[]", "nan", "1979-05-27", "'''", "[" * 5000, "[[" * 100, "a.b.c.d" * 300, "0x" + "f" * 4000)
            new = text or (json.dumps(value) if random.random() < 0.7 else random.choice(more))
            lines[at] = key + b"= " + new.encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


SHAPES = {
    ".json": json_text,
    ".jsonl": json_text,
    ".safetensors": safetensors,
    ".parquet": parquet,
    ".pt": zipped,
    ".pik": pickled,
    ".csv": delimited,
    ".tsv": delimited,
    ".toml": toml,
}
