"""An LM as lm-eval sees models: three methods, each answered under whatever is in force when it is called.

Imported only where lm-eval is installed. Prompts, tokens, windows and stop words are lm-eval's; forward passes, batches
and their guards are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from broca.errors import StimulusError
from broca.models.continuation import logprobs
from broca.models.lm import LM
from broca.models.questions import Question
from broca.models.rendering import Frame
from broca.models.templates import chat_text
from broca.models.tokens import Tokens
from broca.scoring.answer_store import AnswerStore

_LENGTH = 2048
"""Positions of a model whose config sets no limit; lm-eval's own default."""
_OPTIONS = 16
"""Continuations of one context that share a reading of it, at most."""
_TOKENS = 4096
"""Tokens a batch of long texts: the logits of more would outgrow the model."""
_CHUNK = 256
"""Requests that are answered before the answers are put on record."""

_SEED = 1234
"""Of sampled texts: lm-eval's own default for torch; one more each time, so that repeats of a request differ."""

Encoded = tuple[tuple[str, str] | None, list[int], list[int]]
"""The texts of a request, the tokens of its context, and those of its continuation."""


class Harness(TemplateLM):
    """Answers lm-eval's requests with an LM.

    Args:
        lm: The model; what is in force when a request comes is part of the address of its answer.
        cache: A file in which answers are kept and found again; none by default.
        max_length: Positions to use at most; what the model has by default.
        thinking: Whether the chat template has the model think; None leaves it to the template.
    """

    def __init__(
        self, lm: LM, *, cache: str | Path | None = None, max_length: int | None = None, thinking: bool | None = None
    ) -> None:
        super().__init__()
        self._thinking = thinking
        self.lm, self.tokenizer = lm, lm.tokenizer
        self.max_length = max_length or lm.context or _LENGTH
        self.max_gen_toks = 256
        self.batch_size = lm.batch_size
        self.cut = 0
        """Requests that were too long and lost their beginning, as lm-eval has it."""
        self._answered = AnswerStore(cache) if cache else None
        self._sampled = 0

    @property
    def eot_token_id(self) -> int | None:  # type: ignore[override] - a tokenizer may have none
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What stands in front of a text of which the first token is priced too.

        Raises:
            StimulusError: if the tokenizer has nothing for it.
        """
        ids = (*Frame.of(self.tokenizer).front[-1:], self.tokenizer.bos_token_id, self.eot_token_id)
        found = next((i for i in ids if i is not None), None)
        if found is None:
            raise StimulusError(
                "This tokenizer has neither BOS nor EOS, so nothing can stand before the first token of a text that is to be priced. "
                "Set tokenizer.bos_token or tokenizer.eos_token to a token that the model knows, or ask tasks with a context."
            )
        return found

    @property
    def tokenizer_name(self) -> str:
        return str(getattr(self.tokenizer, "name_or_path", "") or self.lm.name).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: FBT001
        """Tokens as the model is shown them everywhere else: one BOS where the tokenizer has one, and no EOS."""
        if add_special_tokens is False:
            return list(self.tokenizer(string, add_special_tokens=False)["input_ids"])
        return list(self.lm.tokenize([string])[0].ids)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: FBT001, FBT002 - lm-eval's signature
        how: dict[str, Any] = {
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": not add_generation_prompt,
        }
        return chat_text(self.tokenizer, chat_history, thinking=self._thinking, **how)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:  # noqa: FBT001, FBT002
        """The log-probability in nats of each continuation of a context, and whether it is the greedy one."""
        answer = super().loglikelihood
        found = self._answer_cached("loglikelihood", requests, lambda own: answer(own, disable_tqdm=disable_tqdm))
        return [(float(logprob), bool(greedy)) for logprob, greedy in found]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:  # noqa: ARG002, FBT001, FBT002
        """The log-probability in nats of each text, in windows where it is longer than the model."""
        return self._answer_cached("loglikelihood_rolling", requests, self._rolling)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:  # noqa: ARG002, FBT001, FBT002
        """What the model writes after each context, up to a stop word."""
        return self._answer_cached("generate_until", requests, self._generate)

    def _answer_cached(
        self, method: str, requests: Sequence[Any], answer: Callable[[list[Any]], Sequence[Any]]
    ) -> list[Any]:
        if self._answered is None:
            return list(answer(list(requests))) if requests else []
        about = (self.lm.address, self.max_length, method)
        return self._answered(about, requests, answer, chunk=_CHUNK)

    def _loglikelihood_tokens(self, requests: Sequence[Encoded], **_: Any) -> list[tuple[float, bool]]:
        fitted = [self._truncate(request) for request in requests]
        groups: list[list[int]] = []
        for i, (context, _ids) in enumerate(fitted):
            last = groups[-1] if groups else []
            if last and len(last) < _OPTIONS and fitted[last[0]][0] == context:
                last.append(i)
            else:
                groups.append([i])
        questions = [
            Question(Tokens(fitted[own[0]][0], _request_text(requests[own[0]])), tuple(fitted[i][1] for i in own))
            for own in groups
        ]
        longest = max((len(q.shared) + q.longest for q in questions), default=1)
        size = max(1, min(self.lm.batch_size, _TOKENS // longest))
        found = logprobs(self.lm, questions, size=size)
        return [(logprob, greedy) for one in found for logprob, greedy in zip(one.logprobs, one.greedy, strict=True)]

    def _truncate(self, request: Encoded) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Context and continuation, the context cut from the left where both are too long; the last token is never fed."""
        _, context, continuation = request
        if not context or not continuation or len(continuation) > self.max_length:
            raise StimulusError(
                f"{_request_text(request)[:60]!r}: {len(context)} tokens of context and {len(continuation)} to be predicted. There must "
                f"be one of each at least, and no more than the model's {self.max_length} positions."
            )
        room = self.max_length + 1 - len(continuation)
        self.cut += len(context) > room
        return tuple(context[-room:]), tuple(continuation)

    def _rolling(self, requests: list[Any]) -> list[float]:
        windows: list[Encoded] = []
        counts: list[int] = []
        for request in requests:
            (text,) = request.args
            whole = self.lm.tokenize([text])[0]
            own = get_rolling_token_windows(
                # What the tokenizer puts in front is context already: priced after itself it would count for nothing known.
                token_list=list(whole.ids[whole.prefix :]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            before = len(windows)
            windows += [(None, *make_disjoint_window(window)) for window in own]
            counts.append(len(windows) - before)
        values = iter(logprob for logprob, _ in self._loglikelihood_tokens(windows))
        return [sum(next(values) for _ in range(n)) for n in counts]

    def _generate(self, requests: list[Any]) -> list[str]:
        alike: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            alike.setdefault(repr(request.args[1]), []).append(i)
        out = [""] * len(requests)
        for own in alike.values():
            for i, text in zip(own, self._continue([requests[i].args for i in own]), strict=True):
                out[i] = text
        return out

    def _continue(self, asked: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        """What follows contexts that are to be continued in one and the same way."""
        how: dict[str, Any] = dict(normalize_gen_kwargs(asked[0][1], self.max_gen_toks))
        eos = None if self.eot_token_id is None else self.tokenizer.decode([self.eot_token_id])
        until = handle_stop_sequences(how.pop("until", None), eos=eos)
        n = how.pop("max_gen_toks")
        if not how.get("do_sample"):
            how = {name: value for name, value in how.items() if name not in {"temperature", "top_p", "top_k"}}
        contexts = [self._room(context, self.max_length - n) for context, _ in asked]
        stops = [stop for stop in until if stop]
        if how.get("do_sample"):
            how["seed"] = _SEED + self._sampled
            self._sampled += 1
        if stops:
            how |= {"stop_strings": stops, "tokenizer": self.tokenizer}
        texts = self.lm.generate(contexts, max_new_tokens=n, **how)
        self.lm.assert_fired()
        return [postprocess_generated_text(text, until, None) for text in texts]

    def _room(self, context: str, room: int) -> str:
        tokens = self.lm.tokenize([context])[0]
        if len(tokens) <= room:
            return context
        if room <= tokens.prefix or tokens.offsets is None:
            raise StimulusError(
                f"{context[:60]!r} has {len(tokens)} tokens, and the answer leaves room for {room} of the model's "
                f"{self.max_length}. Ask for fewer new tokens (max_gen_toks), or for fewer examples."
            )
        self.cut += 1
        return context[tokens.offsets[tokens.prefix - room][0] :]


def _request_text(request: Encoded) -> str:
    texts = request[0]
    return " ".join(texts) if texts else f"a window of {len(request[2])} tokens"
