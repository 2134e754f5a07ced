"""A language model under study: the weights, the tokenizer and the proved anatomy, held together.

`LM` inherits from nothing and renames nothing: `lm.model` is the real Hugging Face model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from broca.errors import ModelError
from broca.items import fingerprint
from broca.markup import facts
from broca.models import decoding, proofs
from broca.models import tokens as tok
from broca.models.arguments import arguments
from broca.models.compilation import eager, is_compiled, strip_compilation
from broca.models.fitting import halving
from broca.models.force import Forces, Intervention, on_words
from broca.models.identity import identity, weights
from broca.models.limits import fits, pads, transformers_model, within
from broca.models.load import load, load_processor
from broca.models.passes import Pass, running
from broca.models.pictures import Viewer
from broca.models.placement import device_of
from broca.models.rendering import Prompt, TokenizerText, is_prompt
from broca.models.rendering import render as render_text
from broca.models.tokens import Batch, Tokens
from broca.models.unexplained_variance import refuse_other
from broca.models.wiring.anatomy import Anatomy
from broca.models.wiring.dissection import dissect
from broca.sites import Site
from broca.units.dictionary import Dictionary

T = TypeVar("T")


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
    forces: Forces = field(default_factory=Forces, repr=False)
    """The interventions in force."""

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
        gguf: str | None = None,
        prove_again: bool = False,
    ) -> LM:
        """Load a shipped organism, a real model by its name, a directory, a GGUF file or a hub id, and prove its wiring.

        Args:
            name: the name of a shipped organism, "smollm2", a directory, a GGUF file, or a Hugging Face hub id.
            revision: of a hub id: branch, tag or commit.
            dtype: "auto" (as stored), "float32", "bfloat16" or "float16".
            device: "auto" (a GPU where there is one), a device, or an accelerate `device_map`.
            trust_remote_code: run code that comes with the model. Off unless you say so.
            offload: folder for the parts that a `device_map` sends to "disk".
            gguf: the name of a GGUF file, where a directory or a hub id has several files. Its weights are unpacked once into the
                user's cache.
            prove_again: prove anew what this very model has passed on this machine before (`broca.models.proofs`).

        Raises:
            ModelError: if the files are missing, incomplete, corrupt or neither safetensors nor GGUF, or there is no tokenizer.
            AnatomyError: if the wiring cannot be proved.
        """
        how = {"revision": revision, "dtype": dtype, "device": device, "trust_remote_code": trust_remote_code}
        if offload is not None:
            how["offload"] = offload
        if gguf is not None:
            how["gguf"] = gguf
        notes: list[str] = []
        model, tokenizer = load(name, **how, notes=notes)
        processor, lack = load_processor(name, model, revision=revision, trust_remote_code=trust_remote_code, gguf=gguf)
        notes, tokenizer = [*notes, *lack], getattr(processor, "tokenizer", tokenizer)
        if prove_again:
            proofs.prove_again(model)
            how["prove_again"] = True
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

        A compiled model is run as it was before compilation.

        Raises:
            ModelError: if it is no transformers model.
            AnatomyError: if no `anatomy` is given and the wiring cannot be proved.
        """
        own = transformers_model(strip_compilation(model))
        notes = [_COMPILED] if own is not model or is_compiled(own) else []
        model = own.eval()
        anatomy = anatomy or dissect(model, tokenizer=tokenizer)
        return cls(model, tokenizer, anatomy, name=name or type(model).__name__, notes=notes, processor=processor)

    def __repr__(self) -> str:
        a = self.anatomy
        return (
            f"LM({self.name!r}: {a.n_layers} layers, {a.n_heads} heads, {a.d_model} wide, {self.dtype}, {self.device})"
        )

    def _repr_html_(self) -> str:
        a = self.anatomy
        return facts(
            f"{self.name} ({type(self.model).__name__})",
            {
                "parameters": f"{self.n_parameters:,}",
                "layers, heads, width": f"{a.n_layers}, {a.n_heads} ({a.n_kv_heads} key-value), {a.d_model}",
                "dtype, device": f"{self.dtype}, {self.device}".removeprefix("torch."),
                "proved": f"relative error {a.error:.0e}",
                "in force": ", ".join(type(each).__name__ for each in self.interventions),
                "notes": " ".join(self.notes),
            },
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

    @property
    def fingerprint(self) -> str:
        """Hash of the weights as they are now (16 hex digits), but for edits in force that put them back."""
        return weights(self.model)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that this model's answers depend on, as it is now, by name; see `broca.models.identity`."""
        own = {**identity(self.model, self.tokenizer, self.processor), "condition": list(self.condition)}
        held = self.anatomy.dictionaries
        return {**own, "features": [each.fingerprint for each in held]} if held else own

    @property
    def address(self) -> str:
        """Hash of the identity (16 hex digits): what stored answers of this model, as it is now, are found by."""
        return fingerprint(self.identity)

    # -- dictionaries ----------------------------------------------------------------------------------------------

    def with_features(self, *dictionaries: Dictionary, check: bool = True) -> LM:
        """The same model, held with dictionaries: their features are units of the sites ``LAYER.feature``.

        Args:
            dictionaries: one a layer at most; they take the place of those that are held. None gives the model without any.
            check: refuse a dictionary that was not trained on this very model, and explains less of plain text than its mean does.

        Raises:
            SiteUnavailable: if the model has not the site of one.
            SelectionError: if one was made for another width, site or model, or two are of the same layer.
        """
        held = replace(self, anatomy=self.anatomy.with_dictionaries(dictionaries))
        for dictionary in dictionaries if check else ():
            if dictionary.model != self.fingerprint:
                refuse_other(held, dictionary)
        return held

    # -- interventions ---------------------------------------------------------------------------------------------

    @property
    def condition(self) -> tuple[str, ...]:
        """Fingerprints of the interventions in force, outermost first: part of every result's address."""
        return tuple(force.intervention.fingerprint for force in self.forces.all)

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """What is in force, outermost first."""
        return tuple(force.intervention for force in self.forces.all)

    @contextmanager
    def under(self, *interventions: Intervention) -> Iterator[LM]:
        """Run the body with every intervention in force, applied left to right; nests; restores bit for bit.

        Raises:
            InterventionError: if one does not declare what an intervention must.
        """
        with self.forces.apply(self, interventions):
            yield self

    def assert_fired(self) -> None:
        """The *fired* guard over all passes so far; each pass is guarded by itself too.

        Raises:
            GuardError: naming the sites whose edit never ran.
        """
        self.forces.assert_fired()

    # -- tokens ----------------------------------------------------------------------------------------------------

    @overload
    def tokenize(  # pyright: ignore[reportOverlappingOverload]
        self, texts: str, *, chat: tok.Chat = "auto", truncate: int | None = None
    ) -> Tokens: ...
    @overload
    def tokenize(
        self, texts: Sequence[Prompt], *, chat: tok.Chat = "auto", truncate: int | None = None
    ) -> list[Tokens]: ...
    def tokenize(self, texts: Any, *, chat: tok.Chat = "auto", truncate: int | None = None) -> Any:
        """Each text alone, see `broca.models.tokens.tokenize`; those with pictures by the processor.

        Returns:
            the tokens of each; of one text, or the messages of one chat, its tokens alone.

        Raises:
            ModelError: if the model came without a tokenizer.
            StimulusError: as `broca.models.tokens.tokenize`.
        """
        if self.tokenizer is None:
            raise ModelError(f"{self.name} came without a tokenizer. Give it one: LM.wrap(model, tokenizer).")
        if is_prompt(texts):
            return self.tokenize([texts], chat=chat, truncate=truncate)[0]
        if self.viewer is None:
            return tok.tokenize(self.tokenizer, texts, chat=chat, truncate=truncate)
        return self.viewer.tokenize_all(self.tokenizer, texts, chat=chat, truncate=truncate)

    def pieces(self, tokens: Tokens) -> tuple[str, ...]:
        """The characters that each token stands for; of a special token that has none in the text, its name."""
        return tok.pieces(self.tokenizer, tokens)

    def render(self, text: Prompt, *, chat: tok.Chat = "auto") -> TokenizerText:
        """The string to tokenise, with a place for each picture."""
        if self.viewer is not None:
            return self.viewer.render(text, chat=chat)
        return render_text(self.tokenizer, text, chat=chat)

    @cached_property
    def viewer(self) -> Viewer | None:
        """What shows pictures to the model; None where it has no processor."""
        return None if self.processor is None else Viewer(self.processor)

    @property
    def pad(self) -> int:
        """The id that fills padded positions: the tokenizer's, or another one that the model knows. It is masked."""
        ids = (getattr(self.tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        return next((i for i in ids if i is not None and i < (self.vocabulary or i + 1)), 0)

    def batches(self, tokens: Sequence[Tokens], *, size: int | None = None, side: tok.Side = "left") -> Iterator[Batch]:
        """See `broca.models.tokens.batches`."""
        return tok.batches(tokens, size or self.batch_size, self.pad, side=side, device=self.device)

    def pad_batch(
        self, tokens: Sequence[Tokens], index: Sequence[int] | None = None, *, side: tok.Side = "left"
    ) -> Batch:
        """One batch of some texts (all, when None), which have the same `key`."""
        return tok.pad_tokens(
            tokens, range(len(tokens)) if index is None else index, self.pad, side=side, device=self.device
        )

    def each(
        self,
        tokens: Sequence[Tokens],
        step: Callable[[Batch], T],
        *,
        size: int | None = None,
        side: tok.Side = "left",
        more: int = 0,
        alike: bool = False,
    ) -> Iterator[tuple[Batch, T]]:
        """Run `step` on every batch; when memory runs out, halve the batch, say so once, and go on.

        `step` must leave nothing behind when it raises: its result is what is kept. A model that padding moves is shown texts of
        one length in each batch.

        Args:
            tokens: the texts.
            step: what is done with a batch.
            size: texts a batch; `batch_size` when None.
            side: of the padding.
            more: tokens that will be read behind each text: all but the last that is generated.
            alike: show texts of one length in each batch in any case.

        Raises:
            StimulusError: if a text does not fit the model: it is too long, or has tokens without an embedding.
            GuardError: if the model is in training mode.
            BrocaError: if a single text does not fit into memory.
        """
        fits(self, tokens, more=more)
        size = size or self.batch_size
        mixed = size > 1 and len({len(row) for row in tokens}) > 1
        batches = tok.buckets(tokens, size, alike=mixed and (alike or not pads(self, side)))

        def run(rows: tuple[int, ...]) -> tuple[Batch, T]:
            batch = self.pad_batch(tokens, rows, side=side)
            return batch, step(batch)

        def what(row: int) -> str:
            return f"one text of {len(tokens[row])} tokens ({self.name}, {self.dtype})"

        for _, done in halving(batches, run, shrink=self.shrink, what=what):
            yield done

    def shrink(self, size: int) -> None:
        """Take a smaller batch from now on, and say so once."""
        if size < self.batch_size:
            self._wanted = max(self._wanted, self.batch_size)
            self.notes = [n for n in self.notes if not n.startswith("Out of memory")]
            self.notes.append(f"Out of memory: batch size lowered from {self._wanted} to {size}.")
            self.batch_size = size

    # -- forward ---------------------------------------------------------------------------------------------------

    @property
    def context(self) -> int | None:
        """How many tokens the model has positions for; None where its config sets no limit."""
        config = self.model.config.get_text_config(decoder=True)
        limits = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
        return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)

    @property
    def vocabulary(self) -> int | None:
        """How many token ids have an embedding; None where the embedding is no table."""
        table = getattr(self.model.get_input_embeddings(), "weight", None)
        return None if table is None or table.ndim != 2 else len(table)

    @cached_property
    def accepts(self) -> frozenset[str]:
        """The arguments that the model's forward takes."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    def run(self, batch: Batch, *, past: int = 0, spared: int = 0, **more: Any) -> Any:
        """One forward pass: the model's own output for a batch, with the right mask and position ids; with a graph where asked for.

        Args:
            batch: its mask covers the columns read before, too.
            past: how many those are.
            spared: blocks below this one hand on what they handed on before.
            more: further arguments of the model.

        Raises:
            StimulusError: if the columns outrun the model's positions.
            GuardError: if an edit in force did not run in this pass, or pictures were lost on the way.
        """
        shown = Pass(batch.tokens, batch.mask, past)
        within(self, shown)
        pictured = bool(batch.beside) and not past

        def due(site: Site) -> bool:
            return (pictured or on_words(site)) and (site.layer >= spared or site.kind in ("resid_pre", "resid_post"))

        with eager(), running(shown), self.forces.count_runs(due, str(shown)):
            try:
                return self.model(**self.arguments(batch, **more))
            except IndexError:
                fits(self, batch.tokens)  # says which token has no embedding, where that is why
                raise

    @torch.no_grad()
    def call(self, batch: Batch, **more: Any) -> Any:
        """`run` without a graph, and without a cache unless asked."""
        return self.run(batch, **more)

    def arguments(self, batch: Batch, **more: Any) -> dict[str, Any]:
        """What `run` calls the model with.

        Raises:
            GuardError: if the pictures of a batch were lost on the way.
        """
        return arguments(self, batch, **more)

    @cached_property
    def rows_and_columns(self) -> torch.nn.Module | None:
        """The module that places pictures in rows and columns (multimodal rotary positions), where there is one."""
        return next((m for m in self.model.modules() if hasattr(m, "rope_deltas")), None)

    def forward(self, batch: Batch) -> Tensor:
        """Next-token logits at every position, ``(batch, token, vocabulary)``."""
        return self.call(batch).logits

    @torch.no_grad()
    def next_logits(self, batch: Batch) -> Tensor:
        """Logits after each text's last token, ``(batch, vocabulary)`` in float32."""
        return self.last_logits(batch)

    def last_logits(self, batch: Batch) -> Tensor:
        """`next_logits`, with a graph where asked for."""
        short = {"logits_to_keep": 1} if batch.side == "left" and "logits_to_keep" in self.accepts else {}
        logits = self.run(batch, **short).logits
        where = torch.full_like(batch.last, logits.shape[1] - 1) if short else batch.last
        return logits[torch.arange(len(batch), device=logits.device), where.to(logits.device)].float()

    def all_logits(self, tokens: Sequence[Tokens], *, size: int | None = None) -> Tensor:
        """`next_logits` of every text, in the order given, ``(text, vocabulary)`` on the CPU."""
        rows: dict[int, Tensor] = {}
        for batch, logits in self.each(tokens, self.next_logits, size=size):
            rows |= dict(zip(batch.index, logits.cpu(), strict=True))
        return torch.stack([rows[i] for i in range(len(tokens))])

    def logits(self, texts: Any, *, chat: tok.Chat = "auto") -> Any:
        """What comes next after each token of each text, prompts or chats.

        Returns:
            for each text ``(token, vocabulary)`` in float32 on the CPU; of one text, or the messages of one chat, that alone.
        """
        if is_prompt(texts):
            return self.logits([texts], chat=chat)[0]
        tokens: list[Tokens] = self.tokenize(texts, chat=chat)
        found: dict[int, Tensor] = {}
        for batch, values in self.each(tokens, lambda batch: self.forward(batch).float().cpu(), side="right"):
            found |= {i: row[: len(tokens[i])] for i, row in zip(batch.index, values, strict=True)}
        return [found[i] for i in range(len(tokens))]

    @overload
    def generate(  # pyright: ignore[reportOverlappingOverload]
        self,
        texts: str,
        *,
        max_new_tokens: int = 32,
        chat: tok.Chat = "auto",
        seed: int | None = None,
        **options: Any,
    ) -> str: ...
    @overload
    def generate(
        self,
        texts: Sequence[Prompt],
        *,
        max_new_tokens: int = 32,
        chat: tok.Chat = "auto",
        seed: int | None = None,
        **options: Any,
    ) -> list[str]: ...
    @torch.no_grad()
    def generate(
        self,
        texts: Any,
        *,
        max_new_tokens: int = 32,
        chat: tok.Chat = "auto",
        seed: int | None = None,
        **options: Any,
    ) -> Any:
        """Continue each text; greedy unless `do_sample=True` and a `seed` are given.

        Of the model's `generation_config` the ids of special tokens count, and nothing else: see `broca.models.decoding`.

        Args:
            texts: prompts or chats.
            max_new_tokens: how many tokens at most.
            chat: see `broca.models.tokens.Chat`.
            seed: of the sampler; torch's global generator is left as it was.
            options: further arguments of transformers' `generate` (temperature, top_p, ...).

        Returns:
            the new text of each, special tokens left out; of one text, or the messages of one chat, that alone.

        Raises:
            StimulusError: if an option cannot be had, or a prompt leaves no room for what is asked for.
            UnknownName: if transformers has no such option.
            ModelError: if transformers cannot generate with this model.
        """
        if is_prompt(texts):
            return self.generate([texts], max_new_tokens=max_new_tokens, chat=chat, seed=seed, **options)[0]
        return decoding.generate(
            self, self.tokenize(texts, chat=chat), max_new_tokens=max_new_tokens, seed=seed, **options
        )


_COMPILED = "This model was compiled: it is run without its graphs, which would not see what is put in force or looked at later."
