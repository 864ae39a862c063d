"""Loads a model's tokenizer."""

from data_gen.prompts import Tokenizer
from data_gen.remote_code import remote_code, with_remedy
from data_gen.types import DataError


def load_tokenizer(model: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a folder or hub name. Raises DataError where there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(
            model, revision=revision, trust_remote_code=remote_code()
        )
    # A folder from anywhere makes the library fail in any way.
    except Exception as error:
        first = with_remedy((str(error).strip() or type(error).__name__).splitlines()[0])
        raise DataError(f"no tokenizer can be loaded from model {model!r}: {first}") from error
    return tokenizer
