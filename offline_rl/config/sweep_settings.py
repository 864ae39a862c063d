"""Settings that are tried out on validation problems before methods are compared."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from data_gen.types import Sampling
from offline_rl.config.yaml_io import RawSettings
from offline_rl.methods import Method
from offline_rl.settings.base import Frozen, Label, Source
from offline_rl.settings.training import LENGTHS, TrainingSettings, resolve_training

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

    def check(
        self,
        methods: Mapping[str, Method],
        shared: TrainingSettings,
        seeds: Sequence[int],
        *,
        budgeted: bool,
    ) -> None:
        """Raises ValueError where it does not fit the experiment, or would try nothing out."""
        for label, grid in self.grids.items():
            if label not in methods:
                raise ValueError(f"sweep.grids.{label}: there is no such method")
            lengths = [key for key in grid if key in LENGTHS]
            if budgeted and lengths:
                raise ValueError(f"sweep.grids.{label}.{lengths[0]}: the budget says how long")
            try:
                tried = variants(methods[label], grid)
            except ValueError as error:
                raise ValueError(f"sweep.grids.{label}: {error}") from error
            _check_differ(label, [_whole(one, shared) for one in tried])
        if self.seed in seeds:
            raise ValueError(f"sweep.seed: {self.seed} is one of the seeds of the comparison")


def variants(method: Method, grid: Mapping[str, tuple[Any, ...]]) -> list[Method]:
    """The method with each combination of the grid's values, the last key varying fastest.

    Raises ValueError naming the key that is no setting, or the value that is none of it.
    """
    return [
        _variant(method, dict(zip(grid, values, strict=True)))
        for values in itertools.product(*grid.values())
    ]


def candidates(methods: Mapping[str, Method], sweep: Sweep | None) -> Iterator[tuple[str, Method]]:
    """The methods by their labels; those that a sweep tries out, in each of its variants."""
    grids = {} if sweep is None else sweep.grids
    for label, method in methods.items():
        for variant in variants(method, grids[label]) if label in grids else [method]:
            yield label, variant


def _whole(method: Method, shared: TrainingSettings) -> RawSettings:
    """Every setting that a method's weights depend on."""
    training = resolve_training(method.training_defaults, shared, method.training)
    return {**method.model_dump(exclude={"training"}), "training": training.of_weights()}


def _check_differ(label: str, tried: Sequence[RawSettings]) -> None:
    for number, settings in enumerate(tried):
        first = tried.index(settings)
        if first < number:
            raise ValueError(
                f"sweep.grids.{label}: trials {first} and {number} are trained alike: what is tried"
                " out must matter"
            )


def _variant(method: Method, values: RawSettings) -> Method:
    own = type(method).model_fields.keys() - {"kind", "training"}
    settings = method.model_dump()
    training = method.training.written()
    if any(key in LENGTHS for key in values):
        training = {name: value for name, value in training.items() if name not in LENGTHS}
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
