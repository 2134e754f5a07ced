"""Scoring texts that a server wrote: any that speaks OpenAI's completions, such as vLLM or `transformers serve`.

For models too large for one process here: write a masked checkpoint (`broca.models.export`), serve it, score it. A server
gives texts alone, so answers are read as `Generation` and `Sampled` read them; its tokenizer, its way with BOS and its sampler
are its own. (`transformers serve` stays greedy at any temperature where the model's generation config does not say do_sample.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import polars as pl

from broca.errors import ServerError, StimulusError
from broca.items import Item
from broca.scoring.generation import Generation
from broca.scoring.prompts import gap_before, words_alone
from broca.scoring.rows import Outcome
from broca.scoring.sampling import apart, seed_of, together
from broca.specs.fields import template_parts
from broca.storage.secrets import hide_secrets

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST = 30.0
"""Seconds of the longest pause between two tries."""
_READER = Generation(max_new_tokens=5, match="first-word")


@dataclass(frozen=True, slots=True)
class Server:
    """Where completions are asked for. The key, where one is needed, is the environment's OPENAI_API_KEY."""

    url: str
    """Base address, such as ``http://localhost:8000``; ``/v1`` is added where it is missing."""
    model: str | None = None
    """The model's name there; may be left out where the server names exactly one."""
    timeout: float = 120.0
    """Seconds to wait for one answer."""
    tries: int = 5
    """How often a request is made before the server counts as gone."""
    pause: float = 0.5
    """Seconds before the second try; doubled for each further one, up to 30, or as the server says."""
    at_once: int = 8
    """Requests under way at the same time."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ServerError(f"{self.url!r} is no address of a server. Give one such as http://localhost:8000.")
        if self.timeout <= 0 or self.tries < 1 or self.pause < 0 or self.at_once < 1:
            raise ServerError(
                f"timeout {self.timeout}, tries {self.tries}, pause {self.pause} and at_once {self.at_once}: give a timeout above "
                "0, at least one try and one request at once, and no pause below 0."
            )

    @property
    def base(self) -> str:
        """The address with its ``/v1``."""
        bare = self.url.rstrip("/").removesuffix("/completions").rstrip("/")
        return bare if bare.endswith("/v1") else f"{bare}/v1"

    @property
    def public_url(self) -> str:
        """`base` as it may be shown and kept: without a name and password."""
        parts = urlsplit(self.base)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def _hide(self, text: str) -> str:
        parts = urlsplit(self.url)
        return hide_secrets(text, [own for own in (parts.password,) if own])

    def with_model(self) -> Server:
        """This server with the model's name: the one that it serves, where none was given.

        Raises:
            ServerError: if it is gone, or serves no model or several.
        """
        if self.model:
            return self
        with self._client() as client:
            try:
                listed = self._request(client, "GET", "/models")
                names = [self._hide(str(entry["id"])) for entry in listed["data"]]
            except (ServerError, KeyError, TypeError) as error:
                detail = str(error) if isinstance(error, ServerError) else "its list of models has another form"
                raise ServerError(
                    f"{self.public_url} does not say which model it serves: {detail} Give the model's name."
                ) from error
        if len(names) != 1:
            raise ServerError(
                f"{self.public_url} serves {len(names)} models{': ' + ', '.join(names[:8]) if names else ''}. Give the name of one."
            )
        return Server(self.url, names[0], self.timeout, self.tries, self.pause, self.at_once)

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        chat: bool = False,
    ) -> list[str]:
        """Continue each prompt, each in a request of its own.

        Args:
            prompts: plain texts.
            max_tokens: how many tokens at most.
            temperature: 0 is greedy.
            top_p: of sampling.
            seeds: one a prompt; how far a server keeps to them is its own affair.
            chat: ask for the answer to a chat of which the prompt is the only turn: the server applies its model's template.

        Raises:
            ServerError: if the server is gone, refuses, or answers with something else.
        """
        model = self.with_model().model
        asked = [
            {
                "model": model,
                **({"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}),
                "max_tokens": max_tokens,
                "temperature": temperature,
                **({"top_p": top_p} if temperature else {}),
                **({"seed": seeds[i]} if seeds is not None else {}),
            }
            for i, prompt in enumerate(prompts)
        ]
        with self._client() as client, ThreadPoolExecutor(self.at_once) as pool:
            waiting = [pool.submit(self._one, client, body) for body in asked]
            try:
                return [future.result() for future in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, client: httpx2.Client, body: Mapping[str, Any]) -> str:
        chat = "messages" in body
        answer = self._request(client, "POST", "/chat/completions" if chat else "/completions", body)
        try:
            first = answer["choices"][0]
            text = first["message"]["content"] if chat else first["text"]
        except (KeyError, IndexError, TypeError) as error:
            raise self._odd(answer, chat=chat) from error
        if not isinstance(text, str):
            raise self._odd(answer, chat=chat)
        return self._hide(text)

    def _client(self) -> httpx2.Client:
        key = os.environ.get("OPENAI_API_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx2.Client(timeout=self.timeout, headers=headers)

    def _request(self, client: httpx2.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of an answer; asked again while the server may recover."""
        pause, last = self.pause, ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(min(pause, _LONGEST))
                pause = max(2 * pause, self.pause)
            try:
                answer = client.request(method, self.base + path, json=body)
            except httpx2.InvalidURL as error:
                raise ServerError(
                    f"{self.public_url}{path} is no address of a server ({self._hide(str(error))})."
                ) from error
            except httpx2.TimeoutException:
                last = f"no answer within {self.timeout:g} s"
                continue
            except httpx2.RequestError as error:
                last = self._hide(str(error)) or type(error).__name__
                continue
            if answer.status_code in _AGAIN:
                last = f"status {answer.status_code}{self._says(answer)}"
                pause = _retry_pause(answer, pause)
                continue
            return self._read(answer, path, model=(body or {}).get("model"))
        raise ServerError(
            f"{self.public_url}{path} was asked {self.tries} times and gave no answer (last: {last}). Check that the server runs, or "
            "allow more time; then repeat the call."
        )

    def _read(self, answer: httpx2.Response, path: str, *, model: str | None) -> Any:
        if answer.status_code in (401, 403):
            raise ServerError(
                f"{self.public_url} refuses with status {answer.status_code}{self._says(answer)}. Set OPENAI_API_KEY to its key."
            )
        if answer.status_code != 200:
            raise ServerError(
                f"{self.public_url}{path} refuses{f' model {model!r}' if model else ''} with status {answer.status_code}{self._says(answer)}. "
                "Check the address and the model's name."
            )
        try:
            return answer.json()
        except ValueError as error:
            raise ServerError(
                f"{self.public_url}{path} answers with something that is not JSON: {self._hide(answer.text)[:120]!r}. Give the address of a server "
                "of completions."
            ) from error

    def _says(self, answer: httpx2.Response) -> str:
        """What a server adds to a refusal, shortened."""
        text = " ".join(self._hide(answer.text).split())
        return f": {text[:200]}" if text else ""

    def _odd(self, answer: Any, *, chat: bool) -> ServerError:
        path, place = ("/chat/completions", "message.content") if chat else ("/completions", "text")
        return ServerError(
            f"{self.public_url}{path} answers {self._hide(str(answer))[:120]!r}, in which there is no choices[0].{place}. Give the address of a "
            f"server of {'chats' if chat else 'completions (not of chats)'}."
        )


