"""Settings of the selections in data_gen.views."""

from pydantic import BaseModel, ConfigDict, Field

from data_gen.views import PairPolicy


class Pairing(BaseModel):
    """How accepted and rejected rollouts of a problem are matched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: PairPolicy = Field(
        default="random",
        description="random; hardest: the wrong rollouts that the base model finds likeliest;"
        " length_matched: as equal in length as can be; widest_margin: the largest difference in"
        " reward, then in the base model's log-probability",
    )
    per_problem: int = Field(default=1, ge=1, description="pairs of one problem, at most")


class Selection(BaseModel):
    """Which rollouts count as accepted, and how pairs are made; shared by all methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_reward: float = Field(
        default=1.0, allow_inf_nan=False, description="lowest reward of an accepted rollout"
    )
    unique: bool = Field(default=True, description="keep identical completions of a problem once")
    pairs: Pairing = Pairing()
