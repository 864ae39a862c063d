"""Methods of other installed packages: as in the documentation, and why one is unavailable."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from offline_rl.artifacts.records import TrainingFailure
from offline_rl.artifacts.stage import Stage
from offline_rl.config.load import UsageError, load_experiment
from offline_rl.methods import Imitation
from offline_rl.methods.failure import reason_of
from offline_rl.methods.plugins import installed_methods
from offline_rl.methods.registry import BUILT_IN, METHODS
from offline_rl.progress import Silent
from offline_rl.results.run_notes import method_notes
from offline_rl.stages.policies import Policy
from offline_rl.stages.train_policies import _train, on_node
from tests.helpers.faults import SHORT, command, finished_stages

CHAPTER = (Path(__file__).parents[1] / "docs/how-to/own-method.md").read_text(encoding="utf-8")
FOCAL = re.search(r"```python\n(.*?)```", CHAPTER, re.DOTALL)[1]
PROJECT = re.search(r"```toml\n(.*?)```", CHAPTER, re.DOTALL)[1]
ENTRY = re.search(r"^focal = \"(.*)\"$", PROJECT, re.MULTILINE)[1]


def installed(folder, sources, entries, name="focal"):
    """What pip makes of a package: its modules, and beside them what it says of itself."""
    about = folder / f"{name}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"{kind} = {value}" for kind, value in entries]
    (about / "entry_points.txt").write_text("\n".join(["[offline_rl.methods]", *lines, ""]))
    for module, source in sources.items():
        file = folder / f"{module}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return folder


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages; modules of it are forgotten behind each test."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = set(sys.modules)
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_readmes_method_is_taken_with_the_version_of_its_package(site):
    installed(site, {"focal": FOCAL}, [("focal", ENTRY)])
    found, faults = installed_methods(BUILT_IN)
    assert (list(found), faults) == (["focal"], {})
    assert issubclass(found["focal"].method, Imitation)
    assert found["focal"].code == {"package": "focal", "version": "0.1"}


GOOD = """
from typing import ClassVar, Literal
from pydantic import Field, field_validator
from offline_rl.methods import Imitation

class A(Imitation):
    kind: Literal["a"] = "a"
    def loss(self, logps, batch):
        return -logps
