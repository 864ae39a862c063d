"""How a policy in training is looked at on validation problems, and when that ends its training."""

from pydantic import Field

from data_gen.types import Sampling
from offline_rl.settings.base import AnyVerifier, Frozen, Source


class Validation(Frozen):
    """Samples the policy as it trains; its best weights are kept, by avg@k on these problems."""

    problems: Source = Field(description="to stop by: none of them may be in a benchmark")
    every: int = Field(
        default=50, ge=1, description="steps between validations; the last step has one too"
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="training stops after so many validations in a row that are no better than the"
        " best one; None: never",
    )
    sampling: Sampling | None = Field(default=None, description="None: as evaluation.sampling")
    batch_size: int = Field(
        default=64, ge=1, description="completions decoded together, by transformers in training"
    )


class ValidationSetup(Frozen):
    """How an experiment asks a policy in training, and who judges the answers."""

    prompt: str
    sampling: Sampling
    verifier: AnyVerifier
