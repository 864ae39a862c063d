"""Verifiers on the nodes of a Ray cluster, as one verifier."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from data_gen.cluster.actors import VerifierActor, own_threads
from data_gen.cluster.connection import Connection
from data_gen.cluster.places import Reservation, check_places
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.worker import Worker
from data_gen.samplers.base import EngineError
from data_gen.types import Verdict
from data_gen.verifiers import OpenVerifier, Settings

_PAIRS_AT_ONCE = 256


class RayVerifier(OpenVerifier):
    """An actor per verifier; pairs are cut into slices that a verifier judges as a whole."""

    def __init__(self, cluster: ClusterSettings, settings: Settings) -> None:
        self._cluster = cluster
        self._connection = Connection(cluster)
        self._workers: list[Worker] = []
        try:
            self._begin(settings)
        except BaseException:
            self.close()
            raise

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        slices = [pairs[at : at + _PAIRS_AT_ONCE] for at in range(0, len(pairs), _PAIRS_AT_ONCE)]
        waiting = [
            (number % len(self._workers), slice_, self._submit(number % len(self._workers), slice_))
            for number, slice_ in enumerate(slices)
        ]
        return [verdict for one in waiting for verdict in self._verdicts(*one)]

    def close(self) -> None:
        workers, self._workers = self._workers, []
        try:
            for worker in workers:
                worker.end()
        finally:
            self._connection.close()

    def _begin(self, settings: Settings) -> None:
        cluster, one = self._cluster, Reservation("a verifier", cpus=1)
        check_places(self._connection, cluster, one, cluster.verifiers)
        actor = self._connection.ray.remote(VerifierActor).options(
            num_cpus=one.cpus, scheduling_strategy="SPREAD"
        )
        start = partial(actor.remote, settings.model_dump_json(), own_threads())
        self._workers = [
            Worker(self._connection, one, start, lambda actor: actor.ready.remote(), cluster)
            for _ in range(cluster.verifiers)
        ]
        for worker in self._workers:
            worker.prepare()
        for worker in self._workers:
            worker.ready()

    def _submit(self, worker: int, pairs: Sequence[tuple[str, str]]) -> tuple[Any, Any]:
        """The actor that was asked, and the reference to its answer."""
        actor = self._workers[worker].actor
        return actor, self._connection.ask(actor.verify.remote, list(pairs))

    def _verdicts(
        self, worker: int, pairs: Sequence[tuple[str, str]], asked: tuple[Any, Any]
    ) -> list[Verdict]:
        exceptions = self._connection.ray.exceptions
        for _ in range(self._cluster.restarts + 1):
            actor, answer = asked
            try:
                verdicts: list[Verdict] = self._connection.result(answer)
            except exceptions.RayTaskError as error:
                raise EngineError("the cluster cannot verify", error.cause) from error
            except exceptions.RayError:
                # Several slices may have been lost with one actor.
                if self._workers[worker].actor is actor:
                    self._workers[worker].again()
                asked = self._submit(worker, pairs)
            else:
                return verdicts
        raise EngineError(f"the cluster cannot verify: {self._cluster.restarts + 1} workers ended")
