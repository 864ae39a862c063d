"""What a data set was made from and with."""

from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from data_gen.cards.counts import CardPart

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class ProblemSet(CardPart):
    """A hash of some problems in their order, with their solutions."""

    count: int
    sha256: Sha256


class Decontaminated(CardPart):
    """The benchmarks that training problems share no `ngram` words in a row with."""

    ngram: int
    benchmarks: dict[str, ProblemSet]


class Audited(CardPart):
    """The share of the rollouts that another verifier judged as well, and what it depends on."""

    share: float
    verifier: dict[str, str]


class ModelAndPrompt(CardPart):
    """The model whose tokens completions are made of, and the prompt that they answer.

    `prompt_as_sent` is the rendered prompt with the place of the problem in it.
    """

    model: str
    revision: str | None
    remote_code: bool = Field(default=False, exclude_if=lambda value: not value)
    model_sha256: Sha256
    tokenizer_sha256: Sha256
    prompt: str
    prompt_as_sent: str
    prompt_sha256: Sha256
    versions: dict[str, str]


class ImportedFrom(CardPart):
    """Rollouts that were made elsewhere.

    `without_end_token` counts completions that ended by themselves and whose ids lack the token
    that ends them; `made` is what the about.json of a run's rollouts says.
    """

    without_end_token: int
    name: str
    sha256: Sha256
    made: JsonValue = Field(default=None, exclude_if=lambda value: value is None)
