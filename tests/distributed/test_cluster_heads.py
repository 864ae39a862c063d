"""A process that has known a cluster outlives its head, and says in one line what is wrong."""

import os
import re
import sys
import time
from threading import Event

import pytest

from data_gen.cluster import ClusterError, ClusterSettings, connection, head
from data_gen.cluster.tasks import ClusterCalls
from tests.helpers.cluster_heads import (
    ScriptedRay,
    calling,
    drivers_whose_head_is_killed,
    loading,
    sampling,
    verifying,
)

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")

CLUSTER = ClusterSettings(address="ray://host:10001", replicas=2, verifiers=2)
every_use = pytest.mark.parametrize("use", [sampling, loading, verifying, calling])


@pytest.fixture(scope="module")
def drivers():
    return drivers_whose_head_is_killed()


def told(output):
    return re.findall(r"^told: (.*)$", output, re.MULTILINE)


def test_a_process_that_was_idle_when_the_head_died_is_told_so_when_it_asks(drivers):
    code, output = drivers["idle"]
    assert code == 0, output
    lines = told(output)
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r"cluster: the head at \S+ has not answered for 2 s: .*", line)
    assert "and then: 2" in output


def test_a_closed_connection_needs_no_head_and_gives_way_to_another_cluster(drivers):
    code, output = drivers["closed"]
    assert code == 0, output
    assert len(told(output)) == 1
    assert re.search(r"told: cluster: this process still uses the cluster at '\S+', and", output)
    assert "and then: 2" in output


def test_a_head_that_was_started_anew_is_told_from_the_one_before(drivers):
    code, output = drivers["anew"]
    assert code == 0, output
    lines = told(output)
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r"cluster: the head at \S+ was replaced by another: .*", line)


def test_a_client_that_lost_its_server_is_told_so(drivers):
    code, output = drivers["client"]
    assert code == 0, output
    lines = told(output)
    assert len(lines) == 3
    assert re.match(r"cluster: the head at \S+ (has not answered|has closed)", lines[0])


@pytest.fixture
def scripted(monkeypatch):
    scripted = ScriptedRay(ray.exceptions)
    monkeypatch.setattr(connection, "_current", None)
    monkeypatch.setattr(connection, "_connect", lambda _: (scripted, True))
    monkeypatch.setattr(head, "is_reachable", lambda _: scripted.reachable)
    monkeypatch.setattr(head, "_HEAD_SECONDS", 0)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.01)
    return scripted


def is_released():
    return connection._current is None


@every_use
def test_whatever_is_asked_of_a_cluster_is_asked_while_it_is_not_left(scripted, use):
    using = use(CLUSTER)
    next(using)
    next(using)
    using.close()
    assert (scripted.unguarded, scripted.connected) == ([], False)
    assert is_released()


@every_use
def test_a_cluster_that_is_lost_between_two_answers_is_not_asked_again(scripted, use):
    using = use(CLUSTER)
    next(using)
    scripted.reachable = False
    while scripted.connected:
        time.sleep(0.01)
    assert os.environ["RAY_ENABLE_AUTO_CONNECT"] == "0"
    with pytest.raises(ClusterError, match="the head at host:10001 has not answered"):
        next(using)
    assert scripted.unguarded == []
    assert is_released()


@pytest.mark.parametrize(
    ("error", "tries"), [(ConnectionError("dropped"), 1), (ray.exceptions.RaySystemError("no"), 2)]
)
@pytest.mark.parametrize("use", [sampling, verifying])
def test_a_user_that_can_end_no_worker_gives_the_connection_back(scripted, use, error, tries):
    using = use(CLUSTER)
    next(using)
    scripted.end_error = error
    using.close()
    assert scripted.ended == tries
    assert is_released()


def test_a_worker_that_cannot_be_ended_does_not_hide_why_it_was_to_end(scripted):
    stopped = Event()
    stopped.set()
    scripted.finished, scripted.end_error = False, ConnectionError("dropped")
    with (
        ClusterCalls(CLUSTER, stopped) as call,
        pytest.raises(ClusterError, match="this work was stopped with other work"),
    ):
        call(abs, -1)
    assert is_released()


@every_use
def test_a_user_that_is_interrupted_as_it_begins_gives_the_connection_back(scripted, use):
    scripted.start_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        next(use(CLUSTER))
    assert is_released()


class RefusingRay:
    """In place of the `ray` module: a head that turns away the clients that come first."""

    def __init__(self, refusals):
        self.refusals, self.tries = refusals, 0

    def is_initialized(self):
        return False

    def init(self, **_):
        self.tries += 1
        if self.tries <= self.refusals:
            raise ConnectionAbortedError("Starting Ray client server failed")


@pytest.fixture
def refusing(monkeypatch):
    def connected(refusals):
        refusing = RefusingRay(refusals)
        monkeypatch.setattr(connection, "is_reachable", lambda _: True)
        monkeypatch.setitem(sys.modules, "ray", refusing)
        return refusing, lambda: connection._connect("ray://host:10001")

    return connected


def test_a_head_that_turned_a_client_away_is_asked_again(refusing, caplog):
    ray, connected = refusing(refusals=2)
    assert connected() == (ray, True)
    assert ray.tries == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_a_head_that_turns_every_client_away_is_told_from_one_that_is_not_there(refusing):
    ray, connected = refusing(refusals=99)
    with pytest.raises(ClusterError, match="GRPC_ENABLE_FORK_SUPPORT=0 in its environment"):
        connected()
    assert ray.tries == 4
