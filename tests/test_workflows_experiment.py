"""The whole line with the real command: it compares, skips what is done, and outlives kills."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from data_gen.store.atomic_files import sha256
from data_gen.store.rollouts import load_rollouts, save_rollouts
from data_gen.types import DataError
from offline_rl import load_experiment, load_run, run
from offline_rl.artifacts.checksums import checksummed_text, parse_checksummed
from offline_rl.artifacts.manifest import MANIFEST, FileEntry
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.progress import Silent

SMALL = [
    "problems.limit=40",
    "sampling.samples=4",
    "training.steps=3",
    "training.examples_per_step=16",
    "seeds=[0,1]",
    "evaluation.sampling.samples=4",
    "evaluation.benchmarks={in_distribution: {source: arithmetic, split: test, limit: 20},"
    " big: {source: arithmetic, split: big, limit: 20}}",
]
# Shorter still, and with a sampler and a verifier that start at once.
TINY = [
    *SMALL,
    "sampler=transformers",
    "verifier=exact",
    "seeds=[0]",
    "methods={rft: {}, dpo: {}}",
    "evaluation.decodings={}",
    "evaluation.benchmarks={in_distribution: {source: arithmetic, split: test, limit: 10}}",
    # The page takes a third of the time.
    "report.formats=[csv]",
]
COMMAND = [str(Path(sys.executable).with_name("offline-rl"))]


def offline_rl(*arguments, check=0):
    run = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert run.returncode == check, run.stdout + run.stderr
    return run


@pytest.fixture(scope="module")
def forked(warm):
    """The same command in a process that has imported everything, for runs that are many."""

    def run(*arguments, check=0):
        return " ".join(warm.run(arguments, check=check, scripted=False).split())

    return run


@pytest.fixture(scope="module")
def finished(forked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    return folder, forked("demo", *SMALL, "--out", folder)


@pytest.fixture(scope="module")
def tiny(forked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    forked("run", "demo", *TINY, "--out", folder)
    return folder


@pytest.fixture
def tiny_copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def test_the_demo_ends_with_the_comparison(finished):
    folder, output = finished
    table = pd.read_csv(folder / "report" / "comparison.csv")
    labels = ["base", "base-t0.5", "base-greedy", "rft", "dft", "iw_sft", "dpo"]
    assert list(table.label.unique()) == labels
    assert set(table.benchmark) == {"in_distribution", "big", "macro"}
    assert table.groupby("label").training_seeds.first()["dft"] == 2
    assert str(folder / "report" / "comparison.csv") in output
    assert str(folder / "report" / "index.html") in output
    for name in ("pairwise.csv", "training.csv", "data.csv", "index.html"):
        assert (folder / "report" / name).stat().st_size > 0


def test_the_demo_samples_with_vllm_where_it_is_installed(finished):
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("this machine has no build of vLLM")
    folder, output = finished
    environment = json.loads((folder / "environment.json").read_text())
    assert {engine["engine"] for engine in environment["engines"]} == {"vllm"}
    assert "engine: vllm" in output


def test_every_rollout_and_sample_is_on_disk(finished):
    folder, _ = finished
    assert len(load_rollouts(folder / "rollouts")) == 40 * 4
    assert len(load_rollouts(folder / "evaluations" / "dft" / "seed-1" / "big")) == 20 * 4
    assert (folder / "rollouts" / "README.md").read_text().startswith("---\n")


def test_a_local_run_imports_nothing_of_ray(warm, tmp_path):
    whole = [*TINY, "verifier=math", "report.formats=[csv, html]"]
    warm.run(["run", "demo", *whole, "--out", tmp_path / "run"], absent=["ray"])
    assert (tmp_path / "run/report/comparison.csv").exists()


def test_a_second_run_does_nothing_and_gives_the_same_table(forked, finished):
    folder, _ = finished
    before = (folder / "report" / "comparison.csv").read_bytes()
    output = forked("run", folder / "experiment.yaml", "--out", folder)
    stages = 4 + 3 * 2 + 4 * 2 + 4 * 2 * 2
    assert output.count("finished and unchanged, skipped") == stages
    assert "engine:" not in output
    assert (folder / "report" / "comparison.csv").read_bytes() == before


def test_report_and_show_read_a_finished_run(forked, finished):
    folder, _ = finished
    before = (folder / "report" / "comparison.csv").read_bytes()
    (folder / "report" / "comparison.csv").unlink()
    forked("report", folder)
    assert (folder / "report" / "comparison.csv").read_bytes() == before
    assert "in_distribution" in forked("show", folder)


def test_a_report_hashes_and_reads_each_file_of_a_run_once(tiny, monkeypatch):
    hashed, opened = [], []
    parquet = pq.ParquetFile
    monkeypatch.setattr(
        pq, "ParquetFile", lambda path, **how: opened.append(path) or parquet(path, **how)
    )
    monkeypatch.setattr(
        "offline_rl.artifacts.published_stage.sha256",
        lambda path: hashed.append(path) or sha256(path),
    )
    load_run(tiny)
    assert len(hashed) == len(set(hashed)) > 10
    assert sorted(opened) == sorted(tiny.glob("evaluations/*/*/*/part-*.parquet"))


def test_a_change_redoes_what_depends_on_it_and_says_why(forked, tiny_copy):
    changed = [*TINY, "methods.rft.training.lr=0.01"]
    output = forked("run", "demo", *changed, "--out", tiny_copy)
    assert "rollouts: finished and unchanged, skipped" in output
    assert "models/dpo/seed-0: finished and unchanged, skipped" in output
    assert (
        "models/rft/seed-0: done again, since training.lr has changed from 5e-05 to 0.01" in output
    )
    assert re.search(r"evaluations/rft/seed-0/\S+: done again, since model", output)


def test_a_report_leaves_out_what_other_settings_made(forked, tiny_copy):
    changed = [*TINY, "methods.rft.training.lr=0.01"]
    forked("train", "demo", *changed, "--out", tiny_copy)
    output = forked("report", tiny_copy)
    assert "Left out, since other settings made them: evaluations/rft/seed-0/" in output
    table = pd.read_csv(tiny_copy / "report" / "comparison.csv")
    assert set(table.label) == {"base", "dpo"}


def killed_at_its_start(folder, *settings):
    """What is left of a folder when a run with these settings is killed before its first stage."""

    class Killed(Silent):
        def say(self, line):
            raise KeyboardInterrupt

    experiment = load_experiment("demo", [*TINY, *settings])
    with pytest.raises(KeyboardInterrupt):
        run(experiment, folder, progress=Killed())


def test_a_killed_run_of_the_same_settings_takes_nothing_from_the_report(tiny_copy):
    before = load_run(tiny_copy).comparison
    killed_at_its_start(tiny_copy)
    pd.testing.assert_frame_equal(load_run(tiny_copy).comparison, before)


def test_a_killed_run_of_other_settings_leaves_nothing_that_passes_for_its_own(tiny_copy):
    killed_at_its_start(tiny_copy, "evaluation.sampling.temperature=0.5")
    with pytest.raises(DataError, match="no finished evaluation yet"):
        load_run(tiny_copy)


def test_settings_that_nobody_has_run_have_no_results(tiny_copy):
    """As those of a run on several base models are, for a model that it has not come to."""
    settings = tiny_copy / "experiment.yaml"
    settings.write_text(settings.read_text().replace("temperature: 1.0", "temperature: 0.7"))
    with pytest.raises(DataError, match=r"no finished evaluation yet.* of other settings or data"):
        load_run(tiny_copy)


def test_policies_of_another_data_set_than_is_there_are_left_out(tiny_copy):
    stage = PublishedStage(tiny_copy / "dataset")
    manifest = stage.require_manifest()
    part = stage.folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    files = {**manifest.files, part.name: FileEntry.at(part)}
    (stage.folder / MANIFEST).write_text(manifest.model_copy(update={"files": files}).text())
    report = load_run(tiny_copy)
    assert set(report.comparison.label) == {"base"}
    assert any("models/rft/seed-0" in note.text for note in report.notes)


def test_an_evaluation_of_other_weights_than_are_there_is_left_out(tiny_copy):
    """As between a policy's training and its evaluation, when it is trained again."""
    stage = PublishedStage(tiny_copy / "models/rft/seed-0")
    manifest = stage.require_manifest()
    weights = stage.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    files = {**manifest.files, weights.name: FileEntry.at(weights)}
    (stage.folder / MANIFEST).write_text(manifest.model_copy(update={"files": files}).text())
    report = load_run(tiny_copy)
    assert set(report.comparison.label) == {"base", "dpo"}
    assert any("evaluations/rft/seed-0" in note for note in map(str, report.notes))


