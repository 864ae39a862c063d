"""What the trainer serves methods: the base's divergence, and a policy that lags behind."""

from array import array
from dataclasses import fields

import pytest
import torch

from data_gen.model_ref import ModelRef
from data_gen.types import DataError
from offline_rl.batch import Row, collate
from offline_rl.methods import Requires
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.model import load_policy
from tests.helpers.training import make_trainer, twelve_problems


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


def test_with_adapters_the_base_is_the_model_without_them(random_model, rollouts, tmp_path):
    trainer = make_trainer("asft", random_model, rollouts, tmp_path, lora=Lora(rank=2))
    batch = collate(trainer._examples, trainer.args.device)
    with torch.no_grad():
        _, served = trainer._auxiliary.score(trainer.model, batch)
        inputs = {"input_ids": batch.tokens, "attention_mask": batch.attention_mask}
        policy = trainer.model(**inputs).logits[:, :-1].log_softmax(-1)
        with trainer.model.disable_adapter():
            base = trainer.model(**inputs).logits[:, :-1].log_softmax(-1)
    expected = (base.exp() * (base - policy)).sum(-1) * batch.mask
    assert expected.max() > 1e-3
    torch.testing.assert_close(served.divergence(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        ("reference", "reference"),
        ("lagged", "lag_steps"),
        ("divergence", "base_kl"),
        ("statistic", "step_statistic"),
    ],
)
def test_reading_what_a_method_does_not_require_names_the_missing_field(read, name):
    batch = collate([(Row("p#0", array("i", [1, 2, 3]), 1),)], torch.device("cpu"))
    with pytest.raises(ValueError, match=rf"its `requires` must set {name}$"):
        getattr(batch, read)()
    assert name in {field.name for field in fields(Requires)}


def test_the_divergence_is_refused_for_models_that_cap_their_logits(random_model):
    from offline_rl.training.base_kl import BaseDivergence

    model = load_policy(ModelRef(random_model), TrainingSettings())
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(DataError, match="final_logit_softcapping"):
        BaseDivergence(model)


def test_the_old_policy_is_refreshed_when_it_is_time_and_not_before(
    random_model, rollouts, tmp_path
):
    trainer = make_trainer("psft", random_model, rollouts, tmp_path, lag_steps=4)
    batch = collate(trainer._examples[:2], trainer.args.device)

    def ratio(step):
        trainer.state.global_step = step
        trainer._begin_step(trainer.model, range(2))
        with torch.no_grad():
            outputs, served = trainer._auxiliary.score(trainer.model, batch)
        return (outputs.log_probs - served.lagged()).exp()

    assert (ratio(3) - 1).abs().max() > 0.01
    torch.testing.assert_close(ratio(4), torch.ones_like(batch.mask))
    with torch.no_grad():
        trainer.model.model.norm.weight.mul_(1.1)
    assert (ratio(5) - 1).abs().max() > 0.01


def test_a_snapshot_leaves_the_model_as_it_was(random_model, rollouts, tmp_path):
    trainer = make_trainer("psft", random_model, rollouts, tmp_path)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with torch.no_grad():
        trainer._auxiliary.score(trainer.model, collate(trainer._examples, trainer.args.device))
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
