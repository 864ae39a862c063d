"""What all parts of a card have in common, and the counts of the filters."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(allow_inf_nan=False)] | None
"""A share or a mean; None of nothing at all."""


class CardPart(BaseModel):
    """JSON of just these fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FilterCounts(CardPart):
    """What is left after a filter."""

    problems: Count
    rollouts: Count
    accepted: Count


def ratio(part: float, whole: int) -> float | None:
    """None of nothing at all."""
    return part / whole if whole else None