def test_a_run_writes_the_files_that_its_settings_name(forked, tiny_copy):
    shutil.rmtree(tiny_copy / "report")
    output = forked("run", "demo", *TINY, "report.formats=[latex, csv]", "--out", tiny_copy)
    assert "done again" not in output
    assert "tables.tex" in output
    written = {path.name for path in (tiny_copy / "report").iterdir()}
    assert {"comparison.csv", "tables.tex", "manifest.json"} <= written
    assert not {"index.html", "tables.md"} & written
    shutil.rmtree(tiny_copy / "report")
    again = forked("report", tiny_copy)
    assert "tables.tex" in again
    assert "index.html" not in again
    assert {path.name for path in (tiny_copy / "report").iterdir()} == written


def test_weights_that_were_not_kept_are_trained_again_when_needed(forked, tiny_copy):
    weights = tiny_copy / "models" / "rft" / "seed-0" / "model.safetensors"
    content = weights.read_bytes()
    forked("run", "demo", *TINY, "keep=none", "--out", tiny_copy)
    assert not weights.exists()
    assert "trained again" not in forked("run", "demo", *TINY, "--out", tiny_copy)
    more = [*TINY, "evaluation.benchmarks.long={source: arithmetic, split: long, limit: 10}"]
    output = forked("run", "demo", *more, "--out", tiny_copy)
    assert "models/rft/seed-0: trained again" in output
    assert weights.read_bytes() == content


