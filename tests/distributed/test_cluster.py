"""Work spread over a Ray cluster of two nodes gives what one machine gives, whatever dies."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_gen import load_problems, verify
from data_gen.cluster import ClusterError
from data_gen.cluster.tasks import ClusterCalls
from data_gen.model_ref import ModelRef
from data_gen.samplers import EngineError, ModelSampler
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE
from tests.helpers.cluster import (
    SAMPLING,
    TRANSFORMERS,
    Bereft,
    Changing,
    Counted,
    Seeded,
    Spread,
    Staffed,
    Suicidal,
    die,
    die_once,
)

LOST = r"the cluster lost this work \(cluster\.restarts: 1\)"
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")


@pytest.fixture(scope="module")
def engine(cluster):
    from data_gen.cluster.engine import RayEngine

    with RayEngine(cluster, TRANSFORMERS) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        yield engine


def chunks():
    problems = load_problems("arithmetic", "test", limit=40)
    return [problems[start : start + 5] for start in range(0, 40, 5)]


def sampled(engine, **changes):
    sampler = ModelSampler(engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
    sampling = SAMPLING.model_copy(update=changes)
    return [completion for chunk in sampler.stream(chunks(), sampling) for completion in chunk]


def alike(first, second):
    return [(c.text, list(c.tokens), list(c.logps)) for c in first] == [
        (c.text, list(c.tokens), list(c.logps)) for c in second
    ]


def test_a_cluster_samples_what_one_machine_samples(engine, transformers_engine):
    transformers_engine.load(ModelRef(str(TINY_BASE)))
    assert alike(sampled(engine), sampled(transformers_engine))
    where = [worker.actor.__ray_call__.remote(own_node) for worker in engine._workers.all]
    assert len(set(ray.get(where))) == 2


def own_node(_):
    return ray.get_runtime_context().get_node_id()


def own_pid(_):
    return os.getpid()


def test_a_chunk_whose_worker_is_killed_is_sampled_again_by_another(engine, transformers_engine):
    transformers_engine.load(ModelRef(str(TINY_BASE)))
    expected = sampled(transformers_engine)
    sampler = ModelSampler(engine, load_tokenizer(ModelRef(str(TINY_BASE))), "raw")
    stream = sampler.stream(chunks(), SAMPLING)
    found, worker = list(next(stream)), engine._workers.all[1]
    killed = kill(worker)
    found.extend(completion for chunk in stream for completion in chunk)
    assert pid(worker) != killed
    assert alike(found, expected)


def test_workers_that_die_between_two_models_are_started_again(cluster):
    with Staffed(cluster, Spread) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        for worker in engine._workers.all:
            kill(worker)
        engine.load(ModelRef(str(TINY_BASE)))
        assert alike(sampled(engine), sampled(Seeded()))


def test_work_that_is_stopped_ends_at_once(cluster):
    stopped = threading.Event()
    with ClusterCalls(cluster, stopped) as call, ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(call, time.sleep, 600) for _ in range(2)]
        time.sleep(2)
        assert not any(call.done() for call in calls)
        stopped.set()
        for call in calls:
            assert isinstance(call.exception(timeout=60), ClusterError)


def test_lost_work_is_done_again_with_what_was_sent_once(cluster, tmp_path):
    patient = cluster.model_copy(update={"restarts": 1})
    with ClusterCalls(patient, threading.Event()) as call:
        value = call.shared(Counted())
        assert call(die_once, tmp_path / "note", value) == 7
        assert call(abs, value) == 7
        assert Counted.times == 1
        with pytest.raises(ClusterError, match=LOST):
            call(die)


def test_work_on_a_node_is_told_of_threads_what_this_process_is(cluster, engine, monkeypatch):
    from data_gen.cluster.engine import RayEngine

    several = cluster.model_copy(update={"cpus_per_training": 2, "cpus_per_replica": 2})
    for threads in ("3", None):
        if threads is None:
            monkeypatch.delenv("OMP_NUM_THREADS")
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
        with ClusterCalls(several, threading.Event()) as call:
            assert call(os.getenv, "OMP_NUM_THREADS") == threads
    with RayEngine(several, TRANSFORMERS) as other:
        other.load(ModelRef(str(TINY_BASE)))
        actor = other._workers.all[0].actor
        assert ray.get(actor.__ray_call__.remote(own_threads)) is None


def own_threads(_):
    return os.environ.get("OMP_NUM_THREADS")


def pid(worker):
    return ray.get(worker.actor.__ray_call__.remote(own_pid))


def kill(worker):
    killed = pid(worker)
    os.kill(killed, signal.SIGKILL)
    return killed


def test_an_engine_that_lost_a_process_loads_its_model_again(cluster):
    one = cluster.model_copy(update={"replicas": 1, "restarts": 1})
    with Staffed(one, Bereft, False) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        assert alike(sampled(engine), sampled(Seeded()))
    with Staffed(one, Bereft, True) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        with pytest.raises(EngineError, match="vLLM cannot sample: the child process"):
            sampled(engine)


def test_a_worker_that_always_dies_ends_the_sampling_with_a_reason(cluster):
    one = cluster.model_copy(update={"replicas": 1, "restarts": 1})
    with Staffed(one, Suicidal) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        with pytest.raises(ClusterError, match=LOST):
            sampled(engine)


def test_what_is_wrong_is_told_once_and_in_words(cluster):
    from data_gen.cluster.engine import RayEngine

    greedy = cluster.model_copy(update={"replicas": 3, "gpus_per_replica": 1, "wait_seconds": 1})
    lack = r"an engine has been waiting .*: it needs 1 CPU and 1 GPU; free are \d CPU and 0 GPU"
    with RayEngine(greedy, TRANSFORMERS) as engine, pytest.raises(ClusterError, match=lack):
        engine.load(ModelRef(str(TINY_BASE)))
    free = cluster.model_copy(update={"replicas": 1, "cpus_per_replica": 0})
    absent = "no model folder /nowhere"
    with RayEngine(free, TRANSFORMERS) as engine, pytest.raises(EngineError, match=absent):
        engine.load(ModelRef("/nowhere"))


def test_a_wait_for_others_to_free_a_place_is_told(cluster, engine, caplog, monkeypatch):
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

    from data_gen.cluster.engine import RayEngine

    holders = [
        ray.remote(Suicidal)
        .options(num_cpus=1, scheduling_strategy=OnNode(node["NodeID"], soft=False))
        .remote()
        for node in ray.nodes()
    ]
    ray.get([holder.__ray_ready__.remote() for holder in holders])
    monkeypatch.setattr("data_gen.cluster.workers._WARN_AFTER_SECONDS", 1)
    whole_node = {"replicas": 1, "cpus_per_replica": 4, "wait_seconds": 3}
    lack = r"waiting for a place for \d s: it needs 4 CPU and 0 GPU; free are \d CPU and 0 GPU of 8"
    asked = cluster.model_copy(update=whole_node)
    with RayEngine(asked, TRANSFORMERS) as other, pytest.raises(ClusterError, match=lack):
        other.load(ModelRef(str(TINY_BASE)))
    assert re.search(lack, caplog.text)


def test_a_worker_that_would_sample_otherwise_is_refused(cluster, tmp_path):
    note = tmp_path / "note"
    with Staffed(cluster, Changing, note) as engine:
        engine.load(ModelRef(str(TINY_BASE)))
        note.touch()
        kill(engine._workers.all[1])
        other = r"node \S+ \(\w+\) would sample otherwise than node \S+ \(\w+\)"
        difference = f"{other}: batch_size '32' instead of '64';"
        with pytest.raises(EngineError, match=difference):
            sampled(engine)
        with pytest.raises(EngineError, match=difference):
            engine.load(ModelRef(str(TINY_BASE)))


def test_a_cluster_verifies_as_one_machine_does_also_after_a_kill(cluster):
    from data_gen.cluster.verifier import RayVerifier

    pairs = [(f"{n}", f"so \\boxed{{{n + n % 3}}}") for n in range(700)]
    expected = verify(pairs)
    with RayVerifier(cluster, MathSettings(workers=1)) as verifier:
        assert verifier(pairs) == expected
        kill(verifier._workers.all[0])
        assert verifier(pairs) == expected


def test_threads_that_are_the_first_to_use_the_cluster_connect_once(cluster):
    script = (
        "from concurrent.futures import ThreadPoolExecutor as Threads\n"
        "from threading import Event\n"
        "from data_gen.cluster import ClusterSettings\n"
        "from data_gen.cluster.tasks import ClusterCalls\n"
        f"cluster = ClusterSettings(address={cluster.address!r}, cpus_per_training=0)\n"
        "def call(n):\n"
        "    with ClusterCalls(cluster, Event()) as calls:\n"
        "        return calls(abs, n)\n"
        "with Threads(2) as threads:\n"
        "    assert list(threads.map(call, [-1, -2])) == [1, 2]\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
