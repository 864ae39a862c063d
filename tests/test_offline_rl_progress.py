"""What a run tells of itself, and what becomes of it where nobody reads it."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from offline_rl.progress import Terminal

COMMAND = str(Path(sys.executable).with_name("offline-rl"))


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_finished_task_tells_what_it_has_counted(is_terminal):
    screen = io.StringIO()
    terminal = Terminal(Console(file=screen, force_terminal=is_terminal, width=200))
    with terminal.task("train rft, seed 0", "steps") as task:
        task.update(8, 8)
    last = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", screen.getvalue()).splitlines()[-1]
    assert re.fullmatch(r"\r?train rft, seed 0: 8 steps in 0 s \([\d,]+ a second\)", last)


def test_a_command_that_nobody_reads_ends_without_a_word():
    command = subprocess.Popen(
        [COMMAND, "list", "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    command.stdout.close()
    assert command.stderr.read() == ""
    command.stderr.close()
    assert command.wait() == 1


def test_a_pipe_that_breaks_elsewhere_is_an_error_that_is_told():
    program = (
        "import sys, types; from offline_rl.cli import app\n"
        "def broken(what): raise BrokenPipeError(32, 'Broken pipe')\n"
        # In the place of the module, which imports torch.
        "sys.modules['offline_rl.cli.list_names'] = types.SimpleNamespace(listing=broken)\n"
        "sys.argv = ['offline-rl', 'list', 'methods']; app.main()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "error: [Errno 32] Broken pipe\n"
