"""Where the options of a question part from its prompt, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broca.errors import StimulusError
from broca.models.lm import LM
from broca.models.rendering import Prompt, TokenizerText
from broca.models.tokens import Chat, Tokens


@dataclass(frozen=True, slots=True)
class Question:
    """Tokens that a prompt and all its options share, and for each option the tokens that follow them."""

    shared: Tokens
    options: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        return max(map(len, self.options))


def lengths(questions: Sequence[Question]) -> list[list[int]]:
    """Tokens of each question's prompt, and of its options."""
    return [[len(each.shared), *map(len, each.options)] for each in questions]


def split(
    lm: LM,
    prompts: Sequence[Prompt],
    options: Sequence[Sequence[str]],
    *,
    chat: Chat = "auto",
    names: Sequence[str] | None = None,
) -> list[Question]:
    """Tokenise every prompt with each of its options as one string, and cut where the options part from the prompt.

    A tokenizer may merge the end of a prompt with the start of an option (``the`` + ``re``), so the cut is the longest
    common prefix of the prompt's tokens and those of all its whole strings: every option is priced after the same
    tokens, by tokens that the model would really be shown. A prompt's tail that is spelt differently with some option
    counts as part of every option.

    Raises:
        StimulusError: if an option adds no token, nothing is shared, or the tokens do not fit the model's context.
    """
    rendered = [lm.render(prompt, chat=chat) for prompt in prompts]
    whole = [
        TokenizerText(it.text + option, it.templated, it.images)
        for it, own in zip(rendered, options, strict=True)
        for option in own
    ]
    encoded = lm.tokenize([*rendered, *whole])
    spelt, at = encoded[len(rendered) :], 0
    questions = []
    for i, own in enumerate(options):
        name = names[i] if names is not None else f"prompt {i}"
        questions.append(_cut(name, encoded[i], own, spelt[at : at + len(own)]))
        at += len(own)
        _fits(lm, name, questions[-1])
    return questions


def _cut(name: str, prompt: Tokens, options: Sequence[str], whole: Sequence[Tokens]) -> Question:
    shared = len(prompt)
    for tokens in whole:
        shared = min(shared, common_prefix(prompt.ids[:shared], tokens.ids))
    empty = [option for option, tokens in zip(options, whole, strict=True) if len(tokens) <= shared]
    if empty or not whole:
        raise StimulusError(
            f"{name}: these options tokenise to nothing after the prompt: {empty}. Give each option characters that the "
            "tokenizer keeps."
        )
    alike = [option for i, option in enumerate(options) if any(whole[i].ids == other.ids for other in whole[:i])]
    if alike:
        raise StimulusError(
            f"{name}: the tokenizer writes these options with the same tokens as another one: {alike}. The model cannot tell them "
            "apart, so the item would be answered by their order. Use other options (of letters, the texts: options='text'), or another "
            "tokenizer."
        )
    if not shared:
        raise StimulusError(
            f"{name}: the prompt {prompt.text[:60]!r} shares no token with the prompt and its options, so nothing is "
            "left to condition on. Use a longer prompt, or a tokenizer with a BOS."
        )
    offsets = prompt.offsets[:shared] if prompt.offsets is not None else None
    if prompt.pictures and prompt.pictures[-1] >= shared:
        raise StimulusError(
            f"{name}: the prompt {prompt.text[:60]!r} ends in its pictures, and the tokenizer merges them with an option. Add "
            "words behind the pictures."
        )
    prefix = min(prompt.prefix, shared - 1)
    start = Tokens(prompt.ids[:shared], prompt.text, offsets, prefix, prompt.pictures, prompt.view)
    return Question(start, tuple(tokens.ids[shared:] for tokens in whole))


def common_prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """The length of the longest common prefix."""
    if b[: len(a)] == a:
        return len(a)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _fits(lm: LM, name: str, question: Question) -> None:
    # The last token of an option is never fed.
    needed = len(question.shared) + question.longest - 1
    if lm.context is not None and needed > lm.context:
        raise StimulusError(
            f"{name}: prompt and longest option need {needed} tokens, the model has positions for {lm.context}. "
            "Shorten the prompt; nothing is truncated silently."
        )