@dataclass(frozen=True, slots=True)
class ServerScorer:
    """`Generation`, or with a temperature above 0 `Sampled`, by a server. Call it with items alone."""

    server: Server
    reader: Generation = _READER
    """How long a text is and how it is read."""
    temperature: float = 0.0
    top_p: float = 0.9
    repetitions: int = 1
    seed: int = 0

    def __call__(self, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA`, one an item: the choice named most often, the first of those that tie.

        Raises:
            ServerError: if the server is gone, refuses, or answers with something else.
            StimulusError: if an item is a chat, or its choices cannot be told apart.
        """
        return together(items, self.outcomes(items))

    def repetition_rows(self, items: Sequence[Item]) -> pl.DataFrame:
        """Rows with a column ``repetition`` from 1, one an item and repetition.

        Raises:
            ServerError: if the server is gone, refuses, or answers with something else.
            StimulusError: if an item is a chat, or its choices cannot be told apart.
        """
        return apart(items, self.outcomes(items))

    def outcomes(self, items: Sequence[Item]) -> list[list[Outcome]]:
        """What came of the items, one list a repetition; raises as `repetition_rows`."""
        if self.reader.temperature or self.temperature < 0 or self.repetitions < 1:
            raise StimulusError(
                f"temperature {self.temperature} and {self.repetitions} repetitions, with a reader at temperature "
                f"{self.reader.temperature}: give a temperature of 0 or above, one repetition or more, and a reader at 0."
            )
        self.reader.check(items)
        prompts = [_prompt(item, self.reader) for item in items]
        times = range(self.repetitions)
        texts = self.server.complete(
            prompts * self.repetitions,
            max_tokens=self.reader.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seeds=[seed_of(self.seed, item, r) for r in times for item in items] if self.temperature else None,
        )
        n = len(items)
        return [self.reader.read(items, texts[r * n : (r + 1) * n]) for r in times]


def _prompt(item: Item, reader: Generation) -> str:
    words_alone([item])
    text, cue, gap = reader.prompt_parts(item)
    if not isinstance(text, str) or template_parts(reader.chat)[0] == "always":
        raise StimulusError(
            f"Item {item.id!r} would need a chat template, and a server of completions takes plain text. Give plain prompts, or "
            "score it here."
        )
    return text + gap_before(text, cue, gap) + cue if cue else text


def _retry_pause(answer: httpx2.Response, pause: float) -> float:
    """The pause that the server asks for, in seconds, or else `pause`."""
    try:
        return max(pause, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return pause
