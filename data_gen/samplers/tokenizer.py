"""Loads a model's tokenizer."""

from data_gen.model_ref import ModelRef
from data_gen.prompts import Tokenizer
from data_gen.remote_code import with_remedy
from data_gen.types import DataError


def load_tokenizer(model: ModelRef) -> Tokenizer:
    """The tokenizer of a model. Raises DataError where there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=model.trust_code
        )
    # A folder from anywhere makes the library fail in any way.
    except Exception as error:
        first = with_remedy((str(error).strip() or type(error).__name__).splitlines()[0])
        raise DataError(f"no tokenizer can be loaded from model {model.path!r}: {first}") from error
    return tokenizer
