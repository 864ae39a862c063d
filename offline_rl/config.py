"""An experiment as a value: what a settings file says, checked whole."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from data_gen.problems import ProblemSource, named_sources
from data_gen.samplers import SamplerSettings
from data_gen.samplers.server_settings import ServerSettings
from data_gen.types import Sampling
from offline_rl.data_settings import AnySampler, DataSettings, Frozen, Label
from offline_rl.methods import METHODS, AnyMethod
from offline_rl.sweep import Sweep, variants
from offline_rl.training_settings import TrainingSettings


class Decoding(Frozen):
    """Another way of decoding the untrained base, to tell learning from mere sharpening."""

    temperature: float = Field(ge=0, allow_inf_nan=False)
    samples: int | None = Field(
        default=None, ge=1, description="None: one if greedy, else as evaluation.sampling"
    )


class Budget(Frozen):
    """Gives every method as many steps, trained tokens or examples as the others."""

    match: Literal["steps", "tokens", "examples"] = Field(description="what is made equal")
    amount: int | None = Field(
        default=None, ge=1, description="None: what the first method takes by its own settings"
    )


class Evaluation(Frozen):
    """On what, and how, every policy is evaluated."""

    sampling: Sampling = Sampling(samples=16, max_tokens=4096)
    sampler: AnySampler | None = Field(
        default=None, description="None: as the experiment's; a server cannot load what was trained"
    )
    benchmarks: Annotated[dict[Label, ProblemSource], BeforeValidator(named_sources)] = Field(
        min_length=1
    )
    reference: Label | None = Field(
        default=None,
        description="the method that the others are compared with, besides the base; None: rft, or"
        " the first where there is none of that name",
    )
    base_decodings: dict[Label, Decoding] = Field(
        default={
            "base-t0.5": Decoding(temperature=0.5),
            "base-greedy": Decoding(temperature=0),
        }
    )


class Experiment(DataSettings):
    """One data set, the methods that learn from it, and the benchmarks that compare them."""

    training: TrainingSettings = TrainingSettings()
    methods: dict[Label, AnyMethod] = Field(min_length=1)
    sweep: Sweep | None = None
    budget: Budget | None = None
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(default=(0,), min_length=1)
    evaluation: Evaluation
    behaviour_check: int = Field(
        default=256,
        ge=0,
        description="rollouts whose log-probabilities are computed again with the trainer's model"
        " and compared with the sampler's",
    )
    keep: Literal["all", "last", "none"] = Field(
        default="all",
        description="which weights stay: of every seed, of each method's last seed, none",
    )

    @field_validator("methods", mode="before")
    @classmethod
    def _kind_is_the_label(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            label: {"kind": label, **(settings or {})}
            if label in METHODS and isinstance(settings, Mapping | None)
            else settings
            for label, settings in value.items()
        }

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a training seed stands twice")
        return value

    @model_validator(mode="after")
    def _labels_differ(self) -> "Experiment":
        untrained = {"base", *self.evaluation.base_decodings}
        both = sorted(untrained & self.methods.keys())
        if both:
            raise ValueError(f"methods.{both[0]}: this label is taken by the untrained base")
        for label, decoding in self.evaluation.base_decodings.items():
            if decoding.temperature == 0 and (decoding.samples or 1) > 1:
                raise ValueError(f"evaluation.base_decodings.{label}: greedy, so one sample only")
        if "base" in self.evaluation.base_decodings:
            raise ValueError("evaluation.base_decodings.base: this is evaluation.sampling's label")
        if self.reference not in self.methods:
            raise ValueError(f"evaluation.reference: there is no method {self.reference!r}")
        self._check_sweep()
        if isinstance(self.evaluation_sampler, ServerSettings):
            raise ValueError(
                "evaluation.sampler: a server holds one model and cannot load what was trained: set"
                " it to vllm, transformers or auto"
            )
        if "macro" in self.evaluation.benchmarks:
            raise ValueError("evaluation.benchmarks.macro: this name is taken by the average")
        return self

    def _check_sweep(self) -> None:
        if self.sweep is None:
            return
        for label, grid in self.sweep.grids.items():
            if label not in self.methods:
                raise ValueError(f"sweep.grids.{label}: there is no such method")
            try:
                variants(self.methods[label], grid)
            except ValueError as error:
                raise ValueError(f"sweep.grids.{label}: {error}") from error
        if self.sweep.seed in self.seeds:
            raise ValueError(f"sweep.seed: {self.sweep.seed} is one of the seeds of the comparison")

    @property
    def reference(self) -> str:
        """The label that the other methods are compared with."""
        usual = "rft" if "rft" in self.methods else next(iter(self.methods))
        return self.evaluation.reference or usual

    @property
    def evaluation_sampler(self) -> SamplerSettings:
        return self.evaluation.sampler or self.sampler

    def decodings(self) -> dict[str, Sampling]:
        """How the untrained base is decoded, by label; the plain one first."""
        plain = self.evaluation.sampling
        return {"base": plain} | {
            label: Sampling.model_validate(
                plain.model_dump()
                | {
                    "temperature": decoding.temperature,
                    "samples": decoding.samples or (plain.samples if decoding.temperature else 1),
                }
            )
            for label, decoding in self.evaluation.base_decodings.items()
        }
