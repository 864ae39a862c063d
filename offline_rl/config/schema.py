"""An experiment as a value: what a settings file says, checked whole."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from data_gen.samplers import SamplerSettings
from data_gen.samplers.server_settings import ServerSettings
from offline_rl.config.sweep_settings import Sweep
from offline_rl.methods.registry import METHODS, AnyMethod
from offline_rl.settings.base import Frozen, Label
from offline_rl.settings.data import DataSettings
from offline_rl.settings.evaluation import BASE, EvaluationSettings
from offline_rl.settings.report import ReportSettings
from offline_rl.settings.training import TrainingSettings


class Budget(Frozen):
    """Gives every method as many steps, trained tokens or examples as the others."""

    match: Literal["steps", "tokens", "examples"] = Field(description="what is made equal")
    amount: int | None = Field(
        default=None, ge=1, description="None: what the first method takes by its own settings"
    )


class Experiment(DataSettings):
    """One data set, the methods that learn from it, and the benchmarks that compare them."""

    training: TrainingSettings = TrainingSettings()
    methods: dict[Label, AnyMethod] = Field(
        min_length=1, description="by label; the label is the kind where none is given"
    )
    sweep: Sweep | None = None
    budget: Budget | None = None
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        default=(0,), min_length=1, description="training seeds: data order and initialisation"
    )
    evaluation: EvaluationSettings
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
    report: ReportSettings = ReportSettings()

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
        if BASE in self.methods:
            raise ValueError(f"methods.{BASE}: this label is taken by the untrained base")
        taken: set[str] = set()
        for policy in (BASE, *self.methods):
            if both := taken.intersection(self.evaluation.labels(policy)):
                raise ValueError(
                    f"methods.{policy}: the label {min(both)!r} is taken by another policy or its"
                    " decoding: rename one of them"
                )
            taken.update(self.evaluation.labels(policy))
        if self.reference not in self.methods:
            raise ValueError(f"evaluation.reference: there is no method {self.reference!r}")
        if self.sweep is not None:
            self.sweep.check(
                self.methods, self.training, self.seeds, budgeted=self.budget is not None
            )
        if isinstance(self.evaluation_sampler, ServerSettings):
            raise ValueError(
                "evaluation.sampler: a server holds one model and cannot load what was trained: set"
                " it to vllm, transformers or auto"
            )
        return self

    @property
    def reference(self) -> str:
        """The label that the other methods are compared with."""
        usual = "rft" if "rft" in self.methods else next(iter(self.methods))
        return self.evaluation.reference or usual

    @property
    def evaluation_sampler(self) -> SamplerSettings:
        return self.evaluation.sampler or self.sampler
