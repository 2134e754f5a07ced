"""A language model under study: the weights, the tokenizer and the proved anatomy, held together.

`LM` inherits from nothing and renames nothing: `lm.model` is the real Hugging Face model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from broca.errors import BrocaError, GuardError
from broca.models import tokens as tok
from broca.models.anatomy import Anatomy, dissect
from broca.models.load import load, load_processor, weight_hash
from broca.models.pictures import Viewer
from broca.models.placement import device_of
from broca.models.tokens import Batch, Tokens
from broca.sites import Site

T = TypeVar("T")


class Intervention(Protocol):
    """A reversible change to a model: in force inside the context, gone after it, bit for bit."""

    @property
    def fingerprint(self) -> str:
        """Content hash: part of the address of every result obtained under it."""
        ...

    def applied(self, lm: LM) -> AbstractContextManager[Mapping[Site, int] | None]:
        """Put the change in force; yields how often each edit has fired, where it edits activations."""
        ...


@dataclass
class LM:
    """A language model under study.

    Make one with `LM.load` or `LM.wrap`; both prove the wiring.
    """

    model: Any
    tokenizer: Any
    anatomy: Anatomy
    name: str = ""
    revision: str | None = None
    batch_size: int = 32
    """Texts a batch; halved by itself when memory runs out."""
    notes: list[str] = field(default_factory=list)
    """What happened on the way that a reader of the results should know."""
    processor: Any = field(default=None, repr=False)
    """Of a vision-language model: makes pictures into what the model takes."""
    loaded: Mapping[str, Any] | None = field(default=None, repr=False)
    """What `load` was called with: how another process gets the same model."""
    _wanted: int = field(default=0, repr=False)
    """The batch size before memory first ran out."""
    _active: list[tuple[Intervention, Mapping[Site, int] | None]] = field(default_factory=list, repr=False)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | Mapping[str, Any] = "auto",
        trust_remote_code: bool = False,
        offload: str | None = None,
    ) -> LM:
        """Load a shipped organism, a directory or a hub id, and prove its wiring.

        Args:
            name: the name of a shipped organism, a directory, or a Hugging Face hub id.
            revision: of a hub id: branch, tag or commit.
            dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
            device: "auto" (a GPU where there is one), a device, or an accelerate `device_map`.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            offload: folder for the parts that a `device_map` sends to "disk".

        Raises:
            ModelError: if the files are missing, incomplete, corrupt or not safetensors, or there is no tokenizer.
            AnatomyError: if the wiring cannot be proved.
        """
        how = {"revision": revision, "dtype": dtype, "device": device, "trust_remote_code": trust_remote_code}
        if offload is not None:
            how["offload"] = offload
        notes: list[str] = []
        model, tokenizer = load(name, **how, notes=notes)
        processor, lack = load_processor(name, model, revision=revision, trust_remote_code=trust_remote_code)
        notes, tokenizer = [*notes, *lack], getattr(processor, "tokenizer", tokenizer)
        return cls(
            model,
            tokenizer,
            dissect(model, tokenizer=tokenizer),
            name=name,
            revision=revision,
            notes=notes,
            processor=processor,
            loaded={"name": name, **how},
        )

    @classmethod
    def wrap(
        cls, model: Any, tokenizer: Any, *, processor: Any = None, anatomy: Anatomy | None = None, name: str = ""
    ) -> LM:
        """Take a model that is already in memory.

        Args:
            model: a transformers model.
            tokenizer: its tokenizer.
            processor: of a vision-language model, for prompts with pictures.
            anatomy: its wiring, where it is not to be found.
            name: what to call it.

        Raises:
            AnatomyError: if no `anatomy` is given and the wiring cannot be proved.
        """
        return cls(
            model.eval(),
            tokenizer,
            anatomy or dissect(model, tokenizer=tokenizer),
            name=name or type(model).__name__,
            processor=processor,
        )

    def __repr__(self) -> str:
        a = self.anatomy
        return (
            f"LM({self.name!r}: {a.n_layers} layers, {a.n_heads} heads, {a.d_model} wide, {self.dtype}, {self.device})"
        )

    @property
    def device(self) -> torch.device:
        return device_of(self.model)

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.model.parameters() if p.is_floating_point())

    @cached_property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights as loaded (16 hex digits)."""
        return weight_hash(self.model)

    # -- interventions ---------------------------------------------------------------------------------------------

    @property
    def condition(self) -> tuple[str, ...]:
        """Fingerprints of the interventions in force, outermost first: part of every result's address."""
        return tuple(intervention.fingerprint for intervention, _ in self._active)

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """What is in force, outermost first."""
        return tuple(intervention for intervention, _ in self._active)

    @contextmanager
    def under(self, *interventions: Intervention) -> Iterator[LM]:
        """Run the body with every intervention in force, applied left to right; nests; restores bit for bit."""
        before = len(self._active)
        try:
            with ExitStack() as stack:
                for intervention in interventions:
                    fired = stack.enter_context(intervention.applied(self))
                    self._active.append((intervention, fired))
                yield self
        finally:
            # Also when a later intervention could not be applied: what is not in force must not be in the address.
            del self._active[before:]

    def assert_fired(self) -> None:
        """The *fired* guard: every edit in force has run at least once.

        Raises:
            GuardError: naming the sites whose edit never ran.
        """
        silent = [str(site) for _, fired in self._active for site, times in (fired or {}).items() if not times]
        if silent:
            raise GuardError(
                f"The intervention at {', '.join(silent)} never ran: this forward pass skips these modules, so the "
                "result would be the intact model's. Choose sites that the model uses on this input."
            )

    # -- tokens ----------------------------------------------------------------------------------------------------

    def tokenize(
        self, texts: Sequence[tok.Prompt], *, chat: tok.Chat = "auto", truncate: int | None = None
    ) -> list[Tokens]:
        """Each text alone, see `broca.models.tokens.tokenize`; those with pictures by the processor."""
        if self.viewer is None:
            return tok.tokenize(self.tokenizer, texts, chat=chat, truncate=truncate)
        rendered = [self.render(text, chat=chat) for text in texts]
        words = iter(tok.tokenize(self.tokenizer, [it for it in rendered if not it.images], truncate=truncate))
        # One picture after the other: what goes on from a prompt then finds it at hand.
        order = sorted((i for i, it in enumerate(rendered) if it.images), key=lambda i: rendered[i].images)
        seen = {i: self.viewer.tokenize(rendered[i], truncate=truncate) for i in order}
        return [seen[i] if it.images else next(words) for i, it in enumerate(rendered)]

    def render(self, text: tok.Prompt, *, chat: tok.Chat = "auto") -> tok.Rendered:
        """The string to tokenise, with a place for each picture."""
        if self.viewer is not None:
            return self.viewer.render(text, chat=chat)
        return tok.render(self.tokenizer, text, chat=chat)

    @cached_property
    def viewer(self) -> Viewer | None:
        """What shows pictures to the model; None where it has no processor."""
        return None if self.processor is None else Viewer(self.processor)

    @property
    def pad(self) -> int:
        """The id that fills padded positions. It is masked, so any id would do."""
        ids = (getattr(self.tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        return next((i for i in ids if i is not None), 0)

    def batches(self, tokens: Sequence[Tokens], *, size: int | None = None, side: tok.Side = "left") -> Iterator[Batch]:
        """See `broca.models.tokens.batches`."""
        return tok.batches(tokens, size or self.batch_size, self.pad, side=side, device=self.device)

    def each(
        self, tokens: Sequence[Tokens], step: Callable[[Batch], T], *, size: int | None = None, side: tok.Side = "left"
    ) -> Iterator[tuple[Batch, T]]:
        """Run `step` on every batch; when memory runs out, halve the batch, say so once, and go on.

        `step` must leave nothing behind when it raises: its result is what is kept.

        Raises:
            BrocaError: if a single text does not fit.
        """
        waiting = tok.buckets(tokens, size or self.batch_size)
        while waiting:
            rows = waiting[0]
            try:
                batch = tok.padded(tokens, rows, self.pad, side=side, device=self.device)
                result = step(batch)
            except torch.OutOfMemoryError as error:
                if len(rows) == 1:
                    raise BrocaError(
                        f"Out of memory on one text of {len(tokens[rows[0]])} tokens. Use a shorter text, a smaller "
                        "dtype, or a device_map that spreads the model."
                    ) from error
                self._shrink(len(rows) // 2)
                waiting = [part for other in waiting for part in _cut(other, len(rows) // 2)]
                continue
            del waiting[0]
            yield batch, result

    def _shrink(self, size: int) -> None:
        if size < self.batch_size:
            self._wanted = max(self._wanted, self.batch_size)
            self.notes = [n for n in self.notes if not n.startswith("Out of memory")]
            self.notes.append(f"Out of memory: batch size lowered from {self._wanted} to {size}.")
            self.batch_size = size
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # -- forward ---------------------------------------------------------------------------------------------------

    @property
    def context(self) -> int | None:
        """How many tokens the model has positions for; None where its config sets no limit."""
        config = self.model.config.get_text_config(decoder=True)
        limits = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
        return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)

    @cached_property
    def accepts(self) -> frozenset[str]:
        """The arguments that the model's forward takes."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @torch.no_grad()
    def call(self, batch: Batch, **more: Any) -> Any:
        """The model's own output for a batch, with the right mask and position ids, without a cache unless asked."""
        return self.model(**self.arguments(batch, **more))

    def arguments(self, batch: Batch, **more: Any) -> dict[str, Any]:
        """What `call` calls the model with.

        Raises:
            GuardError: if the pictures of a batch were lost on the way.
        """
        places = "position_ids" in self.accepts and self.anatomy.positions
        given = {"position_ids": batch.positions} if places else {}
        if batch.pictured:
            onward = "past_key_values" in more
            if not batch.beside and not onward:
                raise GuardError(
                    "These texts have pictures, and this step works on words alone. Leave the pictures out."
                )
            given = {**self._places(batch, onward=onward), **self.seen(batch)}
        return {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False, **given, **more}

    def seen(self, batch: Batch) -> dict[str, Tensor]:
        """The pictures of a batch as the model takes them, in its dtype; nothing where there are none."""
        return {k: v.to(self.dtype) if v.is_floating_point() else v for k, v in batch.beside.items()}

    def _places(self, batch: Batch, *, onward: bool) -> dict[str, Tensor]:
        """Positions of a batch with pictures.

        A model that counts them in rows and columns does so itself, and keeps by how much the tokens that follow lag behind.
        """
        if "position_ids" not in self.accepts or not self.anatomy.positions:
            return {}
        if self._rows_and_columns is None:
            return {"position_ids": batch.positions}
        lag = getattr(self._rows_and_columns, "rope_deltas", None)
        if not onward or lag is None:
            return {}
        return {"position_ids": batch.positions + lag.repeat_interleave(len(batch) // len(lag), 0).to(self.device)}

    @cached_property
    def _rows_and_columns(self) -> torch.nn.Module | None:
        """The module that places pictures in rows and columns (multimodal rotary positions), where there is one."""
        return next((m for m in self.model.modules() if hasattr(m, "rope_deltas")), None)

    def forward(self, batch: Batch) -> Tensor:
        """Next-token logits at every position, ``(batch, token, vocabulary)``."""
        return self.call(batch).logits

    def next_logits(self, batch: Batch) -> Tensor:
        """Logits after each text's last token, ``(batch, vocabulary)`` in float32."""
        short = {"logits_to_keep": 1} if batch.side == "left" and "logits_to_keep" in self.accepts else {}
        logits = self.call(batch, **short).logits
        where = torch.full_like(batch.last, logits.shape[1] - 1) if short else batch.last
        return logits[torch.arange(len(batch), device=logits.device), where.to(logits.device)].float()

    @torch.no_grad()
    def generate(
        self,
        texts: Sequence[tok.Prompt],
        *,
        max_new_tokens: int = 32,
        chat: tok.Chat = "auto",
        seed: int | None = None,
        **options: Any,
    ) -> list[str]:
        """Continue each text; greedy unless `do_sample=True` and a `seed` are given.

        Args:
            texts: prompts or chats.
            max_new_tokens: how many tokens at most.
            chat: see `broca.models.tokens.Chat`.
            seed: of the sampler; torch's global generator is left as it was.
            options: further arguments of transformers' `generate` (temperature, top_p, ...).

        Returns:
            the new text of each, special tokens left out.
        """
        options = {"do_sample": False, "pad_token_id": self.pad, **options}
        if not options["do_sample"]:
            options = {"temperature": None, "top_p": None, "top_k": None, **options}

        def step(batch: Batch) -> list[str]:
            made = self.model.generate(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                max_new_tokens=max_new_tokens,
                **self.seen(batch),
                **options,
            )
            return self.tokenizer.batch_decode(made[:, batch.ids.shape[1] :], skip_special_tokens=True)

        out = [""] * len(texts)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            for batch, made in self.each(self.tokenize(texts, chat=chat), step):
                for i, text in zip(batch.index, made, strict=True):
                    out[i] = text
        return out


def _cut(rows: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
