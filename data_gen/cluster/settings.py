"""Where a cluster is, and how much of it is taken."""

from pydantic import BaseModel, ConfigDict, Field


class ClusterSettings(BaseModel):
    """A Ray cluster that samples, verifies and trains. No result depends on these settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(
        default="auto",
        pattern=r"^(auto|(ray://)?[^/\s]+:\d{1,5})$",
        description="auto: the cluster that this machine belongs to (ray start); or host:port, or"
        " ray://host:10001",
    )
    replicas: int = Field(default=1, ge=1, description="engines, each with the whole model")
    gpus_per_replica: float = Field(default=0, ge=0, description="that each engine reserves")
    cpus_per_replica: float = Field(default=1, ge=0, description="that each engine reserves")
    verifiers: int = Field(
        default=0, ge=0, description="actors that verify, a core each; 0: this machine does"
    )
    trainings: int = Field(
        default=0,
        ge=0,
        description="policies trained at the same time, on nodes that read and write the run's"
        " folder; 0: one after another on this machine",
    )
    gpus_per_training: float = Field(default=0, ge=0, description="that each policy reserves")
    cpus_per_training: float = Field(default=1, ge=0, description="that each policy reserves")
    restarts: int = Field(
        default=3, ge=0, description="times that work is done again when its worker has ended"
    )
    wait_seconds: float = Field(
        default=600,
        gt=0,
        description="how long an engine or a verifier may wait for a place on a node",
    )
