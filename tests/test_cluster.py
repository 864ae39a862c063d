"""Work spread over a Ray cluster of two nodes gives what one machine gives, whatever dies."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from data_gen import load_problems, verify
from data_gen.cluster import ClusterError, ClusterSettings
from data_gen.cluster.connection import Connection
from data_gen.cluster.shared_engine import SharedEngine
from data_gen.cluster.tasks import ClusterCalls
from data_gen.samplers import EngineError, ModelSampler
from data_gen.samplers.base import EngineLost, Request
from data_gen.samplers.replica import Replica
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.verifiers.math import MathSettings
from offline_rl.tiny_base import TINY_BASE
from tests.cluster_parts import (
    NODE,
    RUN,
    SAMPLING,
    TRANSFORMERS,
    Bereft,
    BereftEngine,
    Counted,
    Gated,
    Seeded,
    Spread,
    Staffed,
    Suicidal,
    die,
    die_once,
    failed,
    killed,
    parts,
    run_whose_head_is_killed,
)

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, four cores each in name; the settings to use them."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes.add_node(**NODE)
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
    stream = sampler.stream(chunks(), SAMPLING)
    found, first = list(next(stream)), engine._workers[1].actor
    kill(engine._workers[1])
    found.extend(completion for chunk in stream for completion in chunk)
    assert engine._workers[1].actor is not first
    assert alike(found, expected)


def test_workers_that_die_between_two_models_are_started_again(cluster):
    with Staffed(cluster, Spread) as engine:
        engine.load(str(TINY_BASE))
        kill(engine._workers[0])
        engine._workers[1].end()
        engine.load(str(TINY_BASE))
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
        with pytest.raises(ClusterError, match="the cluster lost this work 2 times"):
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
        other._begin(Connection(several))
        actor = other._workers[0]._start()
        assert ray.get(actor.__ray_call__.remote(own_threads)) is None


def own_threads(_):
    return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize("address", ["ray://head", "head", "ray://h:10001/", "h:port", ""])
def test_an_address_without_a_port_is_refused(address):
    with pytest.raises(ValidationError):
        ClusterSettings(address=address)


def kill(worker):
    os.kill(ray.get(worker.actor.__ray_call__.remote(own_pid)), signal.SIGKILL)


def test_a_worker_whose_engine_lost_a_process_is_started_again(cluster, tmp_path):
    one = cluster.model_copy(update={"replicas": 1, "restarts": 1})
    with Staffed(one, Bereft, tmp_path / "note") as engine:
        engine.load(str(TINY_BASE))
        first = engine._workers[0].actor
        assert alike(sampled(engine), sampled(Seeded()))
        assert engine._workers[0].actor is not first


def test_a_worker_that_always_dies_ends_the_sampling_with_a_reason(cluster):
    one = cluster.model_copy(update={"replicas": 1, "restarts": 1})
    with Staffed(one, Suicidal) as engine:
        engine.load(str(TINY_BASE))
        with pytest.raises(EngineError, match="2 workers ended at it"):
            sampled(engine)


def test_what_is_wrong_is_told_once_and_in_words(cluster):
    from data_gen.cluster.engine import RayEngine

    greedy = cluster.model_copy(update={"replicas": 3, "gpus_per_replica": 1, "wait_seconds": 1})
    lack = r"3 x an engine with 1 CPU and 1 GPU each.*place for 0"
    with RayEngine(greedy, TRANSFORMERS) as engine, pytest.raises(ClusterError, match=lack):
        engine.load(str(TINY_BASE))
    free = cluster.model_copy(update={"replicas": 1, "cpus_per_replica": 0})
    absent = "no model folder /nowhere"
    with RayEngine(free, TRANSFORMERS) as engine, pytest.raises(EngineError, match=absent):
        engine.load("/nowhere")


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
    monkeypatch.setattr("data_gen.cluster.worker._TOLD_AFTER_SECONDS", 1)
    whole_node = {"replicas": 1, "cpus_per_replica": 4, "wait_seconds": 3}
    lack = r"waiting for a place for \d s: it needs 4 CPU and 0 GPU; free are \d CPU and 0 GPU of 8"
    told = f"no worker was ready within 3 s: an engine.*{lack}"
    asked = cluster.model_copy(update=whole_node)
    with RayEngine(asked, TRANSFORMERS) as other, pytest.raises(ClusterError, match=told):
        other.load(str(TINY_BASE))
    assert re.search(lack, caplog.text)


def test_a_worker_that_would_sample_otherwise_is_refused(cluster):
    with Staffed(cluster, Spread) as engine:
        engine.load(str(TINY_BASE))
        engine._workers[1]._start = lambda: ray.remote(Spread).remote(32)
        kill(engine._workers[1])
        other = r"node \S+ \(\w+\) would sample otherwise than node \S+ \(\w+\)"
        difference = f"{other}: batch_size '32' instead of '64';"
        with pytest.raises(EngineError, match=difference):
            sampled(engine)
        with pytest.raises(EngineError, match=difference):
            engine.load(str(TINY_BASE))


def test_calls_at_the_same_time_share_an_engine_that_does_not_run_empty():
    began, opened = threading.Event(), threading.Event()
    inner = Gated(began, opened)
    engine = SharedEngine(lambda *_: inner)
    engine.load("any", None, None)
    other = SAMPLING.model_copy(update={"temperature": 0.5})
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(engine.sample, ["a"], SAMPLING)]
        began.wait()
        calls += [threads.submit(engine.sample, [name], SAMPLING) for name in "bcd"]
        calls.append(threads.submit(engine.sample, ["e"], other))
        while len(engine._arrived) < 4:
            time.sleep(0.01)
        opened.set()
        assert [call.result() for call in calls] == [[name] for name in "abcde"]
        assert (inner.most, inner.streams >= 2) == (2, True)
        with pytest.raises(ValueError, match="a broken engine"):
            engine.sample(["fails"], SAMPLING)
        assert engine.sample(["f"], SAMPLING) == ["f"]


@pytest.mark.parametrize(
    ("loss", "reason"), [(killed, "the child process"), (failed, "AttributeError: 'NoneType'")]
)
def test_an_engine_whose_process_has_ended_or_failed_is_lost_to_all_that_ask_it(loss, reason):
    engine = SharedEngine(lambda *_: BereftEngine(loss))
    engine.load(str(TINY_BASE), None, None)
    asked = [Request([0], 1)], SAMPLING
    assert len(engine.sample(*asked)) == 1
    for _ in range(2):
        with pytest.raises(EngineLost, match=f"vLLM cannot sample: {reason}"):
            engine.sample(*asked)


def test_a_model_that_does_not_load_is_not_to_be_loaded_again_elsewhere(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no such driver')")
    options = {"model": "any"}
    with Replica({"PYTHONPATH": str(tmp_path)}) as replica:
        replica.load(options, None)
        with pytest.raises(EngineError, match="vLLM cannot load any: ImportError: no") as caught:
            replica.loaded(options)
    assert not isinstance(caught.value, EngineLost)


def test_a_batch_that_failed_before_a_load_is_not_told_as_the_models_fault():
    options = {"model": "any"}
    with Replica({}) as replica:
        # Without a model, this fails.
        replica.drop(1)
        replica.load(options, None)
        with pytest.raises(EngineLost, match="vLLM cannot sample: AttributeError"):
            replica.loaded(options)


def test_a_cluster_verifies_as_one_machine_does_also_after_a_kill(cluster):
    from data_gen.cluster.verifier import RayVerifier

    pairs = [(f"{n}", f"so \\boxed{{{n + n % 3}}}") for n in range(700)]
    expected = verify(pairs)
    with RayVerifier(cluster, MathSettings(workers=1)) as verifier:
        assert verifier(pairs) == expected
        kill(verifier._workers[0])
        assert verifier(pairs) == expected


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The run without a cluster."""
    from offline_rl import load_experiment, run

    folder = tmp_path_factory.mktemp("local")
    run(load_experiment("demo", RUN), folder)
    return folder


