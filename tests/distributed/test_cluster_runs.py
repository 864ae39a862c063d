"""A run on a cluster gives the files of one on this machine, whatever the cluster loses."""

import json
import re
import shutil

import pytest

from data_gen.cluster import ClusterError
from tests.helpers.cluster import RUN, die, parts, run_whose_head_is_killed

pytest.importorskip("ray", reason="Ray is not installed: pip install 'offline-rl[ray]'")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The run without a cluster."""
    from offline_rl import load_experiment, run

    folder = tmp_path_factory.mktemp("local")
    run(load_experiment("demo", RUN), folder)
    return folder


def test_a_run_that_lost_its_head_says_so_and_gives_the_local_run_with_another(
    cluster, local, warm, tmp_path
):
    from offline_rl import load_experiment, run

    code, output = run_whose_head_is_killed(warm, tmp_path)
    assert (code, output.count("error: ")) == (1, 1)
    assert re.search(
        r"\nerror: cluster: the head at \S+ has not answered for 2 s: [^\n]*\n", output
    )
    assert "Traceback" not in output
    kept = {part.name: part.stat().st_mtime_ns for part in parts(tmp_path)}
    assert 0 < len(kept) < len(parts(local))
    one = cluster.model_copy(update={"replicas": 1})
    report = run(load_experiment("demo", [*RUN, with_trainings(one)]), tmp_path)
    assert not report.failures
    # Clock readings stand in training.csv, and the page repeats some of them.
    for name in ("comparison.csv", "pairwise.csv", "seeds.csv", "samples.csv.gz", "data.csv"):
        assert (local / "report" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()
    for file in [*parts(local), *weights(local)]:
        assert file.read_bytes() == (tmp_path / file.relative_to(local)).read_bytes()
    now = {part.name: part.stat().st_mtime_ns for part in parts(tmp_path)}
    assert kept.items() <= now.items()


def with_trainings(cluster):
    return f"cluster={ ({**cluster.model_dump(), 'trainings': 2}) }"


def weights(folder):
    return sorted(folder.glob("models/*/*/*.safetens*"))


def test_several_processes_train_on_a_node_what_they_train_here(cluster, local, tmp_path):
    from offline_rl import load_experiment, run

    launched = [*RUN, "seeds=[0]", "training.steps=3", "training.launch={processes: 2}"]
    absurd = "methods={rft: {}, absurd: {kind: rft, training: {lr: 1e30, launch: null}}}"
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, more in ((here, []), (there, [absurd, with_trainings(cluster)])):
        shutil.copytree(local, folder)
        run(load_experiment("demo", [*launched, *more]), folder, until="train")
    weights = "models/rft/seed-0/model.safetensors"
    assert (here / weights).read_bytes() == (there / weights).read_bytes()
    assert (here / weights).read_bytes() != (local / weights).read_bytes()
    reason = json.loads((there / "models/absurd/seed-0/failure.json").read_text())["reason"]
    assert re.fullmatch(r"the (loss|gradient norm) is nan at step 2 \(rollouts .*\)", reason)


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (
            {"gpus_per_training": 1, "wait_seconds": 1},
            r"a training has been waiting .*: it needs 1 CPU and 1 GPU; .* of \d CPU and 0 GPU",
        ),
        ({"restarts": 0}, r"the cluster lost this work \(cluster.restarts: 0\)"),
    ],
)
def test_what_a_cluster_lacks_is_no_fault_of_the_method(
    cluster, local, tmp_path, monkeypatch, lacking, reason
):
    from offline_rl import load_experiment, run

    monkeypatch.setattr("offline_rl.training.train.train", die)
    shutil.copytree(local, tmp_path / "run")
    settings = f"cluster={ ({**cluster.model_dump(), 'verifiers': 0, 'trainings': 1, **lacking}) }"
    with pytest.raises(ClusterError, match=reason):
        run(load_experiment("demo", [*RUN, "training.steps=4", settings]), tmp_path / "run")
    assert not list(tmp_path.rglob("failure.json"))
