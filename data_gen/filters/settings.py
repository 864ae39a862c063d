"""Settings of the filters between sampled rollouts and the data set that methods learn from."""

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from data_gen.problems.sources import ProblemSource, named_sources

Share = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decontamination(_Frozen):
    """Drops problems that share words with a benchmark's problems."""

    ngram: int = Field(
        default=13,
        ge=2,
        description="words in a row that no problem may share with a benchmark's (8 and 13 are"
        " usual); a shorter problem is dropped only if a benchmark has the very same",
    )
    benchmarks: Annotated[dict[str, ProblemSource], BeforeValidator(named_sources)] = Field(
        default={}, description="sets to stay clear of, besides the benchmarks of the experiment"
    )


class NearDuplicates(_Frozen):
    """Texts count as duplicates from a Jaccard similarity of their word n-grams on."""

    similarity: float = Field(default=0.8, gt=0, le=1, description="shared share of their n-grams")
    ngram: int = Field(default=5, ge=1, description="words and signs in a row")


class Repetition(_Frozen):
    """Drops completions that go round in circles."""

    ngram: int = Field(default=16, ge=1, description="tokens in a row")
    max_share: Share = Field(
        default=0.3, description="share of the completion's n-grams that stood in it before"
    )


_OF_PROBLEMS = ("decontaminate", "near_duplicate_problems", "pass_rate", "seed")


class Filters(_Frozen):
    """What is kept of the rollouts; applied in this order, each counted. None, or false: off.

    Filters of problems see all rollouts of a problem, so a pass rate is one of what was sampled.
    """

    decontaminate: Decontamination | None = None
    near_duplicate_problems: NearDuplicates | None = Field(
        default=None, description="of problems alike, the first is kept"
    )
    pass_rate: tuple[Share, Share] | None = Field(
        default=None,
        description="lowest and highest share of a problem's rollouts with at least"
        " selection.min_reward, ends included",
    )
    truncated: bool = Field(default=False, description="drops completions cut off at the limit")
    min_tokens: int | None = Field(default=None, ge=1, description="shortest completion")
    max_tokens: int | None = Field(default=None, ge=1, description="longest completion")
    repetition: Repetition | None = None
    duplicates: bool = Field(
        default=False, description="of identical completions of a problem, the first is kept"
    )
    near_duplicates: NearDuplicates | None = Field(
        default=None,
        description="of completions of a problem that are alike and have the same verdict, the"
        " first is kept",
    )
    max_accepted_per_problem: int | None = Field(
        default=None, ge=1, description="accepted rollouts of a problem, drawn by `seed`"
    )
    max_accepted: int | None = Field(
        default=None,
        ge=1,
        description="accepted rollouts in all, taken as evenly from the problems as can be",
    )
    seed: int = Field(default=0, ge=0, description="of what is drawn by chance")

    @property
    def of_completions(self) -> tuple[str, ...]:
        """Names of those that are on and may leave another share of right ones than was drawn."""
        given = self.model_dump(exclude_defaults=True)
        return tuple(name for name in given if name not in _OF_PROBLEMS)

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        if self.pass_rate is not None and self.pass_rate[0] > self.pass_rate[1]:
            raise ValueError("pass_rate: the lower end comes first")
        if (self.min_tokens or 1) > (self.max_tokens or self.min_tokens or 1):
            raise ValueError("min_tokens is larger than max_tokens")
        return self
