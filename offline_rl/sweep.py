"""Settings that are tried out on validation problems before methods are compared."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from data_gen.types import Sampling
from offline_rl.data_settings import Frozen, Label, Source
from offline_rl.methods import Method
from offline_rl.training_settings import TrainingSettings

Values = Annotated[tuple[Any, ...], Field(min_length=1)]


class Sweep(Frozen):
    """Tries out settings of each method; the best on the validation problems is compared."""

    problems: Source = Field(description="to choose on: none of them may be in a benchmark")
    sampling: Sampling | None = Field(default=None, description="None: as evaluation.sampling")
    seed: int = Field(
        default=1000, ge=0, lt=2**31, description="training seed of the trials, not one of seeds"
    )
    grids: dict[Label, dict[str, Values]] = Field(
        min_length=1,
        description="by a method's label, the values to try of its own settings or of training's,"
        " each with each: {dft: {lr: [1e-5, 5e-5]}, dpo: {lr: [1e-6], beta: [0.1, 0.5]}}",
    )


def variants(method: Method, grid: Mapping[str, tuple[Any, ...]]) -> list[Method]:
    """The method with each combination of the grid's values, the last key varying fastest.

    Raises ValueError naming the key that is no setting, or the value that is none of it.
    """
    return [
        _variant(method, dict(zip(grid, values, strict=True)))
        for values in itertools.product(*grid.values())
    ]


def _variant(method: Method, values: Mapping[str, Any]) -> Method:
    own = type(method).model_fields.keys() - {"kind", "training"}
    settings = method.model_dump()
    training = method.training.written()
    for key, value in values.items():
        if key in own:
            settings[key] = value
        elif key in TrainingSettings.model_fields:
            training[key] = value
        else:
            raise ValueError(f"{key} is a setting neither of {settings['kind']} nor of training")
    try:
        return type(method).model_validate({**settings, "training": training})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
