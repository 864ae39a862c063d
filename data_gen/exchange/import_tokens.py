"""Token ids of completions that were made elsewhere: theirs where given, made from text else."""

import unicodedata
from array import array
from collections.abc import Sequence

from data_gen.exchange.import_rows import ImportedRow
from data_gen.prompts import Tokenizer, encode, render
from data_gen.types import Completion, DataError, FinishReason, Problem


class Prompts:
    """The prompts of problems, by a tokenizer and a style; that of the last problem is kept."""

    def __init__(self, tokenizer: Tokenizer, style: str) -> None:
        self.tokenizer = tokenizer
        self._style = style
        self._last: tuple[Problem, Sequence[int] | None] | None = None
        self._made: tuple[str, Sequence[int]] = ("", ())

    def of(self, one: ImportedRow) -> tuple[str, Sequence[int]]:
        """Text and ids of a completion's prompt: the ids of the file, else made from the problem.

        Raises DataError for ids that do not hold the problem in this tokenizer.
        """
        if self._last != (one.problem, one.prompt_tokens):
            self._last = (one.problem, one.prompt_tokens)
            self._made = self._prompt(one)
        return self._made

    def _prompt(self, one: ImportedRow) -> tuple[str, Sequence[int]]:
        if one.prompt_tokens is None:
            text = render(one.problem, self._style, self.tokenizer)
            # Made here, since completions of a problem then share one array.
            return text, array("i", encode(one.problem, self._style, self.tokenizer))
        text = _decoded(one.prompt_tokens, self.tokenizer, skip_special_tokens=False) or ""
        if _signs(one.problem.prompt) not in _signs(text):
            raise DataError(
                f"{one.place}: the prompt's token ids do not hold the problem in this model's"
                " tokenizer: they are another model's, leave them out"
            )
        return text, one.prompt_tokens


def completion_of(one: ImportedRow, sample: int, prompts: Prompts) -> Completion:
    """The completion with its ids. Raises DataError for ids that do not read as the text."""
    tokenizer = prompts.tokenizer
    prompt, prompt_tokens = prompts.of(one)
    text, reason, tokens = one.text, one.finish_reason, one.tokens
    if tokens is None:
        reason = reason or "stop"
        tokens = tokenizer.encode(text, add_special_tokens=False)
        if reason == "stop" and tokenizer.eos_token_id is not None:
            tokens = [*tokens, tokenizer.eos_token_id]
    else:
        reason = reason or _ended(tokens, tokenizer)
        read = read_as(text, tokens, tokenizer)
        if read is None:
            raise DataError(
                f"{one.place}: the token ids do not read as the completion in this model's"
                " tokenizer: they are another model's, leave them out"
            )
        text = read
    return Completion(
        problem_id=one.problem.id,
        sample=sample,
        seed=0,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        text=text,
        tokens=tokens,
        logps=one.logps,
        finish_reason=reason,
    )


def lacks_end(completion: Completion, tokenizer: Tokenizer) -> bool:
    """Whether the ids of a completion that ended by itself are without the token that ended it.

    Such ids do not teach to stop. What a stop string has ended has none, and its text is shorter.
    """
    tokens = completion.tokens
    if completion.finish_reason != "stop" or not len(tokens) or _ended(tokens, tokenizer) == "stop":
        return False
    whole = _decoded(tokens, tokenizer, skip_special_tokens=True)
    # Some tokenizers leave out a first space.
    return whole is not None and completion.text.lstrip() == whole.lstrip()


def read_as(text: str, tokens: Sequence[int], tokenizer: Tokenizer) -> str | None:
    """`text` without special tokens, if the ids read as it in this tokenizer; None if not.

    The text of a completion that a stop string ended is shorter than its tokens, and some
    tokenizers leave out a first space.
    """
    plain = _decoded(tokens, tokenizer, skip_special_tokens=True)
    if plain is None or not _has(tokenizer, max(tokens, default=None)):
        return None
    if plain.lstrip().startswith(text.lstrip()):
        return text
    whole = _decoded(tokens, tokenizer, skip_special_tokens=False)
    return plain if whole == text else None


def _has(tokenizer: Tokenizer, token: int | None) -> bool:
    # Ids beyond the vocabulary are left out of a text. Twice, since a first space may be as well.
    return token is None or bool(_decoded([token, token], tokenizer, skip_special_tokens=False))


def _ended(tokens: Sequence[int], tokenizer: Tokenizer) -> FinishReason:
    ended = len(tokens) and not _decoded(tokens[-1:], tokenizer, skip_special_tokens=True)
    return "stop" if ended else "length"


def _decoded(
    tokens: Sequence[int], tokenizer: Tokenizer, *, skip_special_tokens: bool
) -> str | None:
    """None for ids that the tokenizer does not have."""
    try:
        return tokenizer.decode(list(tokens), skip_special_tokens=skip_special_tokens)
    except (IndexError, OverflowError, ValueError):
        return None


def _signs(text: str) -> str:
    """What of a text no tokenizer's own spacing or normal form changes."""
    return "".join(unicodedata.normalize("NFKC", text).split())
