"""The records that travel from problem to verified rollout, and the protocols that make them."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

FinishReason = Literal["stop", "length"]
Label = Literal["correct", "wrong", "unverifiable"]


class DataError(ValueError):
    """Input that cannot be used; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its gold answer.

    `prompt` is the question as posed, before any chat template or instruction is put around it.
    `solution` is a worked gold solution, empty where the source has none.
    """

    id: str
    prompt: str
    answer: str
    solution: str = ""


class Sampling(BaseModel):
    """How completions are drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(default=8, ge=1, description="completions drawn for each problem")
    temperature: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="0: greedy decoding, of one sample"
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="share of the probability that is sampled from"
    )
    max_tokens: int = Field(default=512, ge=1, description="longest completion, in tokens")
    stop: tuple[str, ...] = Field(default=(), description="strings that end a completion")
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="every sample's own is made of it and the problem"
    )

    @model_validator(mode="after")
    def _greedy_is_drawn_once(self) -> "Sampling":
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"greedy decoding (temperature 0) gives the same completion {self.samples} times:"
                " set samples to 1"
            )
        return self


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer to one problem, not scored yet.

    `tokens` are the sampled ids (with the end-of-sequence token when `finish_reason` is "stop" by
    it); `logps` are the sampler's raw log-probabilities of those tokens, in nats, before
    temperature and top-p. Empty `logps` mean that they are unknown: the text was made elsewhere.
    Any sequences may be given; they are kept as 32-bit arrays, since a data set of long rollouts
    would take tens of gigabytes as Python numbers. Arrays compare by value and have no hash.
    `sample` is the index j among the problem's samples and `seed` the seed of exactly this sample.
    """

    problem_id: str
    sample: int
    seed: int
    prompt: str
    prompt_tokens: Sequence[int]
    text: str
    tokens: Sequence[int]
    logps: Sequence[float]
    finish_reason: FinishReason

    def __post_init__(self) -> None:
        """Raises ValueError for ids of more than 31 bits, or log-probabilities of other tokens."""
        for name, code in (("prompt_tokens", "i"), ("tokens", "i"), ("logps", "f")):
            given = getattr(self, name)
            if isinstance(given, array) and given.typecode == code:
                continue
            try:
                object.__setattr__(self, name, array(code, given))
            except (OverflowError, TypeError) as error:
                raise ValueError(
                    f"{self.problem_id} sample {self.sample}: {name} are no 32-bit numbers"
                ) from error
        if self.logps and len(self.tokens) != len(self.logps):
            raise ValueError(
                f"{self.problem_id} sample {self.sample}: {len(self.tokens)} tokens"
                f" but {len(self.logps)} log-probabilities"
            )

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one completion.

    `answer` is the final answer found in the completion, empty if none was found. `reason` says
    why the label is not "correct" ("different", "no boxed answer", "time-out", ...).
    """

    label: Label
    reward: float
    reason: str = ""
    answer: str = ""

    @classmethod
    def correct(cls, answer: str) -> "Verdict":
        return cls("correct", 1.0, "", answer)

    @classmethod
    def wrong(cls, reason: str, answer: str = "") -> "Verdict":
        return cls("wrong", 0.0, reason, answer)

    @classmethod
    def unverifiable(cls, reason: str, answer: str = "") -> "Verdict":
        return cls("unverifiable", 0.0, reason, answer)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion of a problem together with its verdict."""

    problem: Problem
    completion: Completion
    verdict: Verdict

    @property
    def reward(self) -> float:
        return self.verdict.reward


class Sampler(Protocol):
    """Draws `sampling.samples` completions for every problem, in the order of the problems.

    What is drawn for a problem depends on the model, `sampling` and the problem alone, never on
    which other problems are in the call.
    """

    def __call__(self, problems: Sequence[Problem], sampling: Sampling) -> list[Completion]: ...


class Verifier(Protocol):
    """Judges (gold answer, completion text) pairs, one verdict a pair, in the order given."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]: ...
