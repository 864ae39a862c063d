"""An experiment as a value: what a settings file says, checked whole."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from data_gen.problems import ProblemSource
from data_gen.prompts import check_style
from data_gen.samplers import AutoSettings, SamplerSettings
from data_gen.selection import Selection
from data_gen.types import Sampling
from data_gen.verifiers import VerifierSettings
from data_gen.verifiers.math import MathSettings
from offline_rl.methods import METHODS, AnyMethod
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training_settings import TrainingSettings

TINY = "tiny"

# Labels become folder names and table rows, so they hold nothing that either could read otherwise.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]{0,63}")


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text) or text.endswith((".old", ".partial")):
        raise ValueError(
            f"{text!r} is no label: letters, digits and _ . = - only, 64 at most, the first a"
            " letter or digit; it does not end in .old or .partial"
        )
    return text


def _named(field: str, default: str | None = None) -> BeforeValidator:
    """Lets `verifier: math` stand for `verifier: {kind: math}`, and fills in the usual kind."""

    def spell_out(value: Any) -> Any:
        if isinstance(value, str):
            return {field: value}
        if default is not None and isinstance(value, Mapping):
            return {field: default, **value}
        return value

    return BeforeValidator(spell_out)


Label = Annotated[str, BeforeValidator(_label)]
Source = Annotated[ProblemSource, _named("source")]
AnySampler = Annotated[SamplerSettings, _named("kind", "auto")]
AnyVerifier = Annotated[VerifierSettings, _named("kind", "math")]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decoding(Frozen):
    """Another way of decoding the untrained base, to tell learning from mere sharpening."""

    temperature: float = Field(ge=0, allow_inf_nan=False)
    samples: int | None = Field(
        default=None, ge=1, description="None: one if greedy, else as evaluation.sampling"
    )


class Evaluation(Frozen):
    """On what, and how, every policy is evaluated."""

    sampling: Sampling = Sampling(samples=16, max_tokens=4096)
    benchmarks: dict[Label, Source] = Field(min_length=1)
    base_decodings: dict[Label, Decoding] = {
        "base-t0.5": Decoding(temperature=0.5),
        "base-greedy": Decoding(temperature=0),
    }

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _named_after_their_source(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: {"source": name, **settings} if isinstance(settings, Mapping) else settings
            for name, settings in value.items()
        }


class Experiment(Frozen):
    """Problems, one base model, the rollouts, the methods that learn from them, the benchmarks."""

    name: Label
    model: str = Field(min_length=1, description="tiny, a folder, or a hub name")
    revision: str | None = None
    prompt: str = "raw"
    problems: Source | None = Field(default=None, description="to sample rollouts for")
    sampler: AnySampler = AutoSettings()
    sampling: Sampling = Sampling()
    verifier: AnyVerifier = MathSettings()
    rollouts: str | None = Field(
        default=None, description="a file or folder of rollouts to learn from instead of sampling"
    )
    selection: Selection = Selection()
    training: TrainingSettings = TrainingSettings()
    methods: dict[Label, AnyMethod] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(default=(0,), min_length=1)
    evaluation: Evaluation
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

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str) -> str:
        return check_style(value)

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a training seed stands twice")
        return value

    @model_validator(mode="after")
    def _labels_differ(self) -> "Experiment":
        if (self.problems is None) == (self.rollouts is None):
            raise ValueError("give either problems to sample for, or rollouts to learn from")
        untrained = {"base", *self.evaluation.base_decodings}
        both = sorted(untrained & self.methods.keys())
        if both:
            raise ValueError(f"methods.{both[0]}: this label is taken by the untrained base")
        for label, decoding in self.evaluation.base_decodings.items():
            if decoding.temperature == 0 and (decoding.samples or 1) > 1:
                raise ValueError(f"evaluation.base_decodings.{label}: greedy, so one sample only")
        if "base" in self.evaluation.base_decodings:
            raise ValueError("evaluation.base_decodings.base: this is evaluation.sampling's label")
        if "macro" in self.evaluation.benchmarks:
            raise ValueError("evaluation.benchmarks.macro: this name is taken by the average")
        return self

    @property
    def model_path(self) -> str:
        """Where the base model is loaded from: a folder, or a name of the hub."""
        return str(TINY_BASE) if self.model == TINY else self.model

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
