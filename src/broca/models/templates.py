"""Chat templates at arm's length: rendered by a process of their own, within bounds of time and memory.

A template comes with a model, from anybody. Transformers renders it in a sandbox, which keeps it from files and modules; it does not
keep it from a loop without end or a string of ten gigabytes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from broca.errors import StimulusError

SECONDS = 10.0
"""That one chat may take."""
_START = 120.0
"""Seconds for the process to start, on a busy machine."""

Turns = Sequence[Mapping[str, Any]]


def chat_text(owner: Any, turns: Turns, *, template: str | None = None, **how: Any) -> str:
    """What the template of a tokenizer, or of a processor, makes of a chat.

    Args:
        owner: the tokenizer or processor.
        turns: messages with role and content.
        template: another template than its own.
        how: `add_generation_prompt` and other arguments of the template.

    Raises:
        StimulusError: if the template refuses, fails, or takes more time or memory than it may.
    """
    words = getattr(owner, "tokenizer", owner)
    if not _renders_templates(type(owner)):
        return _by_itself(owner, turns, how)
    if template is None:
        try:
            template = words.get_chat_template()
        except ValueError as error:
            raise StimulusError(f"The tokenizer has no one chat template: {error}") from error
    plain = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
    return _rendered(template, json.dumps([plain, {**words.special_tokens_map, **how}], default=str))


@lru_cache(maxsize=4096)
def _rendered(template: str, asked: str) -> str:
    turns, more = json.loads(asked)
    answer = _CHILD.ask({"template": template, "turns": turns, "more": more})
    if "text" in answer:
        return answer["text"]
    raise _refusal(answer["error"], answer["why"])


def _by_itself(owner: Any, turns: Turns, how: Mapping[str, Any]) -> str:
    """By the tokenizer's own code, where it has some: it is no template."""
    try:
        return owner.apply_chat_template(list(turns), tokenize=False, **how)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise _refusal(type(error).__name__, str(error)) from error


def _renders_templates(kind: type) -> bool:
    """Whether a class renders chats in transformers' own way."""
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

    own = getattr(kind, "apply_chat_template", None)
    return own in (PreTrainedTokenizerBase.apply_chat_template, ProcessorMixin.apply_chat_template)


def _refusal(error: str, why: str) -> StimulusError:
    if error == "TemplateError":
        return StimulusError(
            f"The chat template refuses this chat: {why}. Change the turns (some templates take no system turn, or want user and "
            "assistant in turns), or use chat='never'."
        )
    return StimulusError(
        f"The chat template fails on this chat ({error}: {why}). Check the template, or use chat='never'."
    )


class _Child:
    """The process that renders, started when it is first needed; another one after a kill, and in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        atexit.register(self.close)

    def ask(self, asked: Mapping[str, Any]) -> dict[str, str]:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
            line = _line(process, SECONDS)
            if line is not None:
                return json.loads(line)
            ended = process.poll() is not None
            self.close()
            why = "its process ended" if ended else f"it takes more than {SECONDS:g} seconds"
            return {"error": "MemoryError" if ended else "TimeoutError", "why": why}

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process, self._owner = _started(), os.getpid()
        return self._process

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.communicate()


def _started() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "broca.models.template_child"]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONIOENCODING": "utf-8"}
    # In a session of its own: Ctrl-C is for the one who asks.
    process = subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=paths,
        start_new_session=True,
    )
    if _line(process, _START) != b"ready":
        process.kill()
        process.communicate()
        raise StimulusError(
            "The process that renders chat templates could not be started. Free some memory, or use chat='never'."
        )
    return process


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line of a process's output; None if it ends, or takes too long."""
    assert process.stdout is not None
    handle, got = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as ready:
        ready.register(handle, selectors.EVENT_READ)
        while not got.endswith(b"\n"):
            if not ready.select(seconds):
                return None
            part = os.read(handle, 1 << 20)
            if not part:
                return None
            got += part
    return got.rstrip(b"\n")


_CHILD = _Child()
