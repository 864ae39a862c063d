"""What the tests of the cluster are made of."""

import os
import random
import signal
import time
from array import array

from data_gen.cluster.actors import EngineActor, Loaded, own_threads
from data_gen.cluster.connection import LOOK_SECONDS
from data_gen.cluster.engine import RayEngine
from data_gen.cluster.shared_engine import SharedEngine
from data_gen.cluster.workers import Workers
from data_gen.samplers import EngineError, TransformersSettings
from data_gen.samplers.base import Engine, Sample
from data_gen.samplers.replica import Replica
from data_gen.types import Sampling
from tests.helpers.cluster_heads import HEAD, Process

TRANSFORMERS = TransformersSettings(dtype="float32", batch_size=64)
SAMPLING = Sampling(samples=2, max_tokens=24)
# Four parts of rollouts.
RUN = [
    "problems.limit=800",
    "sampling.samples=2",
    "sampler=transformers",
    "training.steps=2",
    "training.examples_per_step=8",
    "seeds=[0,1]",
    "methods={rft: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 10}}",
]
NODE = {"num_cpus": 4, "object_store_memory": 80 * 2**20}


class Suicidal:
    """An actor that ends with its first chunk."""

    def load(self, *_):
        return Loaded("a node", {}, 256)

    def sample(self, *_):
        os.kill(os.getpid(), 9)


class Staffed(RayEngine):
    """Workers of a given kind."""

    def __init__(self, cluster, actor, *told):
        super().__init__(cluster, TRANSFORMERS)
        self._actor, self._told = actor, told

    def _started(self):
        cluster = self._cluster
        needs = {"CPU": 0}
        return Workers(cluster, cluster.replicas, "an engine", needs, self._actor, *self._told)


class Seeded(Engine):
    """Answers at once, as the tokens and the seed of a request decide."""

    def __init__(self, batch_size=64):
        self._batch_size = batch_size

    def load(self, *_):
        pass

    def stream(self, batches, sampling):
        for batch in batches:
            yield [
                [answer(request.tokens, request.seed + j) for j in range(sampling.samples)]
                for request in batch
            ]

    @property
    def description(self):
        return {"engine": "seeded", "batch_size": str(self._batch_size)}

    @property
    def context_tokens(self):
        return 256

    def close(self):
        pass


def answer(tokens, seed):
    chance = random.Random(f"{list(tokens)}/{seed}")
    ids = [chance.randrange(300) for _ in range(20)]
    return Sample(array("i", ids), array("f", [-chance.random() for _ in ids]), str(ids), "stop")


class Spread(EngineActor):
    """Holds a Seeded engine."""

    def __init__(self, batch_size=64):
        super().__init__(TRANSFORMERS, own_threads())
        self._engine = SharedEngine(lambda *_: Seeded(batch_size))


class Changing(Spread):
    """Those that are started when `note` is there would sample otherwise."""

    def __init__(self, note):
        super().__init__(32 if note.exists() else 64)


def die(*_, **__):
    os.kill(os.getpid(), 9)


def die_once(note, value):
    """Gives `value` where `note` is there, and else dies for having made it."""
    if not note.exists():
        note.touch()
        die()
    return value


class Counted:
    """Counts how often it is pickled."""

    times = 0

    def __reduce__(self):
        Counted.times += 1
        return int, (7,)


class Gated(Engine):
    """Keeps two batches inside, answers with the requests, and each time waits for `opened`."""

    def __init__(self, began, opened):
        self.began, self.opened = began, opened
        self.most, self.streams = 0, 0

    def load(self, *_):
        pass

    def stream(self, batches, sampling):
        self.streams += 1
        source, inside = iter(batches), []
        while True:
            while len(inside) < 2 and (batch := next(source, None)) is not None:
                inside.append(batch)
            if not inside:
                return
            self.most = max(self.most, len(inside))
            self.began.set()
            self.opened.wait()
            if inside[0] == ["fails"]:
                raise ValueError("a broken engine")
            yield inside.pop(0)

    @property
    def description(self):
        return {}

    @property
    def context_tokens(self):
        return 1

    def close(self):
        pass


def killed(process):
    os.kill(process.pid, 9)


def failed(process):
    """It stays alive and tells of an error: no model is loaded that has anything to be dropped."""
    process.drop(1)


class BereftEngine(Seeded):
    """Has a process as vLLM's beside it, whose loss after a batch is its own.

    With a model loaded again it is as usual, unless it `always` loses its process.
    """

    def __init__(self, loss=killed, always=False):
        super().__init__()
        self._loss = loss
        self._always = always
        self._process = Replica({})
        self._answered = 0

    def load(self, *_):
        self._answered = 1 if self._always else -1000
        self._process = Replica({}) if self._always else None

    def stream(self, batches, sampling):
        for batch in batches:
            if self._answered > 0:
                self._lose()
            self._answered += 1
            yield from super().stream([batch], sampling)

    def _lose(self):
        if self._process is None:
            raise EngineError("no model is loaded")
        process, self._process = self._process, None
        with process:
            self._loss(process)
            process.answers(2)


class Bereft(Spread):
    """Holds a BereftEngine."""

    def __init__(self, always):
        super().__init__()
        self._engine = SharedEngine(lambda *_: BereftEngine(always=always))


def run_whose_head_is_killed(warm, folder):
    """Begins RUN on a cluster of its own and kills that with the first part; code and output."""
    with Process(HEAD) as head:
        settings = f"cluster={{address: '{head.line()}'}}"
        told = ["run", "demo", *RUN, settings, "--out", folder]
        started = warm.start(told, scripted=False, head_seconds=2)
        end = time.monotonic() + 300
        while not parts(folder) and time.monotonic() < end:
            time.sleep(0.01)
        # It would be through in less time than lies between two looks at the head.
        os.kill(started.pid, signal.SIGSTOP)
        head.go_on()
        head.line()
        time.sleep(LOOK_SECONDS)
        os.kill(started.pid, signal.SIGCONT)
        ended = started.wait()
        head.end()
    return ended


def parts(folder):
    return sorted(folder.glob("rollouts*/part-*.parquet"))
