"""On what, and how, policies are evaluated: a part of an experiment's settings."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from data_gen.problems.sources import ProblemSource, named_sources
from data_gen.prompts import check_style
from data_gen.types import Sampling
from offline_rl.settings.base import AnySampler, AnyVerifier, Frozen, Label

BASE = "base"
"""The label of the untrained base."""


class Decoding(Frozen):
    """Another way of decoding policies, to tell learning from mere sharpening."""

    temperature: float = Field(ge=0, allow_inf_nan=False, description="0: greedy decoding")
    samples: int | None = Field(
        default=None, ge=1, description="None: one if greedy, else as evaluation.sampling"
    )
    of: Literal["base", "all"] = Field(
        default="base", description="decoded so: the untrained base, or every policy"
    )

    @model_validator(mode="after")
    def _greedy_is_drawn_once(self) -> "Decoding":
        if self.temperature == 0 and (self.samples or 1) > 1:
            raise ValueError("greedy decoding gives the same sample again: set samples to 1")
        return self

    def change(self, plain: Sampling) -> Sampling:
        """`plain` at this decoding's temperature."""
        samples = self.samples or (plain.samples if self.temperature else 1)
        changed = plain.model_dump() | {"temperature": self.temperature, "samples": samples}
        return Sampling.model_validate(changed)


class BenchmarkSettings(ProblemSource):
    """A problem set to be measured on. What is left out is as for the other benchmarks."""

    prompt: str | None = Field(default=None, description="None: as the experiment's")
    verifier: AnyVerifier | None = Field(default=None, description="None: as the experiment's")
    sampling: Sampling | None = Field(
        default=None, description="what differs from evaluation.sampling here, such as samples"
    )

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str | None) -> str | None:
        return None if value is None else check_style(value)


def _benchmarks(value: Any) -> Any:
    """`problems: FILE` names the source of a benchmark as well as `source: FILE` does."""
    if not isinstance(value, Mapping):
        return value
    spelled = {
        name: {"source": given["problems"], **{k: v for k, v in given.items() if k != "problems"}}
        if isinstance(given, Mapping) and isinstance(given.get("problems"), str)
        else given
        for name, given in value.items()
    }
    return named_sources(spelled)


Benchmarks = Annotated[dict[Label, BenchmarkSettings], BeforeValidator(_benchmarks)]


class EvaluationSettings(Frozen):
    """On what, and how, every policy is evaluated."""

    sampling: Sampling = Field(
        default=Sampling(samples=16, max_tokens=4096), description="of every policy"
    )
    sampler: AnySampler | None = Field(
        default=None, description="None: as the experiment's; a server cannot load what was trained"
    )
    benchmarks: Benchmarks = Field(min_length=1)
    reference: Label | None = Field(
        default=None,
        description="the method that the others are compared with, besides the base; None: rft, or"
        " the first where there is none of that name",
    )
    decodings: dict[Label, Decoding] = Field(
        default={"t0.5": Decoding(temperature=0.5), "greedy": Decoding(temperature=0)},
        description="further rows, labelled POLICY-NAME; those of the base show what sharpening"
        " alone gives",
    )

    @model_validator(mode="before")
    @classmethod
    def _sampling_of_benchmarks(cls, value: Any) -> Any:
        """A benchmark's own sampling is filled up with what all have in common."""
        if not isinstance(value, Mapping) or not isinstance(value.get("benchmarks"), Mapping):
            return value
        common = value.get("sampling", cls.model_fields["sampling"].default)
        common = common.model_dump() if isinstance(common, Sampling) else common
        if not isinstance(common, Mapping):
            return value
        benchmarks = {
            name: {**given, "sampling": {**common, **given["sampling"]}}
            if isinstance(given, Mapping) and isinstance(given.get("sampling"), Mapping)
            else given
            for name, given in value["benchmarks"].items()
        }
        return {**value, "benchmarks": benchmarks}

    @field_validator("benchmarks")
    @classmethod
    def _macro_is_taken(cls, value: Any) -> Any:
        if "macro" in value:
            raise ValueError("macro: this name is taken by the average")
        return value

    def decoded(self, policy: str, benchmark: str) -> dict[str, Sampling]:
        """How a policy is decoded on a benchmark, by label; the plain way first."""
        plain = self.benchmarks[benchmark].sampling or self.sampling
        return {policy: plain} | {
            f"{policy}-{name}": decoding.change(plain)
            for name, decoding in self.decodings.items()
            if policy == BASE or decoding.of == "all"
        }

    def labels(self, policy: str) -> list[str]:
        """The labels of a policy and its decodings."""
        return list(self.decoded(policy, next(iter(self.benchmarks))))