def test_a_method_without_examples_leaves_a_hole_and_exit_code_3(forked, tiny, tmp_path):
    rollouts = [r for r in load_rollouts(tiny / "rollouts") if r.verdict.label == "correct"]
    save_rollouts(rollouts, tmp_path / "accepted.parquet")
    given = ["problems=null", f"rollouts={tmp_path / 'accepted.parquet'}"]
    settings = [*TINY, *given, "report.formats=[csv, html]"]
    folder = tmp_path / "run"
    said = forked("run", "demo", *settings, "--out", folder, check=3)
    assert "hold no pair of an accepted and a wrong rollout" in said
    training = pd.read_csv(folder / "report" / "training.csv").set_index("label")
    assert training.status.to_dict() == {"rft": "finished", "dpo": "failed"}
    table = pd.read_csv(folder / "report" / "comparison.csv")
    assert set(table.label) == {"base", "rft"}
    assert "hold no pair" in (folder / "report" / "index.html").read_text()


MOMENTS = {
    "sampling": lambda folder: (folder / "rollouts.partial" / "inputs.json").exists(),
    "after sampling": lambda folder: (folder / "rollouts" / "stage.json").exists(),
    "training": lambda folder: (folder / "models/rft/seed-0.partial/inputs.json").exists(),
    "between trainings": lambda folder: (folder / "models/rft/seed-0/stage.json").exists(),
    "evaluating": lambda folder: (
        folder / "evaluations/rft/seed-0/in_distribution/stage.json"
    ).exists(),
}


def test_a_run_killed_in_every_stage_ends_in_the_same_bytes(warm, forked, tiny, tmp_path):
    folder = tmp_path / "run"
    done = {}
    for reached in MOMENTS.values():
        kill_when(reached, warm, folder)
        assert all(path.stat().st_mtime_ns == written for path, written in done.items())
        done = {path: path.stat().st_mtime_ns for path in folder.glob("**/stage.json")}
    forked("run", "demo", *TINY, "--out", folder)
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())
    for name in ("comparison.csv", "pairwise.csv", "data.csv"):
        assert (folder / "report" / name).read_bytes() == (tiny / "report" / name).read_bytes()
    assert not list(folder.glob("**/*.partial"))
    assert not list(folder.glob("**/.*.*"))


