"""Settings of several base models: common ones, each one's own, and faults with their place."""

import pytest

from offline_rl.config.dump import dump_several_models
from offline_rl.config.load import UsageError, load, load_experiment
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels
from offline_rl.settings.data import DataSettings
from tests.helpers.several_models import SERIES


def test_a_model_of_a_series_has_its_own_settings_over_the_common_ones(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    loaded = load(tmp_path / "both.yaml", ["seeds=[3]"], SeveralModels)
    assert isinstance(loaded, SeveralModels)
    one, two = loaded.experiments.values()
    assert (one.sampling.temperature, two.sampling.temperature) == (1.0, 0.8)
    assert one.sampling.samples == two.sampling.samples == 4
    assert one.seeds == two.seeds == (3,)
    (tmp_path / "again.yaml").write_text(dump_several_models(loaded))
    assert load(tmp_path / "again.yaml", [], SeveralModels) == loaded


def test_what_takes_one_model_asks_for_one_of_several(tmp_path):
    (tmp_path / "both.yaml").write_text(SERIES)
    file = tmp_path / "both.yaml"
    for kind in (Experiment, DataSettings):
        with pytest.raises(UsageError, match="several base models: name one"):
            load(file, [], kind)
        assert load(file, ["model=tiny"], kind) == load(file, [], kind, {"model": "tiny"})
    assert load_experiment(file, ["model=tiny"]).model == "tiny"


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("[a/x, b/x]", "models: several are called x"),
        ("[]", "models: neither a list"),
        ("3", "models: neither a list"),
        ("{a: 3}", r"models\.a: neither a model"),
        ("{a/b: tiny}", r"models\.a/b: name: 'a/b' is no label"),
        ("{a: {model: tiny, sedes: [1]}}", r"models\.a: sedes: unknown key \(did you mean seeds"),
    ],
)
def test_a_fault_in_models_is_told_with_its_place(tmp_path, models, said):
    (tmp_path / "both.yaml").write_text(SERIES)
    with pytest.raises(UsageError, match=said):
        load(tmp_path / "both.yaml", [f"models={models}"], SeveralModels)
