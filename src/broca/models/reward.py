"""Classifiers of a question with its completion, such as reward models: raw logits, one a pair.

How a pair is written is the model's own affair and found here: by the chat template where the tokenizer has one; as two
segments where it has marks for them; else one after the other, a line break between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from broca.errors import ModelError
from broca.items import Message, Text, fingerprint
from broca.items.text import plain_text
from broca.models.fitting import in_parts
from broca.models.identity import identity
from broca.models.load import load
from broca.models.rendering import TokenizerText
from broca.models.templates import chat_text
from broca.models.tokens import tokenize

Form = Literal["template", "segments", "joined"]


@dataclass(frozen=True, slots=True)
class Logit:
    """What the model says of one pair."""

    value: float
    truncated: bool
    """Whether the pair was too long for the model and lost its end."""


@dataclass
class RewardModel:
    """A classifier of pairs, and the one of its outputs that is read."""

    model: Any
    tokenizer: Any
    name: str
    label: str
    """The output that is read, by its name in the model's config."""
    revision: str | None = None
    batch_size: int = 8
    """Pairs at once; halved by itself when memory runs out."""

    @classmethod
    def load(
        cls,
        name: str,
        *,
        label: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> RewardModel:
        """Load a directory or hub id, safetensors only.

        Args:
            name: the directory or id.
            label: which output to read; may be left out where there is one. ``entailment`` of a classifier of inferences, say.
            revision: of a hub id: branch, tag or commit.
            dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
            device: "auto" (a GPU where there is one), or a device.
            trust_remote_code: run code that comes with the model. Off unless you say so.

        Raises:
            ModelError: if the files are missing, corrupt or not safetensors, the model has no head for classes (it would be
                random), there is no tokenizer, or the label does not name one of several outputs.
        """
        how = {"revision": revision, "dtype": dtype, "device": device, "trust_remote_code": trust_remote_code}
        model, tokenizer = load(name, **how, head="SequenceClassification")
        return cls(model, tokenizer, name, _label(model, name, label), revision)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that its scores depend on, as it is now, and of the output that is read."""
        return fingerprint([identity(self.model, self.tokenizer), self.label])

    @property
    def form(self) -> Form:
        """How a pair is written."""
        if getattr(self.tokenizer, "chat_template", None):
            return "template"
        return "segments" if self.tokenizer.sep_token is not None else "joined"

    @property
    def context(self) -> int:
        """Tokens that fit."""
        config = self.model.config.get_text_config()
        return min(self.tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or 1 << 30)

    def logits(self, pairs: Sequence[tuple[Text, str]]) -> list[Logit]:
        """The raw logit of each question with its completion, in the order given.

        Pairs of like length share a batch, padded on the right; one by one where the model's config names no padding, since
        such classifiers then cannot tell where a text ends.

        Raises:
            BrocaError: if a single pair does not fit into memory.
        """
        encoded = [self._encode_pair(question, completion) for question, completion in pairs]
        order = sorted(range(len(pairs)), key=lambda i: -len(encoded[i]["input_ids"]))
        size = 1 if self._pad is None else self.batch_size
        values = in_parts([encoded[i] for i in order], self._values, size=size)
        found: list[Logit] = [Logit(0.0, False)] * len(pairs)
        for i, value in zip(order, values, strict=True):
            found[i] = Logit(value, encoded[i]["truncated"])
        return found

    @property
    def _pad(self) -> int | None:
        return self.model.config.get_text_config().pad_token_id

    def _encode_pair(self, question: Text, completion: str) -> dict[str, Any]:
        if self.form == "segments":
            pair = ([plain_text(question)], [completion])  # lists, since an empty text alone counts as none
            long = len(self.tokenizer(*pair, verbose=False)["input_ids"][0]) > self.context
            cut = {"truncation": "longest_first", "max_length": self.context} if long else {}
            made = self.tokenizer(*pair, **cut)
            kinds = {name: made[name][0] for name in ("input_ids", "token_type_ids") if name in made}
            return kinds | {"truncated": long}
        if self.form == "template":
            turns = [*_turns(question), {"role": "assistant", "content": completion}]
            written = TokenizerText(chat_text(self.tokenizer, turns), templated=True)
        else:
            written = TokenizerText(f"{plain_text(question)}\n{completion}")
        ids = tokenize(self.tokenizer, [written])[0].ids
        return {"input_ids": ids[: self.context], "truncated": len(ids) > self.context}

    @torch.no_grad()
    def _values(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        width = max(len(row["input_ids"]) for row in rows)

        def pad_rows(name: str, fill: int) -> torch.Tensor:
            filled = [[*row[name], *[fill] * (width - len(row[name]))] for row in rows]
            return torch.tensor(filled, device=self.model.device)

        given = {"input_ids": pad_rows("input_ids", self._pad or 0)}
        given["attention_mask"] = torch.tensor(
            [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows],
            device=self.model.device,
        )
        if "token_type_ids" in rows[0]:
            given["token_type_ids"] = pad_rows("token_type_ids", 0)
        logits = self.model(**given).logits
        return logits[:, self.model.config.label2id[self.label]].double().tolist()


def _label(model: Any, name: str, label: str | None) -> str:
    known = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
    if label is None and len(known) == 1:
        return known[0]
    if label not in known:
        raise ModelError(
            f"{name} has the outputs {', '.join(known)}, and {'none is named' if label is None else f'{label!r} is asked for'}. "
            "Name the one to read as its label."
        )
    return label


def _turns(question: Text) -> list[dict[str, str]]:
    messages = (Message("user", question),) if isinstance(question, str) else question
    return [{"role": message.role, "content": message.content} for message in messages]
