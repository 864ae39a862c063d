"""An engine that several callers share, and the loss of a process of its own."""

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from data_gen.cluster import ClusterSettings
from data_gen.cluster.shared_engine import ModelLoad, SharedEngine
from data_gen.model_ref import ModelRef
from data_gen.samplers import EngineError
from data_gen.samplers.base import EngineLost, Request
from data_gen.samplers.replica import Replica
from tests.helpers.cluster import SAMPLING, BereftEngine, Gated, Seeded, failed, killed

MODEL = ModelLoad(1, ModelRef("any"))


@pytest.mark.parametrize("address", ["ray://head", "head", "ray://h:10001/", "h:port", ""])
def test_an_address_without_a_port_is_refused(address):
    with pytest.raises(ValidationError):
        ClusterSettings(address=address)


def test_calls_at_the_same_time_share_an_engine_that_does_not_run_empty():
    began, opened = threading.Event(), threading.Event()
    inner = Gated(began, opened)
    engine = SharedEngine(lambda _: inner)
    other = SAMPLING.model_copy(update={"temperature": 0.5})
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(engine.sample, MODEL, ["a"], SAMPLING)]
        began.wait()
        calls += [threads.submit(engine.sample, MODEL, [name], SAMPLING) for name in "bcd"]
        calls.append(threads.submit(engine.sample, MODEL, ["e"], other))
        while len(engine._arrived) < 4:
            time.sleep(0.01)
        opened.set()
        assert [call.result() for call in calls] == [[name] for name in "abcde"]
        assert (inner.most, inner.streams >= 2) == (2, True)
        with pytest.raises(ValueError, match="a broken engine"):
            engine.sample(MODEL, ["fails"], SAMPLING)
        assert engine.sample(MODEL, ["f"], SAMPLING) == ["f"]


@pytest.mark.parametrize(
    ("loss", "reason"), [(killed, "the child process"), (failed, "AttributeError: 'NoneType'")]
)
def test_an_engine_whose_process_has_ended_or_failed_loads_its_model_again(loss, reason):
    engine = SharedEngine(lambda _: BereftEngine(loss))
    asked = MODEL, [Request([0], 1)], SAMPLING
    assert len(engine.sample(*asked)) == 1
    with pytest.raises(EngineLost, match=f"vLLM cannot sample: {reason}"):
        engine.sample(*asked)
    assert len(engine.sample(*asked)) == 1


def test_chunks_are_done_before_another_model_and_none_of_an_earlier_one_after_it():
    loaded = []

    class Named(Seeded):
        def load(self, model):
            if model.path == "broken":
                raise EngineError("no such model")
            loaded.append(model.path)

    engine = SharedEngine(lambda model: Named(loaded.append(model.path) or 64))
    asked = [Request([0], 1)], SAMPLING
    models = [ModelLoad(n, ModelRef(name)) for n, name in enumerate(("a", "broken", "b"))]
    for model in models:
        if model.model.path == "broken":
            with pytest.raises(EngineError, match="no such model"):
                engine.sample(model, *asked)
        else:
            engine.load(model)
            assert len(engine.sample(model, *asked)) == 1
    with pytest.raises(CancelledError):
        engine.sample(models[0], *asked)
    assert len(engine.sample(models[2], *asked)) == 1
    assert loaded == ["a", "b"]


def test_a_model_that_does_not_load_is_not_to_be_loaded_again_elsewhere(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no such driver')")
    with Replica({"PYTHONPATH": str(tmp_path)}) as replica:
        replica.load(ModelRef("any"), {})
        with pytest.raises(EngineError, match="vLLM cannot load any: ImportError: no") as caught:
            replica.loaded()
    assert not isinstance(caught.value, EngineLost)


def test_a_batch_that_failed_before_a_load_is_not_told_as_the_models_fault():
    with Replica({}) as replica:
        # Without a model, this fails.
        replica.drop(1)
        replica.load(ModelRef("any"), {})
        with pytest.raises(EngineLost, match="vLLM cannot sample: AttributeError"):
            replica.loaded()
