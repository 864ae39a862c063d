"""The settings of a data set: problems, base model, sampling, verifier, filters."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_gen.cluster import ClusterSettings
from data_gen.filters import Filters
from data_gen.model_ref import ModelRef
from data_gen.prompts import check_style
from data_gen.samplers import AutoSettings
from data_gen.selection import Selection
from data_gen.types import Sampling
from data_gen.verifiers.math import MathSettings
from offline_rl.settings.base import AnySampler, AnyVerifier, Frozen, Label, Source, Store, named
from offline_rl.tiny_base import TINY_BASE

TINY = "tiny"


class Imported(Frozen):
    """Rollouts that were made elsewhere."""

    path: str = Field(
        min_length=1, description="a .jsonl or .parquet file, or a folder of rollouts"
    )
    verify: bool = Field(
        default=True,
        description="judge them here; false: take the rewards that the file gives. Rollouts of our"
        " own keep their verdicts",
    )


class Audit(Frozen):
    """A second verifier that judges a share of the rollouts; how far both agree is on the card."""

    verifier: AnyVerifier = Field(description="settings as of `verifier`")
    share: float = Field(default=0.05, gt=0, le=1, description="of the rollouts")


class ModelSettings(Frozen):
    """A base model: how it is asked, what samples from it, who judges the answers."""

    name: Label = Field(description="of the run and its folder")
    model: str = Field(min_length=1, description="tiny, a folder, or a hub name")
    revision: str | None = Field(default=None, description="of a model of the hub")
    remote_code: bool = Field(
        default=False,
        description="runs the Python code that lies in the model's folder, with all your rights;"
        " false: a model that needs it is refused",
    )
    prompt: str = Field(
        default="raw",
        description="raw: the problem as it is; chat: the model's chat template around it;"
        " qwen-boxed: the chat of the Qwen2.5-Math evaluations; or a text with {problem} in it",
    )
    sampler: AnySampler = Field(default=AutoSettings(), description="what draws completions")
    verifier: AnyVerifier = Field(default=MathSettings(), description="what judges them")
    cluster: ClusterSettings | None = Field(
        default=None, description="a Ray cluster to spread the work over; None: this machine"
    )

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str) -> str:
        return check_style(value)

    @model_validator(mode="after")
    def _known_code(self) -> Self:
        if self.remote_code and self.cluster is not None:
            raise ValueError("remote_code: the workers of a cluster run no code of a model")
        return self

    @property
    def base_model(self) -> ModelRef:
        """The untrained model. Its own code is trusted where `remote_code` says so."""
        path = str(TINY_BASE) if self.model == TINY else self.model
        return ModelRef(path, self.revision, trust_code=self.remote_code)

    @property
    def sampled_model(self) -> ModelRef:
        """What rollouts are sampled from: the base, with the sampler's adapter where it has one."""
        return replace(self.base_model, adapter=self.sampler.adapter)

    def trained_model(self, folder: Path) -> ModelRef:
        """A policy that was trained from the base into `folder`, with a copy of the base's code."""
        return ModelRef(str(folder), trust_code=self.remote_code)


class DataSettings(ModelSettings):
    """Everything that a data set depends on."""

    problems: Source | None = Field(default=None, description="to sample rollouts for")
    sampling: Sampling = Sampling()
    learn_from: Literal["rollouts", "demonstrations"] = Field(
        default="rollouts",
        description="demonstrations: the solutions of the problems; nothing is sampled",
    )
    rollouts: Annotated[Imported, named("path")] | None = Field(
        default=None, description="rollouts to learn from instead of sampling"
    )
    audit: Audit | None = None
    filters: Filters = Filters()
    selection: Selection = Selection()
    licence: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.+-]{0,63}$",
        description="of the data set, as the hub names it: apache-2.0, cc-by-4.0, ...",
    )
    store: Store = Field(
        default=None,
        description="s3://bucket/folder: finished stages and the report are put there as well, and"
        " what is finished there is taken",
    )
    store_weights: bool = Field(
        default=False,
        description="whether trained weights are put there too, so that a machine lost before the"
        " evaluation costs no training",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "DataSettings":
        if (self.problems is None) == (self.rollouts is None):
            raise ValueError("give either problems to sample for, or rollouts to learn from")
        if self.rollouts is not None and self.learn_from == "demonstrations":
            raise ValueError("learn_from: demonstrations are the solutions of problems: set those")
        return self
