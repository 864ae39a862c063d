"""What the tests of the cluster are made of."""

import os
import subprocess
import sys
import time

from data_gen.samplers import TransformersSettings
from data_gen.samplers.base import Engine
from data_gen.types import Sampling

TRANSFORMERS = TransformersSettings(dtype="float32", batch_size=64)
SAMPLING = Sampling(samples=2, max_tokens=24)
# Five parts of rollouts.
RUN = [
    "problems.limit=1100",
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
        return {}, 256

    def sample(self, *_):
        os.kill(os.getpid(), 9)


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


IMPATIENT = """
import data_gen.cluster.connection as connection
from offline_rl.cli import main

connection._HEAD_SECONDS = 2
main()
"""

# In a process of its own: Ray ends those that have known a head a minute after that was killed.
HEAD = """
from ray.cluster_utils import Cluster
from tests.cluster_parts import NODE

nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
print(nodes.address, flush=True)
input()
# Ray may end a process without a word where what serves that machine dies with the head.
nodes.head_node.kill_gcs_server(check_alive=False)
input()
nodes.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
"""


def run_whose_head_is_killed(folder):
    """Begins RUN on a cluster of its own and kills that with the first part; code and output."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HEAD], **pipes) as head:
        settings = f"cluster={{address: '{head.stdout.readline().strip()}'}}"
        command = [sys.executable, "-P", "-c", IMPATIENT, "run", "demo", *RUN, settings]
        with subprocess.Popen(
            [*command, "--out", str(folder)],
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **pipes,
        ) as process:
            while process.poll() is None and not parts(folder):
                time.sleep(0.01)
            head.stdin.write("kill the head\n")
            head.stdin.flush()
            output, _ = process.communicate(timeout=120)
        head.communicate("kill the rest\n")
    return process.returncode, output


def parts(folder):
    return sorted(folder.glob("rollouts*/part-*.parquet"))
