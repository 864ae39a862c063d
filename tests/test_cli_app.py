"""The command as a whole: version, help, completion."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from offline_rl.cli.app import app


def output(*arguments):
    shown = CliRunner().invoke(app, list(arguments), prog_name="offline-rl")
    assert shown.exit_code == 0, shown.output
    return shown.output


def test_the_version_is_that_of_the_package():
    assert output("--version") == f"offline-rl {version('offline-rl')}\n"


@pytest.mark.parametrize("command", [(), ("run",), ("generate",)])
def test_help_has_a_short_form(command):
    assert output(*command, "-h") == output(*command, "--help")


def test_the_shell_can_complete_commands():
    assert "--show-completion" in output("--help")