"""
NAMELESS = GOOD.replace('kind: Literal["a"] = "a"', "other: int = 1")
FAULTS = {
    "a module that is not there": ("a", "nowhere:A", GOOD, "No module named 'nowhere'"),
    "no such class": ("a", "brought:B", GOOD, "no attribute 'B'"),
    "a module that fails": ("a", "brought:A", "1 / 0", "ZeroDivisionError: division by zero"),
    "a module that ends": ("a", "brought:A", "import sys; sys.exit(0)", "SystemExit: 0"),
    "no class": ("a", "brought:a", "a = 3", "not a subclass of offline_rl.methods.Method"),
    "another class": ("a", "brought:A", "class A: pass", "not a subclass of"),
    "no loss": ("a", "brought:A", GOOD.rpartition("    def")[0], "does not define loss"),
    "a kind that is another's": ("rft", "brought:A", GOOD, "another method has this kind"),
    "two names": ("b", "brought:A", GOOD, 'no `kind: Literal["b"] = "b"`'),
    "no name": (
        "a",
        "brought:A",
        GOOD.replace('kind: Literal["a"] = "a"', "x: int = 1"),
        "no `kind",
    ),
    "a kind by another name": (
        *("a", "brought:A"),
        GOOD.replace('"a"\n', 'Field("a", alias="b")\n'),
        "Aliases for discriminator",
    ),
    "a kind that is worked on": (
        *("a", "brought:A"),
        GOOD + '    _check = field_validator("kind", mode="before")(lambda value: value)\n',
        "Cannot use a mode='before' validator",
    ),
    "a field of no type": ("a", "brought:A", GOOD + '    other: "Nothing" = 1\n', "Nothing"),
    "training defaults as a mapping": (
        *("a", "brought:A"),
        GOOD + '    training_defaults: ClassVar = {"lr": 0.1}\n',
        "training_defaults are not TrainingSettings",
    ),
    "a reason of several lines": (
        "a",
        "brought:A",
        r'raise ValueError("x\n y")',
        "ValueError: x y",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_method_that_cannot_be_had_is_told_and_the_others_stay(fault, site):
    kind, value, source, reason = FAULTS[fault]
    installed(site, {"brought": source, "focal": FOCAL}, [(kind, value), ("focal", ENTRY)], "both")
    found, faults = installed_methods(BUILT_IN)
    assert list(found) == ["focal"]
    assert list(faults) == [kind]
    assert faults[kind].startswith(f"{value} of both 0.1: ")
    assert reason in faults[kind]
    assert "\n" not in faults[kind]


def test_a_kind_of_two_packages_is_of_neither(site):
    installed(site, {"focal": FOCAL}, [("focal", ENTRY)])
    installed(site, {"other": FOCAL}, [("focal", "other:Focal")], "other")
    found, faults = installed_methods(BUILT_IN)
    assert found == {}
    assert faults["focal"].endswith(" 0.1: ValueError: another method has this kind")


def test_a_package_with_unreadable_entry_points_costs_nobody_else(site):
    installed(site, {"focal": FOCAL}, [("focal", ENTRY)])
    installed(site, {}, [], "broken")
    (site / "broken-0.1.dist-info" / "entry_points.txt").write_text("[console_scripts]\nno\n")
    found, faults = installed_methods(BUILT_IN)
    assert list(found) == ["focal"]
    assert faults["(broken)"].startswith("its entry points: ")


def test_settings_tell_why_a_method_is_not_there(monkeypatch):
    faults = {"focal": "focal:Focal of focal 0.1: ImportError: no such file"}
    monkeypatch.setattr("offline_rl.config.errors.FAULTS", faults)
    for methods in ("{focal: {}}", "{mine: {kind: focal}}"):
        with pytest.raises(UsageError, match=r"of focal 0\.1: ImportError: no such file"):
            load_experiment("demo", [f"methods={methods}"])
    with pytest.raises(UsageError, match="those of packages that are installed"):
        load_experiment("demo", ["methods={mine: {kind: local}}"])
    with pytest.raises(UsageError, match=r"there is no kind 'local', only .*'python'$"):
        load_experiment("demo", ["verifier={kind: local}"])


CODE = {"package": "focal", "version": "0.1"}
OTHER = "a node has another rft: none; the run's is focal 0.1"


def test_a_node_with_another_method_trains_nothing():
    with pytest.raises(RuntimeError, match=OTHER):
        on_node(pytest.fail, CODE, METHODS["rft"]())
    seen = []
    on_node(lambda *given: seen.append(given), {}, METHODS["rft"](), 1)
    assert seen == [(METHODS["rft"](), 1)]


def test_a_training_on_a_cluster_takes_the_code_of_the_run_with_it(tmp_path, monkeypatch):
    codes = iter([CODE, {}])
    monkeypatch.setattr("offline_rl.stages.train_policies.code_of", lambda method: next(codes))
    run = SimpleNamespace(settings=load_experiment("demo"), progress=Silent())
    one = Policy("rft", 0, METHODS["rft"](), Stage(tmp_path / "stage", {}))
    _train(run, one, [], tmp_path, lambda work, *given: work(*given))
    failure = TrainingFailure.parse((tmp_path / TrainingFailure.FILE).read_bytes(), tmp_path)
    assert OTHER in failure.reason
    assert failure.code == CODE


RUN = [*SHORT, "methods={rft: {}, focal: {gamma: 3}}"]
ALONE = "import focal; from offline_rl.methods.registry import METHODS as M; print(M['focal'])"


def test_a_run_compares_it_and_trains_it_again_in_another_version(warm, tmp_path):
    site = installed(tmp_path / "site", {"focal": FOCAL}, [("focal", ENTRY)])
    folder = tmp_path / "run"
    told = command(folder, RUN)
    said = " ".join(warm.run(told, packages=str(site)).split())
    assert "focal is a method of another package: focal 0.1." in said
    table = pd.read_csv(folder / "report" / "comparison.csv")
    assert set(table["label"]) >= {"base", "rft", "focal"}
    before = finished_stages(folder)

    about = site / "focal-0.1.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("Version: 0.1", "Version: 0.2"))
    said = " ".join(warm.run(command(folder, RUN), packages=str(site)).split())
    now = finished_stages(folder)
    again = {path.parent for path in before if now[path] != before[path]}
    assert {path.relative_to(folder).parts[1] for path in again} == {"focal"}
    assert "code.version has changed from 0.1 to 0.2" in said

    code, said = warm.start(command(folder, RUN)).wait()
    assert code == 1
    assert "methods.focal" in said


def test_a_package_may_be_imported_before_the_methods_are(tmp_path):
    site = installed(tmp_path, {"focal": FOCAL}, [("focal", ENTRY)])
    before = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    run = subprocess.run(
        [sys.executable, "-P", "-c", ALONE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *before])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "<class 'focal.Focal'>\n"


def test_a_reason_names_the_place_in_a_package_s_own_file(site, monkeypatch):
    lines = [*GOOD.splitlines()[:-1], "        return logps @ batch", ""]
    installed(site, {"brought": "\n".join(lines)}, [("a", "brought:A")])
    found, _ = installed_methods(BUILT_IN)
    method = found["a"].method()

    def reason(batch):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            method.loss(torch.zeros(2), batch)
        return reason_of(caught.value, method)

    assert "brought.py" not in reason(torch.zeros(3))
    monkeypatch.setattr("offline_rl.methods.failure.ADDED", found)
    place = f" (brought.py, line {len(lines) - 1})"
    assert reason(torch.zeros(3)).endswith(place)
    assert reason("1").startswith("TypeError: ")
    assert reason("1").endswith(place)


def test_a_method_that_fails_to_state_its_caveats_is_a_note(monkeypatch):
    def caveats(self, origin):
        return origin.nothing

    monkeypatch.setattr(METHODS["rft"], "caveats", caveats)
    experiment = load_experiment("demo")
    [note] = map(str, method_notes(experiment, {"rft", "dft"}))
    assert note.startswith("rft failed to state its caveats: AttributeError: ")
