"""How a problem becomes the tokens that a model continues."""

from collections.abc import Sequence
from typing import Any, Protocol

from data_gen.types import DataError, Problem

PLACEHOLDER = "{problem}"

_BOXED = "Please reason step by step, and put your final answer within \\boxed{}."

# The messages of a chat, as (role, content with the problem's place).
CHAT_STYLES: dict[str, tuple[tuple[str, str], ...]] = {
    "chat": (("user", PLACEHOLDER),),
    # The prompt of the Qwen2.5-Math evaluations and of arXiv 2508.05629.
    "qwen-boxed": (
        ("system", "You are a helpful assistant."),
        ("user", f"{PLACEHOLDER}\n{_BOXED}"),
    ),
}
STYLES = ("raw", *CHAT_STYLES)


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: Any
    eos_token_id: int | None

    def get_vocab(self) -> dict[str, int]: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str: ...

    def apply_chat_template(
        self,
        conversation: Sequence[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
    ) -> Any: ...


def check_style(style: str) -> str:
    """Returns `style` if it is a name of STYLES or a template; raises DataError else."""
    if style in STYLES or PLACEHOLDER in style:
        return style
    raise DataError(
        f"prompt {style!r} is neither one of {', '.join(STYLES)} nor a template with {PLACEHOLDER}"
    )


def render(problem: Problem, style: str, tokenizer: Tokenizer) -> str:
    """The prompt's text, with the marks of the model's chat template where the style is a chat.

    Raises DataError for an unknown style, or a chat that the model has no template for.
    """
    check_style(style)
    if style not in STYLES:
        return style.replace(PLACEHOLDER, problem.prompt)
    if style == "raw":
        return problem.prompt
    if not tokenizer.chat_template:
        raise DataError(
            f"prompt {style!r} needs a chat template and the model's tokenizer has none:"
            f" use raw, or a template with {PLACEHOLDER}"
        )
    messages = [
        {"role": role, "content": content.replace(PLACEHOLDER, problem.prompt)}
        for role, content in CHAT_STYLES[style]
    ]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # A template is a program of the model's, in a sandbox that lets it fail in any way.
    except Exception as error:
        raise DataError(f"prompt {style!r}: the model's chat template says {error}") from error
    return str(text)


def encode(problem: Problem, style: str, tokenizer: Tokenizer) -> list[int]:
    """The prompt's token ids. A chat template writes its own special tokens."""
    text = render(problem, style, tokenizer)
    return tokenizer.encode(text, add_special_tokens=style not in CHAT_STYLES)
