"""What Ray costs per chunk, whether memory stays flat, and where the bottleneck moves with scale.

Run: python tests/benchmarks/cluster.py [--rollouts 1000000]. Engines are synthetic: they answer at
once, so that what is measured is the way there and back, verification and storage aside.
"""

import argparse
import tempfile
import time
from array import array
from pathlib import Path

import numpy as np
import psutil
import ray
from ray.cluster_utils import Cluster

from data_gen.cluster import ClusterSettings
from data_gen.cluster.actors import Loaded
from data_gen.cluster.engine import RayEngine
from data_gen.cluster.workers import Workers
from data_gen.model_ref import ModelRef
from data_gen.samplers import TransformersSettings
from data_gen.samplers.base import Request, Sample
from data_gen.samplers.wire import pack_samples, unpack_requests
from data_gen.store.rollouts import save_rollouts
from data_gen.types import Completion, Problem, Rollout, Sampling, Verdict

PROBLEMS, SAMPLES, TOKENS = 256, 4, 512
SAMPLING = Sampling(samples=SAMPLES, max_tokens=TOKENS)
# Assumed, not measured: a model of 1.5 billion parameters on one large GPU, and math-verify.
TOKENS_A_SECOND, VERIFY_SECONDS = 10_000, 0.005


class SyntheticActor:
    """Answers with the same prepared samples."""

    def load(self, *_):
        tokens, logps = array("i", range(TOKENS)), array("f", [-0.5] * TOKENS)
        self.answer = [Sample(tokens, logps, "x" * 3 * TOKENS, "stop")] * SAMPLES
        return Loaded("a node", {}, 4096)

    def sample(self, model, first, sampling, value, payload):
        return pack_samples([self.answer for _ in unpack_requests(value, payload)])


class SyntheticEngine(RayEngine):
    def _started(self):
        cluster = self._cluster
        return Workers(cluster, cluster.replicas, "an engine", {"CPU": 0}, SyntheticActor)


def chunks(count):
    prompt = array("i", range(100))
    return ([Request(prompt, seed) for seed in range(PROBLEMS)] for _ in range(count))


def seconds_a_chunk(address, workers, count=40):
    settings = ClusterSettings(address=address, replicas=workers, cpus_per_replica=0)
    with SyntheticEngine(settings, TransformersSettings()) as engine:
        engine.load(ModelRef("synthetic"))
        list(engine.stream(chunks(2 * workers), SAMPLING))
        started = time.perf_counter()
        for _ in engine.stream(chunks(count), SAMPLING):
            pass
        return (time.perf_counter() - started) / count


def direct_seconds_a_chunk(count=40):
    actor = SyntheticActor()
    actor.load()
    packed = next(chunks(1))
    from data_gen.samplers.wire import pack_requests, unpack_samples

    started = time.perf_counter()
    for _ in range(count):
        unpack_samples(*actor.sample(None, None, None, *pack_requests(packed)))
    return (time.perf_counter() - started) / count


def storage_seconds_a_chunk(count=10):
    """Of ids, log-probabilities and text that do not compress as one repeated sample would."""
    random = np.random.default_rng(0)

    def completion(problem, sample):
        tokens = array("i", random.integers(0, 150_000, TOKENS).astype(np.int32).tobytes())
        logps = array("f", (-random.exponential(size=TOKENS)).astype(np.float32).tobytes())
        text = "".join(map(chr, random.integers(97, 123, 3 * TOKENS)))
        return Completion(
            problem, sample, sample, "prompt", tokens[:100], text, tokens, logps, "stop"
        )

    rollouts = [
        Rollout(
            Problem(f"p{i}", "problem " * 20, "7"),
            completion(f"p{i}", j),
            Verdict("correct", 1.0, "", "7"),
        )
        for i in range(PROBLEMS)
        for j in range(SAMPLES)
    ]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for number in range(count):
            save_rollouts(rollouts, Path(folder) / f"part-{number:05}.parquet")
        seconds = (time.perf_counter() - started) / count
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / count
    return seconds, size


def memory(address, rollouts):
    """The driver's resident memory as a million rollouts pass."""
    process = psutil.Process()
    settings = ClusterSettings(address=address, replicas=2, cpus_per_replica=0)
    count = rollouts // (PROBLEMS * SAMPLES)
    with SyntheticEngine(settings, TransformersSettings()) as engine:
        engine.load(ModelRef("synthetic"))
        started = time.perf_counter()
        for number, _ in enumerate(engine.stream(chunks(count), SAMPLING), 1):
            if number % max(1, count // 10) == 0:
                held = process.memory_info().rss / 2**20
                done = number * PROBLEMS * SAMPLES
                print(
                    f"{done:>10,} rollouts  {held:7.0f} MiB  {time.perf_counter() - started:5.0f} s"
                )


def scale(driver, storage, size):
    """Chunks a second of each part, by replicas; the smallest is the pace."""
    tokens = PROBLEMS * SAMPLES * TOKENS
    verifying = PROBLEMS * SAMPLES * VERIFY_SECONDS
    print("\nchunks a second; verifying on 16 cores")
    print("replicas  sampling verifying   driver  storing     pace  bottleneck")
    for replicas in (1, 2, 4, 8, 16, 32, 64):
        parts = {
            "sampling": replicas * TOKENS_A_SECOND / tokens,
            "verifying": 16 / verifying,
            "driver": 1 / driver,
            "storing": 1 / storage,
        }
        slowest = min(parts, key=parts.__getitem__)
        pace = parts[slowest]
        rates = "  ".join(f"{rate:7.2f}" for rate in parts.values())
        hours = 10_000_000 / (PROBLEMS * SAMPLES) / pace / 3600
        print(
            f"{replicas:>8}  {rates}  {pace:6.2f}/s  {slowest}; 10 million rollouts {hours:,.1f} h"
        )
    total = 10_000_000 / (PROBLEMS * SAMPLES) * size / 2**30
    print(f"10 million rollouts are {total:,.0f} GiB on disk, with ids and log-probabilities")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    rollouts = parser.parse_args().rollouts
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "object_store_memory": 400 * 2**20,
            "include_dashboard": False,
        },
    )
    direct = direct_seconds_a_chunk()
    print(f"a chunk: {PROBLEMS} problems x {SAMPLES} samples x {TOKENS} tokens")
    print(f"packing and unpacking alone  {1000 * direct:6.1f} ms a chunk")
    over = {}
    for workers in (1, 2, 4):
        over[workers] = seconds_a_chunk(cluster.address, workers)
        print(f"through Ray, {workers} workers      {1000 * over[workers]:6.1f} ms a chunk")
    storage, size = storage_seconds_a_chunk()
    print(f"storing                      {1000 * storage:6.1f} ms a chunk, {size / 2**20:.1f} MiB")
    memory(cluster.address, rollouts)
    scale(over[1], storage, size)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
