"""What the settings of all samplers share."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

DType = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    Field(description="auto: the precision that the base model is stored in"),
]


class EngineSettings(BaseModel):
    """The settings of one kind of engine; each kind adds `kind`, its name in a settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_matter_to_results: ClassVar[frozenset[str]] = frozenset()
    """Fields that concern memory and speed alone.

    Strictly so where sums do not depend on what else is computed at the same time, as on a CPU
    with one thread. A GPU's kernels may give other last bits to another batch.
    """

    @property
    def adapter(self) -> str | None:
        """Folder of the LoRA adapter that the sampled model is to have; None for none."""
        return None

    @property
    def result_settings(self) -> dict[str, JsonValue]:
        """The settings that samples depend on."""
        settings = self.model_dump(mode="json")
        return {k: v for k, v in settings.items() if k not in self.no_matter_to_results}
