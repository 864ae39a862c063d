"""Verifiers on the nodes of a Ray cluster, as one verifier."""

from collections.abc import Sequence

from data_gen.cluster.actors import VerifierActor, own_threads
from data_gen.cluster.settings import ClusterSettings
from data_gen.cluster.workers import Workers
from data_gen.types import Verdict
from data_gen.verifiers import OpenVerifier, Settings

_PAIRS_AT_ONCE = 256


class RayVerifier(OpenVerifier):
    """An actor per verifier; pairs are cut into slices that a verifier judges as a whole."""

    def __init__(self, cluster: ClusterSettings, settings: Settings) -> None:
        actor = VerifierActor, settings, own_threads()
        self._workers = Workers(cluster, cluster.verifiers, "a verifier", {"CPU": 1}, *actor)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        slices = (
            [list(pairs[at : at + _PAIRS_AT_ONCE])] for at in range(0, len(pairs), _PAIRS_AT_ONCE)
        )
        verdicts = self._workers.stream("verify", slices)
        return [verdict for judged in verdicts for verdict in judged]

    def close(self) -> None:
        self._workers.close()
