"""A child process answers whole messages, or is known to be dead."""

import os

import pytest

from data_gen.processes import child
from data_gen.processes.child import Child, ChildDied

ECHO = """
from data_gen.processes.child import serve
serve(lambda message: {"seen": message})
"""
HALF = """
import os, struct, sys, time
os.write(int(sys.argv[1]), struct.pack("!i", 100) + b"x")
time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def run(code):
        (tmp_path / "a_child.py").write_text(code)
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        started.append(Child("a_child", {"PYTHONPATH": path}))
        return started[-1]

    yield run
    for one in started:
        one.kill()


def test_a_message_is_answered(start):
    echo = start(ECHO)
    echo.send({"number": 1})
    assert echo.receive(60) == {"seen": {"number": 1}}


def test_half_a_message_is_not_waited_for(start, monkeypatch):
    monkeypatch.setattr(child, "_STALL_SECONDS", 1)
    with pytest.raises(ChildDied):
        start(HALF).receive(60)


def test_a_child_that_was_killed_here_is_dead_for_both_directions(start):
    echo = start(ECHO)
    echo.kill()
    with pytest.raises(ChildDied):
        echo.receive(1)
    with pytest.raises(ChildDied):
        echo.send({})
    echo.kill()
