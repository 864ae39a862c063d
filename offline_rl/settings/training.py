"""How a policy is trained: the section every method shares and may override key by key."""

import difflib
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from offline_rl.settings.validation import Validation

CHECKPOINTS = "checkpoints"
LENGTHS = ("epochs", "steps", "total_examples", "total_tokens")
"""How long a training is; of several, the last goes before the others."""
# What transformers calls schedules that begin at their full rate.
_WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau")
NO_MATTER_TO_WEIGHTS = ("checkpoint_every", "log_every", "report_to")


class Lora(BaseModel):
    """Low-rank adapters (Hu et al., arXiv 2106.09685) instead of training every weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1, description="of the adapter matrices")
    alpha: float = Field(default=32, gt=0, description="scale: updates are times alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of the adapters' inputs")
    target_modules: str | tuple[str, ...] = Field(
        default="all-linear", description="names of modules, as in peft"
    )
    dora: bool = Field(
        default=False, description="magnitude and direction apart (arXiv 2402.09353)"
    )
    keep_adapter: bool = Field(
        default=False,
        description="also saves the adapter alone, in adapter/; it stays when keep drops weights",
    )


class Launch(BaseModel):
    """Several processes that train one policy together, each on its share of every step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int = Field(default=1, ge=1, description="on this machine, one for each GPU")
    by: Literal["torchrun", "accelerate"] = Field(
        default="torchrun", description="accelerate reads `config`"
    )
    config: str | None = Field(
        default=None,
        description="a file of accelerate's settings, or a shipped one: fsdp, deepspeed_zero2",
    )

    @model_validator(mode="after")
    def _config_is_for_accelerate(self) -> "Launch":
        if self.config is not None and self.by != "accelerate":
            raise ValueError("config is read by accelerate: set by to accelerate")
        return self


