"""Single calls on a node of a Ray cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_gen.cluster.connection import connect
from data_gen.cluster.settings import ClusterSettings
from data_gen.samplers.base import EngineError


def call_on_cluster(
    cluster: ClusterSettings, work: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """`work(*arguments, **named)` on a node with what `cluster` reserves for a training.

    A call whose node has gone is made again. Raises what `work` raises, and EngineError where it
    was lost once more than `cluster.restarts`.
    """
    ray = connect(cluster.address)
    remote = ray.remote(work).options(
        num_cpus=cluster.cpus_per_training,
        num_gpus=cluster.gpus_per_training,
        max_retries=cluster.restarts,
        scheduling_strategy="SPREAD",
    )
    try:
        return ray.get(remote.remote(*arguments, **named))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise EngineError(f"the cluster lost this work {cluster.restarts + 1} times", error) from (
            error
        )


def seen_from_anywhere(model: str) -> str:
    """A model's name in the hub as it is; a folder by its whole path, which nodes must share."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model
