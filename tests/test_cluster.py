"""Work spread over a Ray cluster of two nodes gives what one machine gives, whatever dies."""

import os
import signal

import pytest

from data_gen import load_problems, verify
from data_gen.cluster import ClusterSettings
from data_gen.samplers import EngineError, ModelSampler, TransformersSettings
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import Sampling
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")

TRANSFORMERS = TransformersSettings(dtype="float32", batch_size=64)
SAMPLING = Sampling(samples=2, max_tokens=24)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, four cores each in name; the settings to use them."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {
        "num_cpus": 4,
        "object_store_memory": 80 * 2**20,
    }
    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.add_node(**node)
    nodes.wait_for_nodes()
    yield ClusterSettings(address=nodes.address, replicas=2, verifiers=1, wait_seconds=120)
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def engine(cluster):
    from data_gen.cluster.engine import RayEngine

    with RayEngine(cluster, TRANSFORMERS) as engine:
        engine.load(str(TINY_BASE))
        yield engine


def chunks():
    problems = load_problems("arithmetic", "test", limit=40)
    return [problems[start : start + 5] for start in range(0, 40, 5)]


def sampled(engine, **changes):
    sampler = ModelSampler(engine, load_tokenizer(str(TINY_BASE)), "raw")
    sampling = SAMPLING.model_copy(update=changes)
    return [completion for chunk in sampler.stream(chunks(), sampling) for completion in chunk]


def alike(first, second):
    return [(c.text, list(c.tokens), list(c.logps)) for c in first] == [
        (c.text, list(c.tokens), list(c.logps)) for c in second
    ]


def test_a_cluster_samples_what_one_machine_samples(engine, transformers_engine):
    transformers_engine.load(str(TINY_BASE))
    assert alike(sampled(engine), sampled(transformers_engine))
    where = [worker.actor.__ray_call__.remote(own_node) for worker in engine._workers]
    assert len(set(ray.get(where))) == 2


def own_node(_):
    return ray.get_runtime_context().get_node_id()


def own_pid(_):
    return os.getpid()


def test_a_chunk_whose_worker_is_killed_is_sampled_again_by_another(engine, transformers_engine):
    transformers_engine.load(str(TINY_BASE))
    expected = sampled(transformers_engine)
    sampler = ModelSampler(engine, load_tokenizer(str(TINY_BASE)), "raw")
    found, killed = [], 0
    for number, chunk in enumerate(sampler.stream(chunks(), SAMPLING)):
        found.extend(chunk)
        if number in (0, 3):
            kill(engine._workers[number % 2])
            killed += 1
    assert killed == 2
    assert alike(found, expected)


def kill(worker):
    os.kill(ray.get(worker.actor.__ray_call__.remote(own_pid)), signal.SIGKILL)


def test_a_worker_that_always_dies_ends_the_sampling_with_a_reason(cluster):
    from data_gen.cluster.engine import RayEngine

    one = cluster.model_copy(update={"replicas": 1, "restarts": 1, "cpus_per_replica": 0})
    with RayEngine(one, TRANSFORMERS) as engine:
        engine.load(str(TINY_BASE))
        stream = ModelSampler(engine, load_tokenizer(str(TINY_BASE)), "raw").stream(
            chunks(), SAMPLING
        )
        next(stream)
        engine._workers[0]._start = lambda: ray.remote(Suicidal).remote()
        kill(engine._workers[0])
        with pytest.raises(EngineError, match="2 workers ended at it"):
            list(stream)


class Suicidal:
    def load(self, *_):
        return {}, 256

    def sample(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_wrong_is_told_once_and_in_words(cluster):
    from data_gen.cluster.engine import RayEngine

    greedy = cluster.model_copy(update={"cpus_per_replica": 64, "wait_seconds": 2})
    with pytest.raises(EngineError, match="no worker was ready within 2 s"):
        RayEngine(greedy, TRANSFORMERS).load(str(TINY_BASE))
    with pytest.raises(EngineError, match="no model folder /nowhere"):
        RayEngine(cluster.model_copy(update={"cpus_per_replica": 0}), TRANSFORMERS).load("/nowhere")


def test_a_cluster_verifies_as_one_machine_does_also_after_a_kill(cluster):
    from data_gen.cluster.verifier import RayVerifier

    pairs = [(f"{n}", f"so \\boxed{{{n + n % 3}}}") for n in range(700)]
    expected = verify(pairs)
    with RayVerifier(cluster, MathSettings(workers=1)) as verifier:
        assert verifier(pairs) == expected
        kill(verifier._workers[0])
        assert verifier(pairs) == expected


RUN = [
    "problems.limit=24",
    "sampling.samples=4",
    "sampler=transformers",
    "training.steps=2",
    "training.examples_per_step=8",
    "seeds=[0,1]",
    "methods={rft: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 10}}",
]


def test_a_run_on_the_cluster_gives_the_local_run_to_the_byte(cluster, tmp_path):
    from offline_rl import load_experiment, run

    spread = {**cluster.model_dump(), "trainings": 2}
    local, there = tmp_path / "local", tmp_path / "there"
    run(load_experiment("demo", RUN), local)
    report = run(load_experiment("demo", [*RUN, f"cluster={spread}"]), there)
    assert not report.failures
    # Clock readings stand in training.csv, and the page repeats some of them.
    for name in ("comparison.csv", "pairwise.csv", "seeds.csv", "samples.csv.gz", "data.csv"):
        assert (local / "report" / name).read_bytes() == (there / "report" / name).read_bytes()
    for part in sorted(local.glob("rollouts/part-*")) + sorted(
        local.glob("models/*/*/*.safetens*")
    ):
        assert part.read_bytes() == (there / part.relative_to(local)).read_bytes()


def test_a_local_run_imports_nothing_of_ray():
    import subprocess
    import sys

    script = (
        "import sys, offline_rl.experiment, offline_rl.reports, data_gen.cluster;"
        " sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