class TrainingSettings(BaseModel):
    """Optimisation settings. An example is one rollout, or one pair for preference methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="passes over the examples"
    )
    steps: int | None = Field(default=None, ge=1, description="optimiser steps; overrides epochs")
    total_examples: int | None = Field(
        default=None, ge=1, description="examples seen in all; overrides steps and epochs"
    )
    total_tokens: int | None = Field(
        default=None,
        ge=1,
        description="completion tokens trained on in all; overrides steps, epochs, total_examples",
    )
    examples_per_step: int = Field(default=256, ge=1, description="whole batch, all processes")
    lr: float = Field(default=5e-5, gt=0, allow_inf_nan=False, description="highest learning rate")
    scheduler: str = Field(
        default="cosine", description="shape of the learning rate, by transformers' name for it"
    )
    scheduler_settings: dict[str, float | int | str | bool] = Field(
        default={}, description="of that scheduler, as transformers names them"
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="of Adam")
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False, description="as in AdamW")
    max_grad_norm: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="gradients are clipped to this norm"
    )
    optimizer: str = Field(default="adamw_torch", description="by transformers' name for it")
    max_tokens: int = Field(default=2048, ge=2, description="longer rollouts are left out")
    tokens_per_microbatch: int = Field(
        default=16384, ge=1, description="padded tokens in one forward pass; memory, not results"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16: autocast; weights stay in float32"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute activations in the backward pass, to save memory"
    )
    lora: Lora | None = None
    launch: Launch | None = Field(default=None, description="None: in this process alone")
    threads: int = Field(default=1, ge=1, description="CPU threads; results depend on it")
    head: Literal["auto", "chunked", "trl", "plain"] = Field(
        default="auto",
        description="what makes log-probabilities of states; auto: chunked on a CPU, else trl",
    )
    packing: bool | Literal["auto"] = Field(
        default="auto",
        description="rows of a batch end to end, without padding; auto: unless a trial with the"
        " model shows that they leak into each other, and on a GPU only with varlen or flash"
        " attention; true refuses such a model",
    )
    attention: (
        Literal["sdpa", "varlen", "eager", "flash_attention_2", "flash_attention_3"] | None
    ) = Field(
        default=None,
        description="None: varlen on a GPU in bfloat16, otherwise as transformers chooses;"
        " varlen: torch's own kernel for packed rows; flash_attention: with its package installed",
    )
    validation: Validation | None = Field(
        default=None, description="on these problems the best weights are chosen; None: the last"
    )
    checkpoint_every: int = Field(default=0, ge=0, description="steps between checkpoints; 0: none")
    log_every: int = Field(default=1, ge=1, description="steps between log lines")
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = Field(
        default=(), description="trackers that receive learning curves and the comparison"
    )

    @model_validator(mode="after")
    def _betas_in_range(self) -> "TrainingSettings":
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), not {self.betas}")
        return self

    @model_validator(mode="after")
    def _flash_attention_is_of_low_precision(self) -> "TrainingSettings":
        if (self.attention or "").startswith("flash") and self.precision != "bfloat16":
            raise ValueError(f"attention: {self.attention} needs precision: bfloat16")
        return self

    @field_validator("optimizer", "scheduler")
    @classmethod
    def _known_to_transformers(cls, value: str, info: ValidationInfo) -> str:
        if value == cls.model_fields[info.field_name or ""].default:
            return value
        from transformers.trainer_utils import SchedulerType
        from transformers.training_args import OptimizerNames

        names = SchedulerType if info.field_name == "scheduler" else OptimizerNames
        known = [name.value for name in names]
        if value not in known:
            close = difflib.get_close_matches(value, known, 1)
            raise ValueError(
                f"transformers has no {info.field_name} {value!r}"
                + (f" (did you mean {close[0]}?)" if close else f", only {', '.join(known)}")
            )
        return value

    def written(self) -> dict[str, Any]:
        """The settings that somebody gave, without those left at their defaults."""
        given = self.model_fields_set
        # In the order of the fields: a set's own order differs from process to process.
        return {name: getattr(self, name) for name in type(self).model_fields if name in given}

    def resolved(self) -> dict[str, JsonValue]:
        """Every setting, JSON-able."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields}

    def of_weights(self) -> dict[str, JsonValue]:
        """The settings that trained weights depend on, JSON-able; of lengths only what counts."""
        given = [length for length in LENGTHS if getattr(self, length) is not None]
        no_matter = (*NO_MATTER_TO_WEIGHTS, *given[:-1])
        return {name: value for name, value in self.resolved().items() if name not in no_matter}

    @model_serializer(mode="plain")
    def _as_written(self) -> dict[str, JsonValue]:
        # A default that is written out would go before the defaults of a method's paper when the
        # file is read again.
        return {name: _plain(value) for name, value in self.written().items()}

    def total_steps(self, examples: int, tokens: int) -> int:
        """Optimiser steps for a data set of that many examples and tokens to be trained."""
        per_epoch = -(-examples // self.examples_per_step)
        wanted: float | None = self.total_examples
        if self.total_tokens is not None:
            wanted = self.total_tokens * examples / tokens
        if wanted is not None:
            # The last step of an epoch takes what is left, so whole epochs are counted as such.
            epochs, rest = divmod(wanted, examples)
            return max(1, round(epochs) * per_epoch + round(rest / self.examples_per_step))
        if self.steps is not None:
            return self.steps
        return max(1, round(per_epoch * self.epochs))

    def examples_seen(self, steps: int, examples: int) -> int:
        """Examples that so many steps take from a data set of that many."""
        per_epoch = -(-examples // self.examples_per_step)
        epochs, rest = divmod(steps, per_epoch)
        return epochs * examples + min(rest * self.examples_per_step, examples)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def resolve_training(
    defaults: TrainingSettings, shared: TrainingSettings, own: TrainingSettings
) -> TrainingSettings:
    """The method's own settings before the experiment's before the `defaults` of its paper.

    A length, of whatever kind, goes before every length of those behind. A schedule without warm-up
    has a `warmup` of 0.
    """
    merged = defaults.written()
    for level in (shared.written(), own.written()):
        if any(level.get(length) is not None for length in LENGTHS):
            merged = {name: value for name, value in merged.items() if name not in LENGTHS}
        merged |= level
    resolved = TrainingSettings.model_validate(merged)
    if resolved.scheduler in _WITHOUT_WARMUP:
        return resolved.model_copy(update={"warmup": 0.0})
    return resolved
