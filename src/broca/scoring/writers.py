"""Who writes on request: a model here, or one on a server. Greedy, and on record.

What a writer is called with are plain prompts; what its `about` says goes into every address and record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from broca.errors import StimulusError
from broca.scoring.completions import cached_answers
from broca.scoring.server import Server
from broca.specs.fields import Chat

if TYPE_CHECKING:
    from broca.models.lm import LM


class Writer(Protocol):
    """Answers prompts, always in the same way."""

    @property
    def about(self) -> Mapping[str, str | int | None]:
        """Everything that the answers depend on: model, revision, fingerprint, max_new_tokens, and the like."""
        ...

    def __call__(self, prompts: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Here:
    """A model in memory, under whatever is in force; asked through its chat template where it has one."""

    lm: LM
    max_new_tokens: int = 256

    @property
    def about(self) -> Mapping[str, str | int | None]:
        return {
            "model": self.lm.name,
            "revision": self.lm.revision,
            "fingerprint": self.lm.address,
            "condition": " ".join(self.lm.condition),
            "chat": self._chat,
            "max_new_tokens": self.max_new_tokens,
        }

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        limit = self.lm.context
        longest = max(map(len, self.lm.tokenize(prompts, chat=self._chat)), default=0)
        if limit is not None and longest + self.max_new_tokens > limit:
            raise StimulusError(
                f"A prompt of {longest} tokens and {self.max_new_tokens} new ones do not fit into the {limit} positions of "
                f"{self.lm.name}. Give a model with more, or shorter texts."
            )
        return self.lm.generate(prompts, max_new_tokens=self.max_new_tokens, chat=self._chat)

    @property
    def _chat(self) -> Chat:
        return "always" if getattr(self.lm.tokenizer, "chat_template", None) else "never"


@dataclass(frozen=True, slots=True)
class There:
    """A model on a server that speaks OpenAI's chats, or its completions. Which weights it serves is its own affair."""

    server: Server
    max_new_tokens: int = 256
    chat: bool = True

    @property
    def about(self) -> Mapping[str, str | int | None]:
        return {
            "model": self.server.model,
            "revision": None,
            "fingerprint": None,
            "server": self.server.public_url,
            "chat": "always" if self.chat else "never",
            "max_new_tokens": self.max_new_tokens,
        }

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        return self.server.complete(prompts, max_tokens=self.max_new_tokens, chat=self.chat)


@dataclass(frozen=True, slots=True)
class Kept:
    """Another writer, whose answers are kept in a file by everything that they depend on, and not asked for twice."""

    writer: Writer
    cache: str | Path

    @property
    def about(self) -> Mapping[str, str | int | None]:
        return self.writer.about

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        asked = [(prompt,) for prompt in prompts]
        return cached_answers(
            ["written", dict(self.about)], asked, lambda some: self.writer([p for (p,) in some]), cache=self.cache
        )


def writer(
    model: str,
    *,
    server: str | None = None,
    max_new_tokens: int = 256,
    revision: str | None = None,
    device: str = "auto",
) -> Writer:
    """The model of that name: on the server with that address, or loaded here.

    Raises:
        ModelError: if there is no such model here.
        ServerError: if the address is none.
    """
    if server:
        return There(Server(server, model), max_new_tokens)
    from broca.models.lm import LM

    return Here(LM.load(model, revision=revision, device=device), max_new_tokens)
