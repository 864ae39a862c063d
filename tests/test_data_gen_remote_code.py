"""Code that comes with a model runs if the settings ask for it, and in no other case."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from data_gen.cluster.actors import CallActor
from data_gen.cluster.tasks import model_on_nodes
from data_gen.model_ref import ModelRef
from data_gen.remote_code import check_code
from data_gen.samplers.base import EngineError, Request
from data_gen.selection import Selection
from data_gen.types import DataError, Sampling
from offline_rl.artifacts.provenance import model_fingerprint
from offline_rl.cli.app import main
from offline_rl.config.schema import Experiment
from offline_rl.methods.registry import METHODS
from offline_rl.results.find import load_run
from offline_rl.settings.training import TrainingSettings
from offline_rl.stages.engines import stored_dtype
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.launch_messages import TrainingJob
from offline_rl.training.model import load_policy
from offline_rl.workflows.experiment import run

OWN = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The tiny base as a kind of model that the library does not know, with its code beside it."""
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "code")
    )
    folder = shutil.copytree(TINY_BASE, tmp_path / "model")
    (folder / "own.py").write_text(OWN)
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    config |= {"model_type": "own", "auto_map": names, "architectures": ["OwnForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def experiment(model, **settings):
    problems = {"source": "arithmetic", "split": "train", "limit": 8}
    sampling = {"samples": 2, "max_tokens": 16}
    return Experiment.model_validate(
        {
            "name": "own",
            "model": str(model),
            "problems": problems,
            "sampling": sampling,
            "selection": {"min_reward": 0},
            "sampler": {"kind": "transformers", "dtype": "float32"},
            "training": {"steps": 1, "examples_per_step": 2},
            "methods": {"rft": {}},
            "behaviour_check": 2,
            "evaluation": {
                "sampling": sampling,
                "benchmarks": {"a": {**problems, "split": "test", "limit": 2}},
            },
            **settings,
        }
    )


def test_a_model_with_code_of_its_own_is_trained_and_evaluated_where_the_settings_ask(
    model, tmp_path
):
    folder = tmp_path / "run"
    with pytest.raises(EngineError, match="runs only with remote_code: true in the settings"):
        run(experiment(model), folder)
    report = run(experiment(model, remote_code=True), folder)
    assert report is not None
    assert not report.failures
    # What was trained is the same kind of model, and needs the same code.
    (trained,) = folder.glob("models/*/*/own.py")
    assert "OwnForCausalLM" in trained.read_text()
    assert "remote_code: true" in (folder / "experiment.yaml").read_text()
    assert "remote\\_code" in (folder / "rollouts" / "README.md").read_text()
    with pytest.raises(DataError, match="runs only with remote_code: true"):
        load_policy(ModelRef(str(trained.parent)), TrainingSettings())
    # A run is read where its model is not.
    shutil.rmtree(model)
    assert set(load_run(folder).comparison.label) >= {"base", "rft"}


def refused(model, reason):
    with pytest.raises(DataError, match=reason):
        check_code(ModelRef(str(model), trust_code=True))


def test_a_model_that_is_no_folder_of_its_own_is_refused(model, tmp_path):
    refused(Path("somebody/model"), "give model as a folder with a config.json, whose code you")
    with pytest.raises(DataError, match="give model as a folder"):
        run(experiment("somebody/model", remote_code=True, revision="a" * 40), tmp_path / "run")
    # The library would load the model that it names, from wherever that is.
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    (model / "config.json").unlink()
    refused(model, "give model as a folder with a config.json")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "processor_config.json"])
@pytest.mark.parametrize(
    "named",
    [
        {"auto_map": {"AutoModel": "own.A", "AutoConfig": ["somebody/else--own.B", None]}},
        {"text_config": {"auto_map": {"AutoModel": "somebody/else--own.B"}}},
        {"auto_map": {"AutoModel": "/somewhere/own.B"}},
        {"auto_map": {"AutoModel": "../own.B"}},
        {"auto_map": "https://somewhere/own.B"},
    ],
)
def test_code_that_is_not_in_the_models_folder_is_refused(model, name, named):
    file = model / name
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(before | named))
    refused(model, f"{name} names code outside of the model's folder")
    inside = {"auto_map": {"AutoModel": "code/own-one.A", "AutoTokenizer": ["own.B", None]}}
    file.write_text(json.dumps(before | inside))
    check_code(ModelRef(str(model), trust_code=True))
    for unread in ("{", '{"a": ' * 980 + "{}" + "}" * 980):
        file.write_text(unread)
        refused(model, f"{name} cannot be read")


@pytest.mark.parametrize("place", ["own.py", "code/own.py", "custom_generate/generate.py"])
def test_other_code_is_another_model(model, place):
    (model / place).parent.mkdir(exist_ok=True)
    (model / place).write_text("a = 1")
    trusted = ModelRef(str(model), trust_code=True)
    before = model_fingerprint(trusted)
    (model / place).write_text("a = 2")
    assert model_fingerprint(trusted) != before


def test_what_the_shell_says_is_nothing_that_the_settings_ask(model, monkeypatch, capsys):
    monkeypatch.setenv("OFFLINE_RL_REMOTE_CODE", "1")
    monkeypatch.setattr("sys.argv", ["offline-rl", "doctor", "--model", str(model)])
    with pytest.raises(SystemExit):
        main()
    assert "runs only with remote_code: true" in capsys.readouterr().err


def test_workers_of_a_cluster_run_no_code_of_a_model(model):
    with pytest.raises(ValidationError, match="the workers of a cluster run no code of a model"):
        experiment(model, remote_code=True, cluster={})


def test_a_trusted_model_is_not_trusted_on_nodes(model):
    there = model_on_nodes(ModelRef(str(model), trust_code=True))
    assert there == ModelRef(str(model))
    with pytest.raises(DataError, match="runs only with remote_code: true"):
        CallActor("1").call(load_policy, there, TrainingSettings())


def test_a_reference_is_trusted_and_another_to_the_same_folder_is_not(model, transformers_engine):
    trusted = ModelRef(str(model), trust_code=True)
    for load in (
        stored_dtype,
        transformers_engine.load,
        partial(load_policy, training=TrainingSettings()),
    ):
        load(trusted)
        with pytest.raises((DataError, EngineError), match="runs only with remote_code: true"):
            load(ModelRef(str(model)))


def test_vllm_runs_the_code_of_a_trusted_model_alone(model, vllm_engine):
    pytest.importorskip("vllm", reason="this machine has no build of vLLM")
    config = json.loads((model / "config.json").read_text())
    names = {"AutoConfig": "own.OwnConfig"}
    config |= {"auto_map": names, "architectures": ["LlamaForCausalLM"]}
    (model / "config.json").write_text(json.dumps(config))
    vllm_engine.load(ModelRef(str(model), trust_code=True))
    [[sample]] = vllm_engine.generate([Request([1, 2], 0)], Sampling(samples=1, max_tokens=2))
    assert len(sample.tokens) == 2
    with pytest.raises(EngineError, match="runs only with remote_code: true"):
        vllm_engine.load(ModelRef(str(model)))


@pytest.mark.parametrize("trusted", [True, False])
def test_a_launch_hands_its_workers_whether_a_model_is_trusted(trusted, tmp_path):
    job = TrainingJob(
        method=METHODS["rft"](),
        rollouts=tmp_path,
        folder=tmp_path,
        model=ModelRef("m", "r", "a", trusted),
        training=TrainingSettings(lr=0.1),
        selection=Selection(),
        seed=3,
        setup=None,
    )
    job.write(tmp_path / "job.json")
    assert TrainingJob.read(tmp_path / "job.json") == job