def kill_when(reached, warm, folder):
    started = warm.start(["run", "demo", *TINY, "--out", folder], scripted=False)
    deadline = time.monotonic() + 120
    while not reached(folder) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert reached(folder)
    assert started.kill(), started.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "demo", "training.lr=-1"], "training.lr: Input should be greater than 0"),
        (["run", "demo", "model=/no/such/folder"], "model '/no/such/folder'"),
        (["run", "demo", "problems=/no/such.jsonl"], "/no/such.jsonl"),
        (["run", "demo", "problems=null", "rollouts=/no/such.parquet"], "/no/such.parquet"),
        (["run", "demo", "prompt=chat"], "needs a chat template"),
        (["show", "/no/such/run"], "no finished rollouts in it"),
        (["list", "colours"], "'colours' has no list"),
    ],
)
def test_bad_input_is_one_line_and_no_traceback(arguments, message, warm, tmp_path):
    out = ["--out", tmp_path / "run"] if arguments[0] == "run" else []
    said = warm.run([*arguments, *out], check=1, scripted=False)
    assert message in said
    assert re.findall(r"^error: ", said, re.MULTILINE) == ["error: "]
    assert said[said.index("error: ") :].count("\n") == 1
    assert said.endswith("\n")
    assert "Traceback" not in said


def test_a_folder_of_version_0_3_is_refused_in_one_line_and_left_alone(forked, tiny, tiny_copy):
    for path in tiny_copy.rglob("stage.json"):
        manifest = parse_checksummed(path.read_bytes())
        del manifest["format"]
        path.write_text(checksummed_text(manifest))
    # Every settings file of 0.3 held settings that are gone.
    settings = yaml.safe_load((tiny_copy / "experiment.yaml").read_text())
    settings["verifier"] = {"kind": "math", "shortcuts": True, "remember": True}
    (tiny_copy / "experiment.yaml").write_text(yaml.safe_dump(settings))
    files = [path for path in tiny_copy.rglob("*") if path.is_file() and path.name != ".lock"]
    before = {path: path.read_bytes() for path in files}
    commands = [
        ["run", "demo", *TINY, "methods.rft.training.lr=0.01", "--out", tiny_copy],
        ["run", "demo", *TINY, "--dry-run", "--out", tiny_copy],
        ["report", tiny_copy],
        ["show", tiny_copy],
        ["compare", tiny_copy, tiny, "--out", tiny_copy.parent / "both"],
        ["export", tiny_copy, "--format", "preference", "--out", tiny_copy.parent / "pairs.jsonl"],
    ]
    for command in commands:
        said = forked(*command, check=1)
        assert "written by another version of offline-rl (0.3 or older)" in said, command
    assert before == {path: path.read_bytes() for path in files}
    new = tiny_copy.parent / "new"
    forked("generate", "--model=tiny", f"--rollouts={tiny_copy / 'rollouts'}", "--out", new)
    assert load_rollouts(new / "rollouts") == load_rollouts(tiny_copy / "rollouts")


def test_a_run_that_0_3_had_begun_is_refused_and_its_samples_stay(forked, tmp_path):
    begun = tmp_path / "run" / "rollouts.partial"
    begun.mkdir(parents=True)
    (begun / "inputs.json").write_text('{"model": {}, "problems": "a", "versions": {}}')
    (begun / "part-00000.parquet").write_bytes(b"hours of sampling")
    said = forked("run", "demo", *TINY, "--out", tmp_path / "run", check=1)
    assert "inputs.json: written by another version of offline-rl (0.3 or older)" in said
    assert (begun / "part-00000.parquet").read_bytes() == b"hours of sampling"


def test_an_error_is_a_line_of_standard_error():
    run = offline_rl("run", "missing.yaml", check=1)
    assert run.stdout == ""
    assert re.fullmatch(r"error: missing\.yaml: cannot be read[^\n]*\n", run.stderr)


def test_a_broken_line_of_problems_is_named(warm, tmp_path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "1+1=", "answer": "2"}\n{"problem": \n')
    asked = ["generate", "demo", f"problems={problems}", "--out", tmp_path / "r"]
    assert f"{problems}:2" in warm.run(asked, check=1, scripted=False)


def test_debug_shows_the_traceback():
    run = offline_rl("--debug", "run", "missing.yaml", check=1)
    assert "Traceback" in run.stderr


def test_help_and_lists_answer(warm):
    assert "demo" in offline_rl("--help").stdout
    for what in ("methods", "problems", "experiments"):
        assert warm.run(["list", what]).count("\n") >= 2


def test_a_dry_run_prints_the_cost_and_touches_no_model(forked, tmp_path):
    output = forked("run", "dft_paper_offline", "--dry-run", "--out", tmp_path / "run")
    assert "400,000" in output
    assert not (tmp_path / "run").exists()
