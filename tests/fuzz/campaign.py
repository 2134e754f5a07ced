"""Inputs made and read, in a process of their own: whoever dies of one is started anew behind it.

A fault is an error that is none of ours, more than `SECONDS` of work, or more than `MEMORY`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self

SECONDS = 2.0
"""Of work for one input."""
HANGS = 30.0
"""Seconds after which a process that does not answer is ended."""
MEMORY = 1 << 30
FAULTS = Path(".fuzz")
_CHUNK = 50


@dataclass
class Tally:
    """What became of a reader's inputs."""

    inputs: int = 0
    seconds: float = 0.0
    read: int = 0
    """Inputs that were read; the others were refused."""
    faults: dict[int, str] = field(default_factory=dict)
    """By seed."""


class Inputs:
    """The inputs of one reader by seed, and a folder to read them in."""

    def __init__(self, name: str, folder: Path) -> None:
        from fuzz.readers import READERS

        self.reader = READERS[name]
        self.seeds = self.reader.seeds()
        self.path = folder / name / self.reader.file
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for file, content in self.reader.beside.items():
            place = folder / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content())

    def content(self, seed: int) -> bytes:
        from fuzz.mutate import mutated

        return mutated(self.seeds, self.reader.suffix, Random(f"{self.reader.name} {seed}"))

    def read(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.reader.call(self.path)


def worker() -> None:
    """Take lines of a reader, a first seed and a count; give a line before each input, and one after all."""
    import logging
    import warnings

    from broca.errors import BrocaError

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        known: dict[str, Inputs] = {}
        for line in sys.stdin:
            name, first, count = json.loads(line)
            if name not in known:
                known[name] = Inputs(name, Path(folder))
                for content in known[name].seeds:
                    with suppress(BrocaError):  # of an adapter, its name is all that is read
                        known[name].read(content)
            inputs = known[name]
            with _bounded():
                for seed in range(first, first + count):
                    _say({"seed": seed})
                    start = time.process_time()
                    fault = _fault(inputs, inputs.content(seed), BrocaError)
                    took = time.process_time() - start
                    if fault in (None, "") and took > SECONDS:
                        fault = f"it took {took:.1f} s"
                    _say({"seed": seed, "fault": fault or "", "read": fault is None, "took": took})
            _say({"end": True})


def _fault(inputs: Inputs, content: bytes, ours: type[Exception]) -> str | None:
    """What is wrong with how an input was read: None where it was read, nothing where it was refused."""
    try:
        inputs.read(content)
    except ours as error:
        return "" if str(error).strip() else "an error without a word"
    except BaseException as error:  # what else there is, is what is looked for
        last = traceback.extract_tb(error.__traceback__)
        own = next((each for each in reversed(last) if "/broca/" in each.filename), last[-1])
        return f"{type(error).__name__} at {own.filename.rpartition('/broca/')[2]}:{own.lineno}: {str(error)[:150]}"
    return None


@contextmanager
def _bounded() -> Iterator[None]:
    """Within the memory that a reader may take, and interrupted where Python itself takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it takes more than {5 * SECONDS:g} s")

    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, 5 * SECONDS * _CHUNK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Worker:
    """The process that reads; used as a context."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process, self._left = self._process, None, b""
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def run(self, name: str, first: int, count: int) -> Tally:
        """Inputs of a reader by seeds from `first`."""
        tally = Tally()
        at, end = first, first + count
        while at < end:
            self._ask([name, at, min(_CHUNK, end - at)])
            at = self._answers(tally, at)
        return tally

    def _answers(self, tally: Tally, at: int) -> int:
        """Take what is said of inputs until their end; the next seed."""
        seed: int | None = None
        while True:
            told = self._line()
            if told is None:
                code = self._process.poll() if self._process else None
                self.__exit__()
                if seed is None:
                    raise RuntimeError(
                        f"the process of the fuzz ended with {code} before any input: run a seed by itself"
                    )
                tally.inputs += 1
                tally.faults[seed] = "it hangs" if code is None else f"the process ended with {code}"
                return seed + 1
            if "end" in told:
                return at
            seed = told["seed"]
            if "fault" in told:
                tally.inputs, tally.seconds, at = tally.inputs + 1, tally.seconds + told["took"], told["seed"] + 1
                tally.read += told["read"]
                if told["fault"]:
                    tally.faults[told["seed"]] = told["fault"]

    def _ask(self, question: list[Any]) -> None:
        if self._process is None:
            paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from fuzz.campaign import worker; worker()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | paths,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()

    def _line(self) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        with selectors.DefaultSelector() as ready:
            ready.register(handle, selectors.EVENT_READ)
            while b"\n" not in self._left:
                if not ready.select(HANGS + 90 * (not self._left)):
                    return None
                part = os.read(handle, 1 << 16)
                if not part:
                    self._process.wait()
                    return None
                self._left += part
        line, _, self._left = self._left.partition(b"\n")
        return json.loads(line)
