"""Clusters whose heads are killed and started again, and the processes that had known them."""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import repeat
from threading import Event

from data_gen.cluster import connection
from data_gen.cluster.actors import Loaded
from data_gen.cluster.engine import RayEngine
from data_gen.cluster.tasks import ClusterCalls
from data_gen.cluster.verifier import RayVerifier
from data_gen.model_ref import ModelRef
from data_gen.samplers import TransformersSettings
from data_gen.samplers.wire import pack_samples
from data_gen.types import Sampling
from data_gen.verifiers.math import MathSettings

# In a process of its own: Ray ends those that have known a head a minute after that was killed.
# Ray may also end a process without a word where what serves its machine dies with the head.
HEAD = """
import os, sys
# A head's servers for its clients end at random with it (a try more takes 40 s).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
from ray.cluster_utils import Cluster
from tests.helpers.cluster import NODE

ports = dict(zip(("gcs_server_port", "ray_client_server_port"), map(int, sys.argv[1:])))
head = {**NODE, **ports, "include_dashboard": False}
nodes = Cluster(initialize_head=True, head_node_args=head)
print(nodes.address, flush=True)
input()
nodes.head_node.kill_gcs_server(check_alive=False)
print("the head is gone", flush=True)
input()
nodes.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
"""

# What each does between two lines that it reads is in the words of the tests.
DRIVER = """
import os, sys
what, address, other = sys.argv[1:]
# Ray's own patience, in place of a minute.
os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = "60" if what == "anew" else "12"
os.environ["RAY_CLIENT_RECONNECT_GRACE_PERIOD"] = "5"
from contextlib import ExitStack
from data_gen.cluster import ClusterError, head
from data_gen.cluster.connection import connected

def told(work, *arguments):
    try:
        work(*arguments)
    except ClusterError as error:
        print("told:", error, flush=True)

def used(address):
    with connected(address):
        pass

head._HEAD_SECONDS = 60 if what == "anew" else 2
stack = ExitStack()
first = stack.enter_context(connected(address))
put, get, initialized = first.ray.put, first.ray.get, first.ray.is_initialized
one = first.ask(put, 1)
assert first.ask(get, one) == 1
if what == "closed":
    told(used, other)
    stack.close()
print("ready", flush=True)
input()
if what != "closed":
    told(first.ask, put, 2)
    told(first.is_done, one)
    told(used, address)
    assert os.environ["RAY_ENABLE_AUTO_CONNECT"] == "0"
    stack.close()
    assert not initialized()
if what in ("closed", "idle"):
    with connected(other) as second:
        print("and then:", second.ask(second.ray.get, second.ask(second.ray.put, 2)), flush=True)
"""


class Process:
    """A script that prints lines and goes on when it is told."""

    def __init__(self, script, *arguments, **pipes):
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **pipes,
        )

    def line(self):
        return self.process.stdout.readline().strip()

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def end(self):
        """The exit code and what was left to be read."""
        output, _ = self.process.communicate("\n\n", timeout=120)
        return self.process.returncode, output


def free_port():
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


def drivers_whose_head_is_killed():
    """What those said, by name; all but the client knew the head that is killed first."""
    # Where Ray's own workers look for ports of theirs, a client's server is not to be.
    client_port = next(port for port in iter(free_port, None) if not 10_002 <= port <= 19_999)
    with ExitStack() as stack:
        enter = stack.enter_context
        first, second = (enter(Process(HEAD, *ports)) for ports in ([], [free_port(), client_port]))
        address, other = first.line(), second.line()
        names = {"idle": address, "closed": address, "anew": address}
        names["client"] = f"ray://{other.rpartition(':')[0]}:{client_port}"
        drivers = {
            name: enter(Process(DRIVER, name, at, other, stderr=subprocess.STDOUT))
            for name, at in names.items()
        }
        said = dict.fromkeys(drivers, "")
        for name, driver in drivers.items():
            while driver.process.poll() is None and (line := driver.line()) != "ready":
                said[name] += f"{line}\n"
        first.go_on()
        assert first.line() == "the head is gone", said
        time.sleep(16)
        ends = {name: drivers[name].end() for name in ("idle", "closed")}
        anew = enter(Process(HEAD, address.rpartition(":")[2]))
        assert anew.line() == address, said
        ends["anew"] = drivers["anew"].end()
        for head in (first, anew, second):
            head.end()
        ends["client"] = drivers["client"].end()
        return {name: (code, said[name] + rest) for name, (code, rest) in ends.items()}


_ANSWERS = {
    "load": Loaded("a node", {}, 256),
    "sample": pack_samples([[]]),
    "__ray_ready__": True,
    "verify": [None],
    "call": 1,
}


class ScriptedRay:
    """In place of the `ray` module: a cluster whose actors answer at once."""

    def __init__(self, exceptions):
        self.exceptions = exceptions
        self.connected, self.reachable, self.finished = True, True, True
        self.start_error = self.end_error = None
        self.unguarded, self.ended = [], 0

    def asked(self, what):
        """What is asked while the connection may be left could start another cluster."""
        if not (self.connected and connection._current._asking):
            self.unguarded.append(what)

    def remote(self, _):
        return ScriptedActor(self)

    def wait(self, references, timeout):
        self.asked("wait")
        return (references, []) if self.finished else ([], references)

    def get(self, reference):
        self.asked("get")
        return _ANSWERS[reference]

    def put(self, _):
        self.asked("put")

    def kill(self, *_, **__):
        self.asked("kill")
        self.ended += 1
        if self.end_error is not None:
            raise self.end_error

    def shutdown(self):
        self.connected = False


class ScriptedActor:
    """A class of actors, an actor, and a method of it."""

    def __init__(self, ray, method="start"):
        self._ray, self._method = ray, method

    def options(self, **_):
        return self

    def __getattr__(self, method):
        return ScriptedActor(self._ray, method)

    def remote(self, *_):
        self._ray.asked(self._method)
        if self._method == "start" and self._ray.start_error is not None:
            raise self._ray.start_error
        return self if self._method == "start" else self._method


def sampling(cluster):
    with RayEngine(cluster, TransformersSettings()) as engine:
        engine.load(ModelRef("a model"))
        yield from engine.stream(repeat([]), Sampling())


def loading(cluster):
    with RayEngine(cluster, TransformersSettings()) as engine:
        while True:
            yield engine.load(ModelRef("a model"))


def verifying(cluster):
    with RayVerifier(cluster, MathSettings()) as verify:
        while True:
            yield verify([("1", "1")])


def calling(cluster):
    with ClusterCalls(cluster, Event()) as call:
        while True:
            call.shared(1)
            yield call(abs, -1)
