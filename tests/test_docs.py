"""The documentation: links lead somewhere, examples are valid, the reference is the code's own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from offline_rl.config.load import load
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels

ROOT = Path(__file__).parents[1]
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES = [*WRITTEN, *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# What an experiment needs besides the part that a page shows.
REST = {
    "name": "mine",
    "model": "tiny",
    "problems": {"source": "arithmetic"},
    "methods": {"rft": {}, "dft": {}, "dpo": {}},
    "evaluation": {"benchmarks": {"test": {"source": "arithmetic", "split": "test"}}},
}


def name_of(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """As a repository browser makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in _LINK.findall(text):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert ROOT in target.parents, link
        if anchor:
            assert anchor in anchors(target), link


def test_the_reference_is_what_the_code_says():
    command = [sys.executable, "-P", ROOT / "docs" / "generate.py", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_readme_is_read_in_one_sitting():
    assert len((ROOT / "README.md").read_bytes()) <= 15_000


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = str(page.relative_to(ROOT / "docs"))
        if name != "README.md" and not name.startswith("reference/methods/"):
            assert f"({name})" in index, name


def blocks(language):
    return [
        pytest.param(text, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, (kind, text) in enumerate(_BLOCK.findall(page.read_text("utf-8")))
        if kind == language
    ]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_settings_in_the_documentation_are_valid(text, tmp_path):
    given = yaml.safe_load(text)
    several = "models" in given
    whole = {**{key: one for key, one in REST.items() if not (several and key == "model")}, **given}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(whole))
    loaded = load(path, [], SeveralModels)
    assert isinstance(loaded, SeveralModels if several else Experiment)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_the_documentation_compiles(text):
    compile(text, "documentation", "exec")


def test_the_version_stands_in_one_place_for_each_reader():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == project["version"]
    assert f"\n## {project['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


_FENCED = re.compile(r"(?:(<!-- needs [\w ]+ -->)\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
SMALL = ["sampler=transformers", "verifier=exact", "problems.limit=12", "sampling.samples=4"]
DEMO = [
    *SMALL,
    "training.steps=2",
    "training.examples_per_step=8",
    "seeds=[0]",
    "methods={rft: {}, dft: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 6}}",
    "report.formats=[csv]",
]
ROLLOUTS = [
    {"problem": "12+7=", "answer": "19", "completion": text} for text in ("19\n", "20\n", "19 \n")
]


def commands():
    """Those of pages that need nothing but this machine, in their order."""
    for page in PAGES:
        if "reference" in page.parts:
            continue
        for needs, language, block in _FENCED.findall(page.read_text("utf-8")):
            joined = block.replace("\\\n", " ")
            lines = [line.partition(" #")[0].strip() for line in joined.splitlines()]
            if not needs and language in ("", "bash"):
                yield from (line for line in lines if line.startswith("offline-rl "))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, warm):
    """Where the commands of the documentation run, with small runs of the names that they use."""
    folder = tmp_path_factory.mktemp("documentation")
    warm.run(["run", "demo", *DEMO, "--out", folder / "runs/demo"], scripted=False)
    shutil.copytree(folder / "runs/demo", folder / "runs/mine")
    (folder / "file.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROLLOUTS))
    return folder


def test_the_commands_of_the_documentation_run(folder):
    program = str(Path(sys.executable).with_name("offline-rl"))
    found = list(commands())
    assert len(found) >= 8
    for command in found:
        words = shlex.split(command)[1:]
        smaller = SMALL if words[0] == "generate" and "--problems" in words else []
        done = subprocess.run(
            [program, *words, *smaller],
            cwd=folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_python_of_the_documentation_runs(folder):
    for text in [one.values[0] for one in blocks("python")]:
        if "load_run" in text and "runs/demo" in text:
            done = subprocess.run(
                [sys.executable, "-P", "-c", text],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
