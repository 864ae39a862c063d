"""How much of an update rounding leaves."""

import pytest
import torch
from safetensors.torch import save_file

from data_gen.model_ref import ModelRef
from offline_rl.results.run_notes import rounding_notes
from offline_rl.training import bf16_update
from offline_rl.training.bf16_update import update_kept
from tests.helpers.policies import failed, trained

STEP = 2.0**-7
"""From 1 to the next number of bfloat16."""


@pytest.fixture
def folders(tmp_path):
    def write(before, after):
        """Each a list of files, each of them weights by name."""
        for name, files in (("base", before), ("policy", after)):
            (tmp_path / name).mkdir(exist_ok=True)
            for number, weights in enumerate(files):
                save_file(weights, tmp_path / name / f"model-{number}.safetensors")
        return ModelRef(str(tmp_path / "base")), tmp_path / "policy"

    return write


@pytest.mark.parametrize("block", [3, 2**24])
@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_what_moves_by_less_than_half_a_step_is_lost(stored, block, folders, monkeypatch):
    monkeypatch.setattr(bf16_update, "_BLOCK", block)
    before = torch.ones(2, 5, dtype=stored)
    moved = torch.tensor([[0, 0.2, 0.4, 0.6, 0.8], [0, 0, 1, 2, 3]]) * STEP
    at = folders([{"a": before}], [{"a": before.float() + moved}])
    assert update_kept(*at) == 5 / 7


def test_weights_are_found_by_name_in_whatever_file(folders):
    before = [{"a": torch.ones(4), "only": torch.ones(2)}, {"b": torch.zeros(4)}]
    before[1]["cut"] = torch.ones(4)
    after = [{"b": torch.ones(4)}, {"a": torch.ones(4) + 0.1 * STEP, "new": torch.ones(2)}]
    after[1]["cut"] = torch.zeros(3)
    assert update_kept(*folders(before, after)) == 0.5


def test_an_update_of_nothing_has_no_share(folders):
    same = [{"a": torch.ones(4)}]
    assert update_kept(*folders(same, same)) is None


def test_a_policy_that_rounding_makes_the_base_again_is_told():
    def records(share):
        return [trained("dpo", update_kept_in_bfloat16=share), trained("rft")]

    half, whole = [{"dtype": "bfloat16"}], [{"dtype": "float32"}]
    [note] = map(str, rounding_notes(records(0.07), half))
    assert "of those that moved: dpo 7%." in note
    assert not list(rounding_notes(records(0.07), whole))
    assert not list(rounding_notes(records(0.9), half))
    assert not list(rounding_notes([failed("dpo", 0, "nan")], half))
