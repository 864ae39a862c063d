"""Methods of other installed packages: as the README writes one, and told why one is not had."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from data_gen.filters import Filters
from offline_rl.methods import Imitation
from offline_rl.methods.installed import installed_methods
from offline_rl.methods.registry import BUILT_IN, METHODS
from offline_rl.settings import SettingsError, load_experiment
from offline_rl.steps.training import _reason, on_node
from tests.fault_parts import SHORT, command, finished_stages

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
_, CHAPTER = README.split("## Adding a method\n")
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
        (folder / f"{module}.py").write_text(source)
    return folder


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages; modules of it are forgotten behind each test."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = set(sys.modules)
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_readmes_method_is_taken_with_its_package_and_the_hash_of_its_file(site):
    installed(site, {"focal": FOCAL}, [("focal", ENTRY)])
    found, faults = installed_methods(BUILT_IN)
    assert (list(found), faults) == (["focal"], {})
    assert issubclass(found["focal"].method, Imitation)
    assert found["focal"].package == "focal 0.1"
    first = found["focal"].sha256

    (site / "focal.py").write_text(FOCAL + "\n")
    again, _ = installed_methods(BUILT_IN)
    assert again["focal"].sha256 != first


GOOD = """
from typing import ClassVar, Literal
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
    "no class": ("a", "brought:a", "a = 3", "no subclass of offline_rl.methods.Method"),
    "another class": ("a", "brought:A", "class A: pass", "no subclass of"),
    "no loss": ("a", "brought:A", GOOD.rpartition("    def")[0], "does not define loss"),
    "a kind that is another's": ("rft", "brought:A", GOOD, "another method has this kind"),
    "two names": ("b", "brought:A", GOOD, 'no `kind: Literal["b"] = "b"`'),
    "no name": (
        "a",
        "brought:A",
        GOOD.replace('kind: Literal["a"] = "a"', "x: int = 1"),
        "no `kind",
    ),
    "a name that is none": ("A-b", "brought:A", GOOD, "a kind is lower-case letters"),
    "a wrong mean": (
        "a",
        "brought:A",
        GOOD + '    per = "row"\n',
        "`per` is none of token, example",
    ),
    "a wrong rate": (
        "a",
        "brought:A",
        GOOD + '    training_defaults: ClassVar = {"lr": -1}\n',
        "greater than 0",
    ),
    "an escape": ("a", "brought:A", r'raise ValueError("\x1b[2J\n")', "ValueError: [2J"),
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
    assert faults[kind].isprintable()


def test_of_two_packages_with_one_kind_the_second_is_told(site):
    installed(site, {"focal": FOCAL}, [("focal", ENTRY)])
    installed(site, {"other": FOCAL}, [("focal", "other:Focal")], "other")
    found, faults = installed_methods(BUILT_IN)
    assert found["focal"].package == "focal 0.1"
    assert "other:Focal of other 0.1" in faults["focal"]


def test_settings_tell_why_a_method_is_not_there(monkeypatch):
    faults = {"focal": "focal:Focal of focal 0.1: ImportError: no such file"}
    monkeypatch.setattr("offline_rl.settings_faults.FAULTS", faults)
    for methods in ("{focal: {}}", "{mine: {kind: focal}}"):
        with pytest.raises(SettingsError, match=r"of focal 0\.1: ImportError: no such file"):
            load_experiment("demo", [f"methods={methods}"])
    with pytest.raises(SettingsError, match="those of packages that are installed"):
        load_experiment("demo", ["methods={mine: {kind: local}}"])
    with pytest.raises(SettingsError, match=r"there is no kind 'local', only .*'python'$"):
        load_experiment("demo", ["verifier={kind: local}"])


def test_a_node_with_another_method_trains_nothing():
    code = {"package": "focal 0.1", "source_sha256": "12"}
    with pytest.raises(RuntimeError, match=r"another rft: none, where the run has focal 0\.1, 12"):
        on_node(pytest.fail, code, METHODS["rft"]())
    seen = []
    on_node(lambda *told, **named: seen.append((told, named)), {}, METHODS["rft"](), 1, seed=2)
    assert seen == [((METHODS["rft"](), 1), {"seed": 2})]


RUN = [*SHORT, "methods={rft: {}, focal: {gamma: 3}}"]
ALONE = "import focal; from offline_rl.methods.registry import METHODS as M; print(M['focal'])"


def test_a_run_compares_it_and_trains_it_again_when_its_file_changes(warm, tmp_path):
    site = installed(tmp_path / "site", {"focal": FOCAL}, [("focal", ENTRY)])
    folder = tmp_path / "run"
    told = command(folder, RUN)
    said = " ".join(warm.run(told, packages=str(site)).split())
    assert "focal is a method of focal 0.1, focal, sha256" in said
    table = pd.read_csv(folder / "report" / "comparison.csv")
    assert set(table["label"]) >= {"base", "rft", "focal"}
    before = finished_stages(folder)

    (site / "focal.py").write_text(FOCAL.replace("- logps.exp()", "- logps.exp() / 2"))
    said = " ".join(warm.run(command(folder, RUN), packages=str(site)).split())
    now = finished_stages(folder)
    again = {path.parent for path in before if now[path] != before[path]}
    assert {path.relative_to(folder).parts[1] for path in again} == {"focal"}
    assert "source_sha256" in said

    code, said = warm.start(command(folder, RUN)).wait()
    assert code == 1
    assert "methods.focal" in said


def test_a_package_may_be_imported_before_the_methods_are(tmp_path):
    site = installed(tmp_path, {"focal": FOCAL}, [("focal", ENTRY)])
    run = subprocess.run(
        [sys.executable, "-P", "-c", ALONE],
        env={**os.environ, "PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "<class 'focal.Focal'>\n"


def test_an_error_that_nobody_has_worded_names_its_kind_and_place():
    with pytest.raises(AttributeError) as caught:
        Filters.nothing  # noqa: B018 (the access is the test)
    assert re.search(r"^AttributeError: .*nothing.* \(.*\.py, line \d+\)$", _reason(caught.value))
