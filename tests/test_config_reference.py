"""The documentation explains every setting, in the words of the settings themselves."""

from pathlib import Path

from offline_rl.cli.list_names import training_defaults
from offline_rl.config.reference import settings_reference
from offline_rl.config.schema import Experiment
from offline_rl.methods.registry import BUILT_IN
from offline_rl.methods.rft import Rft
from offline_rl.settings.data import DataSettings
from offline_rl.settings.training import TrainingSettings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def test_the_documentation_has_every_setting_once():
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    for one in settings_reference(Experiment):
        default = f"`{one.default}`" if one.default else ""
        meaning = one.meaning.replace("|", r"\|")
        assert text.count(f"| `{one.name}` | {default} | {meaning} |\n") == 1, one.name


def test_the_documentation_has_the_training_that_each_method_begins_with():
    text = (REFERENCE / "methods" / "README.md").read_text(encoding="utf-8")
    for name, method in BUILT_IN.items():
        assert f"| `{name}` | {training_defaults(method)} |\n" in text


def test_defaults_of_any_kind_are_told():
    defaults = TrainingSettings(scheduler="constant", betas=(0.9, 0.99), steps=7)
    told = training_defaults(type("Other", (Rft,), {"training_defaults": defaults}))
    assert "scheduler constant, betas [0.9, 0.99]" in told
    assert "steps 7" in told
    assert "epochs" not in told


def test_no_setting_is_without_a_meaning():
    assert not [one.name for one in settings_reference(Experiment) if not one.meaning]


def test_an_experiment_has_the_settings_of_its_data_set():
    everything = settings_reference(Experiment)
    assert set(settings_reference(DataSettings)) <= set(everything)
    names = [one.name for one in everything]
    assert len(names) == len(set(names))
    assert {"training.lora.rank", "sampler[vllm].dtype", "filters.pass_rate"} <= set(names)
