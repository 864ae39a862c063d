"""An engine that several callers share, and the loss of a process of its own."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from data_gen.cluster import ClusterSettings
from data_gen.cluster.shared_engine import SharedEngine
from data_gen.samplers import EngineError
from data_gen.samplers.base import EngineLost, Request
from data_gen.samplers.replica import Replica
from offline_rl.tiny_base import TINY_BASE
from tests.helpers.cluster import SAMPLING, BereftEngine, Gated, failed, killed


@pytest.mark.parametrize("address", ["ray://head", "head", "ray://h:10001/", "h:port", ""])
def test_an_address_without_a_port_is_refused(address):
    with pytest.raises(ValidationError):
        ClusterSettings(address=address)


def test_calls_at_the_same_time_share_an_engine_that_does_not_run_empty():
    began, opened = threading.Event(), threading.Event()
    inner = Gated(began, opened)
    engine = SharedEngine(inner)
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
    engine = SharedEngine(BereftEngine(loss))
    asked = [Request([0], 1)], SAMPLING
    assert len(engine.sample(*asked)) == 1
    for _ in range(2):
        with pytest.raises(EngineLost, match=f"vLLM cannot sample: {reason}"):
            engine.sample(*asked)
    engine.load(str(TINY_BASE), None, None)
    assert len(engine.sample(*asked)) == 1


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
