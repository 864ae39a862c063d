"""Chunks through one replica with vLLM: each alone in the engine, or behind one another.

Run: python tests/benchmarks/cluster_engine.py. Both sides of one run, on the tiny base; the samples
must be the same.
"""

import threading
import time

import ray
from ray.cluster_utils import Cluster

from data_gen import load_problems
from data_gen.cluster import ClusterSettings
from data_gen.cluster.actors import EngineActor, own_threads
from data_gen.cluster.engine import RayEngine
from data_gen.cluster.workers import Workers
from data_gen.model_ref import ModelRef
from data_gen.samplers import ModelSampler, VllmSettings
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Sampling
from offline_rl.tiny_base import TINY_BASE

CHUNK, CHUNKS, ROUNDS = 32, 30, 3
SAMPLING = Sampling(samples=4, max_tokens=192)


class AloneActor(EngineActor):
    """Takes one call at a time."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._turn = threading.Lock()

    def sample(self, *arguments):
        with self._turn:
            return super().sample(*arguments)


class Alone(RayEngine):
    def _started(self):
        actor = AloneActor, self._settings, own_threads()
        return Workers(self._cluster, 1, "an engine", {"CPU": 1}, *actor)


def main():
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 4,
            "object_store_memory": 80 * 2**20,
            "include_dashboard": False,
        },
    )
    problems = load_problems("arithmetic", "train", limit=CHUNK * CHUNKS)
    chunks = [problems[start : start + CHUNK] for start in range(0, CHUNK * CHUNKS, CHUNK)]
    samplers, samples = {}, {}
    for name, kind in (("alone", Alone), ("behind one another", RayEngine)):
        engine = kind(ClusterSettings(address=cluster.address), VllmSettings(dtype="float32"))
        engine.load(ModelRef(str(TINY_BASE)))
        samplers[name] = ModelSampler(engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
        list(samplers[name].stream(chunks[:3], SAMPLING))
    for _ in range(ROUNDS):
        for name, sampler in samplers.items():
            started = time.perf_counter()
            found = [one for chunk in sampler.stream(chunks, SAMPLING) for one in chunk]
            seconds = time.perf_counter() - started
            samples[name] = [(one.text, list(one.tokens), list(one.logps)) for one in found]
            tokens = sum(len(one.tokens) for one in found)
            print(f"{name:20} {seconds:6.2f} s  {tokens / seconds:8,.0f} tokens/s")
    first, second = samples.values()
    print("the same samples" if first == second else "DIFFERENT samples")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
