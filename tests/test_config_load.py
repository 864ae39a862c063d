"""Settings files: what they mean, and one clear line for each thing that is wrong."""

import subprocess
import sys

import pytest
import yaml

import offline_rl
from offline_rl.config.dump import dump_settings
from offline_rl.config.load import UsageError, load, load_experiment, shipped_experiments
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels
from offline_rl.methods.registry import METHODS
from offline_rl.settings.data import DataSettings
from offline_rl.settings.training import resolve_training
from offline_rl.stages.policies import policy_settings
from tests.helpers.several_models import alone

SMALL = """
name: small
model: tiny
problems: {source: arithmetic, split: train, limit: 5}
methods: {rft: {}, careful: {kind: dft, training: {lr: 1e-6}}}
evaluation: {benchmarks: {math500: {}, mine: {source: arithmetic, split: test}}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_names_stand_for_their_usual_settings(file):
    experiment = load_experiment(file, ["sampler=vllm", "verifier=exact", "problems=gsm8k"])
    assert experiment.sampler.kind == "vllm"
    assert experiment.verifier.kind == "exact"
    assert experiment.problems is not None
    assert experiment.problems.source == "gsm8k"
    assert experiment.evaluation.benchmarks["math500"].source == "math500"
    assert [type(method) for method in experiment.methods.values()] == [
        METHODS["rft"],
        METHODS["dft"],
    ]


def test_numbers_with_an_exponent_are_numbers(file):
    experiment = load_experiment(file, ["training.lr=5e-5"])
    assert experiment.training.lr == 5e-5
    assert experiment.methods["careful"].training.lr == 1e-6


def test_overrides_reach_inside_and_leave_the_rest(file):
    before, after = load_experiment(file), load_experiment(file, ["methods.careful.training.lr=1"])
    assert after.methods["careful"].training.lr == 1
    assert after.methods["rft"] == before.methods["rft"]


@pytest.mark.parametrize("name", [*shipped_experiments(), "small"])
def test_what_is_written_out_reads_back_to_the_same_experiment(name, file, tmp_path):
    experiment = load_experiment(file if name == "small" else name)
    path = tmp_path / "again.yaml"
    path.write_text(dump_settings(experiment))
    again = load_experiment(path)
    assert again == experiment
    for source, same in zip(
        experiment.evaluation.benchmarks.values(), again.evaluation.benchmarks.values(), strict=True
    ):
        assert source.resolved() == same.resolved()
    for label, method in experiment.methods.items():
        assert resolve_training(
            method.training_defaults, experiment.training, method.training
        ) == resolve_training(
            method.training_defaults, again.training, again.methods[label].training
        )


def test_a_length_that_another_goes_before_makes_no_other_policy(file):
    def depends_on(*changes):
        experiment = load_experiment(file, [*changes, "training.total_tokens=null"])
        return policy_settings(experiment, next(iter(experiment.methods.values())))

    assert depends_on("training.steps=3") == depends_on("training.steps=3", "training.epochs=9")
    assert depends_on("training.steps=3") != depends_on("training.steps=4")
    assert depends_on("training.epochs=3") != depends_on("training.epochs=9")


def test_the_base_is_decoded_in_three_ways_by_default(file):
    decodings = load_experiment(file).evaluation.decoded("base", "math500")
    assert {label: s.temperature for label, s in decodings.items()} == {
        "base": 1.0,
        "base-t0.5": 0.5,
        "base-greedy": 0.0,
    }
    assert decodings["base-greedy"].samples == 1


def test_a_decoding_of_all_policies_gives_each_a_label_of_its_own(file):
    experiment = load_experiment(
        file, ["evaluation.decodings={greedy: {temperature: 0, of: all}, hot: {temperature: 2}}"]
    )
    assert experiment.evaluation.labels("base") == ["base", "base-greedy", "base-hot"]
    assert experiment.evaluation.labels("rft") == ["rft", "rft-greedy"]
    with pytest.raises(UsageError, match="the label 'rft-greedy' is taken"):
        load_experiment(
            file,
            [
                "methods.rft-greedy={kind: rft}",
                "evaluation.decodings.greedy={temperature: 0, of: all}",
            ],
        )


def test_a_benchmark_has_what_it_says_itself_and_the_rest_from_the_others(file):
    mine = "{problems: a.jsonl, prompt: 'Q: {problem}', verifier: exact, sampling: {samples: 3}}"
    experiment = load_experiment(file, [f"evaluation.benchmarks.mine={mine}"])
    one = experiment.evaluation.benchmarks["mine"]
    assert (one.source, one.prompt, one.verifier.kind) == ("a.jsonl", "Q: {problem}", "exact")
    common = experiment.evaluation.sampling
    assert one.sampling == common.model_copy(update={"samples": 3})
    assert experiment.evaluation.decoded("base", "mine")["base-t0.5"].samples == 3
    assert experiment.evaluation.decoded("base", "math500")["base"] == common


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("traning.lr=1", "traning: unknown key (did you mean training?)"),
        ("methods.rft.training.lrr=1", "methods.rft.training.lrr: unknown key"),
        ("evaluation.benchmarks.mine.splt=1", "evaluation.benchmarks.mine.splt: unknown key"),
        ("training.lr=-1", "training.lr: Input should be greater than 0 (got -1)"),
        ("training.lr=.nan", "training.lr: Input should be"),
        ("training.steps=two", "training.steps: Input should be a valid integer"),
        ("training.betas=[0.9, 1]", "training: betas must lie in [0, 1)"),
        ("methods.iw={kind: iw_sft, clip: [2, 3]}", "methods.iw.clip: must be (low, high)"),
        ("methods.other={}", "methods.other: this needs a `kind`"),
        ("methods.dtf={}", "`kind` (offline-rl list methods): did you mean dft?"),
        ("methods.DPO={}", "did you mean dpo?"),
        ("seeds=0,1", "seeds: Input should be a list: write seeds=[0,1] (got '0,1')"),
        ("seeds=3", "write seeds=[3] (got 3)"),
        ("report.formats=csv,html", "write report.formats=[csv,html]"),
        ('sampling.stop="a\\nb"', 'write sampling.stop=["a\\nb"]'),
        ("methods.other.kind=ppo", "methods.other: there is no kind 'ppo'"),
        ("methods.base={kind: rft}", "methods.base: this label is taken"),
        ("methods={../up: {kind: rft}}", "methods.../up: '../up' is no label"),
        (
            "evaluation.decodings.cold={temperature: 0, samples: 2}",
            "evaluation.decodings.cold: greedy",
        ),
        ("methods.NA={kind: rft}", "'NA' is no label: tables are read with it as a missing"),
        ("methods.base-greedy={kind: rft}", "methods.base-greedy: "),
        ("evaluation.benchmarks.math500={verifier: no}", "evaluation.benchmarks.math500.verifier"),
        ("evaluation.benchmarks.math500={prompt: x}", "evaluation.benchmarks.math500.prompt: "),
        ("evaluation.benchmarks={}", "evaluation.benchmarks: Dictionary should have at least 1"),
        ("evaluation.benchmarks.macro={source: gsm8k}", "evaluation.benchmarks: macro: this name"),
        ("name=a/b", "name: 'a/b' is no label"),
        ("prompt=hello", "prompt: prompt 'hello' is neither one of raw"),
        ("rollouts=some.jsonl", "give either problems to sample for, or rollouts"),
        ("seeds=[1, 1]", "seeds: a training seed stands twice"),
        ("sampling.temperature=.inf", "sampling.temperature: Input should be a finite number"),
        ("training.lr.deep=1", "training.lr.deep: lr is a single value"),
        ("training", "'training' is no override"),
        ("training.lr=[", "training.lr: not valid YAML"),
    ],
)
def test_a_fault_is_told_in_one_line_with_its_dotted_path(file, override, message):
    base = [] if override.startswith("training.lr.deep") else ["training.steps=1"]
    extra = ["training.lr=1"] if "lr.deep" in override else []
    with pytest.raises(UsageError) as caught:
        load_experiment(file, [*base, *extra, override])
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (["training.steps=many"], "command line: training.steps: "),
        (["traning.lr=1"], "command line: traning: unknown key"),
        (["seeds=[0, -1]"], "command line: seeds.1: "),
        (["methods={x: {}}"], "command line: methods.x: "),
        (["training.betas=[0.9, 1]", "training.lr=1"], "command line: training: betas must lie"),
        (["training.lr=1"], "{file}: training.epochs: "),
        ([], "{file}: training.epochs: "),
        (["rollouts=some.jsonl", "training.epochs=1"], "{file} and command line: give either"),
        (["name=a/b", "training.lr=-1"], "command line: name: "),
    ],
)
def test_a_fault_is_blamed_on_the_file_or_the_command_line(file, overrides, start):
    broken = "training: {epochs: x}" if start.startswith("{file}") else ""
    file.write_text(f"{SMALL}{broken}\n")
    for kind in (Experiment, SeveralModels):
        with pytest.raises(UsageError) as caught:
            load(file, overrides, kind)
        assert str(caught.value).startswith(start.format(file=file))


def test_a_fault_in_an_option_of_a_command_is_blamed_on_the_command_line(file):
    with pytest.raises(UsageError) as caught:
        load(file, ["problems.limt=3"], DataSettings, {"problems": {"source": 7}})
    first, second = str(caught.value).splitlines()
    assert first.startswith("command line: problems.source: Input should be a valid string")
    assert second.startswith("command line: problems.limt: unknown key (did you mean limit?)")


def test_a_model_that_is_evaluated_alone_is_one_model():
    with pytest.raises(UsageError, match="models: unknown key"):
        alone("x", "models=[tiny]")


def test_each_of_several_faults_is_blamed_on_where_it_stands(file):
    file.write_text(f"{SMALL}seeds: 0,1\n")
    with pytest.raises(UsageError) as caught:
        load_experiment(file, ["training.lr=-1"])
    first, second = str(caught.value).splitlines()
    assert first.startswith("command line: training.lr: ")
    assert second == f"{file}: seeds: Input should be a list: write seeds: [0,1] (got '0,1')"


def test_a_fault_in_the_settings_of_one_of_several_models_is_blamed_too(file):
    models = "models: {one: {model: tiny, training: {lr: x}}}"
    file.write_text(SMALL.replace("model: tiny", models))
    for override, start in (
        ("models.one.training.lr=y", "command line: models.one: training.lr: "),
        ("models.one.training.steps=1", f"{file}: models.one: training.lr: "),
    ):
        with pytest.raises(UsageError) as caught:
            load(file, [override], SeveralModels)
        assert str(caught.value).startswith(start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "line 2: 'name' stands twice"),
        ("no: 1\n", "line 1: 'no' is read as False"),
        ("name: [\n", "not valid YAML"),
        ("", "holds no settings"),
        ("- 1\n", "holds no settings"),
        ("!!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: &x [*x]\n" + "b: " + "[" * 3000, "not valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml") as caught:
        load_experiment(path)
    assert message in str(caught.value)


def test_a_missing_file_names_what_there_is(tmp_path):
    with pytest.raises(UsageError, match=r"No such file.*shipped: demo"):
        load_experiment(tmp_path / "missing.yaml")


def test_every_setting_of_the_shipped_files_is_known_and_every_label_safe():
    for name, path in shipped_experiments().items():
        raw = yaml.safe_load(path.read_text())
        assert raw["name"] == name
        assert isinstance(load_experiment(name), Experiment)


def test_the_paper_experiment_asks_for_what_the_paper_did():
    experiment = load_experiment("dft_paper_offline")
    assert experiment.sampling.samples == 4
    assert experiment.evaluation.sampling.samples == 16
    assert experiment.evaluation.sampling.max_tokens == 4096
    rates = {
        label: resolve_training(method.training_defaults, experiment.training, method.training).lr
        for label, method in experiment.methods.items()
    }
    assert rates == {"rft": 5e-5, "dft": 5e-5, "iw_sft": 1e-5, "dpo": 1e-6}
    assert len(experiment.evaluation.benchmarks) == 5


def test_the_public_names_are_there_and_cost_nothing_before_use():
    script = "import sys, offline_rl; print('torch' in sys.modules); offline_rl.METHODS['dft']"
    run = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
    assert offline_rl.load_experiment is load_experiment
    assert offline_rl.Experiment is Experiment
    for name in offline_rl.__all__:
        assert getattr(offline_rl, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        offline_rl.nothing  # noqa: B018 (the access is the test)
