"""The number of threads: within the limit, few rather than many, and kept over an interruption."""

import torch

from offline_rl.artifacts.checksums import sealed
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.cpu_threads import _preferred, fastest, settled
from offline_rl.training.train import train
from tests.helpers.training import SELECTION, twelve_problems


def test_fewer_threads_are_taken_where_more_gain_little():
    assert _preferred({1: 1.0, 2: 0.6, 4: 0.58}) == 2
    assert _preferred({1: 1.0, 2: 1.5}) == 1
    assert _preferred({1: 1.0, 2: 0.5}) == 2


def test_the_probe_stays_within_the_limit_and_changes_nothing():
    before = torch.get_num_threads()
    assert 1 <= fastest(2) <= 2
    assert fastest(1) == 1
    assert torch.get_num_threads() == before


def test_what_was_settled_once_stays(tmp_path):
    (tmp_path / "threads").write_text(sealed({"threads": 3}))
    assert settled(1, tmp_path) == 3
    assert settled(1, tmp_path / "new") == 1
    assert (tmp_path / "new" / "threads").read_text() == sealed({"threads": 1})


def test_training_records_its_threads_and_goes_on_with_those_it_began_with(random_model, tmp_path):
    begun = tmp_path / "checkpoints"
    begun.mkdir()
    (begun / "threads").write_text(sealed({"threads": 1}))
    report = train(
        METHODS["rft"](),
        twelve_problems(random_model),
        tmp_path,
        model=random_model,
        training=TrainingSettings(steps=1, threads=2, probe_threads=True),
        selection=SELECTION,
        seed=0,
    )
    assert report["threads"] == 1
    assert not begun.exists()
