"""A process that has known a cluster outlives its head, and says in one line what is wrong."""

import re

import pytest

from tests.cluster_heads import drivers_whose_head_is_killed

pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")


@pytest.fixture(scope="module")
def drivers():
    return drivers_whose_head_is_killed()


def told(output):
    return re.findall(r"^told: (.*)$", output, re.MULTILINE)


def test_a_process_that_was_idle_when_the_head_died_is_told_so_when_it_asks(drivers):
    code, output = drivers["idle"]
    assert code == 0, output
    lines = told(output)
    assert len(lines) == 2
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
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"cluster: the head at \S+ was started anew: .*", line)


def test_a_client_that_lost_its_server_is_told_so(drivers):
    code, output = drivers["client"]
    assert code == 0, output
    lines = told(output)
    assert len(lines) == 2
    assert re.match(r"cluster: the head at \S+ (has not answered|has closed)", lines[0])