def test_a_run_that_lost_its_head_says_so_and_gives_the_local_run_with_another(
    cluster, local, warm, tmp_path
):
    from offline_rl import load_experiment, run

    code, output = run_whose_head_is_killed(warm, tmp_path)
    assert (code, output.count("error: ")) == (1, 1)
    assert re.search(
        r"\nerror: cluster: the head at \S+ has not answered for 2 s: [^\n]*\n", output
    )
    assert "Traceback" not in output
    kept = {part.name: part.stat().st_mtime_ns for part in parts(tmp_path)}
    assert 0 < len(kept) < len(parts(local))
    one = cluster.model_copy(update={"replicas": 1})
    report = run(load_experiment("demo", [*RUN, with_trainings(one)]), tmp_path)
    assert not report.failures
    # Clock readings stand in training.csv, and the page repeats some of them.
    for name in ("comparison.csv", "pairwise.csv", "seeds.csv", "samples.csv.gz", "data.csv"):
        assert (local / "report" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()
    for file in [*parts(local), *weights(local)]:
        assert file.read_bytes() == (tmp_path / file.relative_to(local)).read_bytes()
    now = {part.name: part.stat().st_mtime_ns for part in parts(tmp_path)}
    assert kept.items() <= now.items()


def with_trainings(cluster):
    return f"cluster={ ({**cluster.model_dump(), 'trainings': 2}) }"


def weights(folder):
    return sorted(folder.glob("models/*/*/*.safetens*"))


def test_several_processes_train_on_a_node_what_they_train_here(cluster, local, tmp_path):
    from offline_rl import load_experiment, run

    launched = [*RUN, "seeds=[0]", "training.steps=3", "training.launch={processes: 2}"]
    absurd = "methods={rft: {}, absurd: {kind: rft, training: {lr: 1e30, launch: null}}}"
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, more in ((here, []), (there, [absurd, with_trainings(cluster)])):
        shutil.copytree(local, folder)
        run(load_experiment("demo", [*launched, *more]), folder, until="train")
    weights = "models/rft/seed-0/model.safetensors"
    assert (here / weights).read_bytes() == (there / weights).read_bytes()
    assert (here / weights).read_bytes() != (local / weights).read_bytes()
    reason = json.loads((there / "models/absurd/seed-0/failure.json").read_text())["reason"]
    assert re.fullmatch(r"the (loss|gradient norm) is nan at step 2 \(rollouts .*\)", reason)


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


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (
            {"gpus_per_training": 1, "wait_seconds": 1},
            r"1 x a training with 1 CPU and 1 GPU.*place for 0",
        ),
        ({"restarts": 0}, "the cluster lost this work 1 times"),
    ],
)
def test_what_a_cluster_lacks_is_no_fault_of_the_method(
    cluster, local, tmp_path, monkeypatch, lacking, reason
):
    from offline_rl import load_experiment, run

    monkeypatch.setattr("offline_rl.training.train", die)
    shutil.copytree(local, tmp_path / "run")
    settings = f"cluster={ ({**cluster.model_dump(), 'verifiers': 0, 'trainings': 1, **lacking}) }"
    with pytest.raises(ClusterError, match=reason):
        run(load_experiment("demo", [*RUN, "training.steps=4", settings]), tmp_path / "run")
    assert not list(tmp_path.rglob("failure.json"))


def test_a_local_run_imports_nothing_of_ray(warm, tmp_path):
    told = ["run", "demo", *RUN, "problems.limit=40", "seeds=[0]", "--out", tmp_path / "run"]
    warm.run(told, absent=["ray"])
    assert (tmp_path / "run/report/comparison.csv").exists()
