"""Our losses are those of TRL's own trainers, on the same tokens of the same policy."""

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTTrainer

from data_gen.model_ref import ModelRef
from offline_rl.batch import collate
from offline_rl.settings.training import TrainingSettings
from offline_rl.training.model import load_policy
from tests.helpers.training import (
    LAST,
    assert_equal_gradients,
    gradients,
    gradients_of_step,
    make_trainer,
    twelve_problems,
)


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.mark.parametrize(("kind", "loss_type"), [("rft", "nll"), ("dft", "dft")])
def test_token_losses_have_the_gradient_of_trls(kind, loss_type, random_model, rollouts, tmp_path):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    ours = gradients_of_step(trainer)
    batch = collate(trainer._examples, trainer.args.device)
    trainer.args.loss_type = loss_type
    trainer.model.zero_grad()
    inputs = {
        "input_ids": batch.tokens,
        "attention_mask": batch.attention_mask,
        "labels": batch.labels,
    }
    SFTTrainer.compute_loss(
        trainer, trainer.model, inputs, num_items_in_batch=batch.mask.sum()
    ).backward()
    assert_equal_gradients(ours, gradients(trainer.model))


def preference_table(trainer, rollouts):
    completions = {f"{r.problem.id}#{r.completion.sample}": r.completion for r in rollouts}
    pairs = [[completions[row.rollout_id] for row in example] for example in trainer._examples]
    return Dataset.from_dict(
        {
            "prompt": [chosen.prompt for chosen, _ in pairs],
            "chosen": [chosen.text for chosen, _ in pairs],
            "rejected": [rejected.text for _, rejected in pairs],
        }
    )


def arguments(tmp_path):
    return {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "gradient_checkpointing": False,
        "max_length": None,
        "per_device_train_batch_size": LAST,
    }


def loss_and_gradients(trainer):
    """Of our trainer, on all its examples as one step."""
    found = gradients_of_step(trainer)
    with torch.no_grad():
        batch = collate(trainer._examples, trainer.args.device)
        return trainer.compute_loss(trainer.model, batch, num_items_in_batch=LAST), found


def assert_equal_losses(trainer, theirs, compute):
    loss, ours = loss_and_gradients(trainer)
    trainer.model.zero_grad()
    batch = theirs.data_collator([theirs.train_dataset[i] for i in range(LAST)])
    expected = compute(theirs.model, batch)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    assert_equal_gradients(ours, gradients(trainer.model))


@pytest.mark.parametrize(("kind", "loss_type"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_pair_losses_are_those_of_trls_dpo_trainer(
    kind, loss_type, random_model, rollouts, tmp_path
):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path, beta=0.3)
    theirs = DPOTrainer(
        model=trainer.model,
        ref_model=load_policy(ModelRef(random_model), TrainingSettings()),
        args=DPOConfig(**arguments(tmp_path), beta=0.3, loss_type=loss_type),
        train_dataset=preference_table(trainer, rollouts),
        processing_class=AutoTokenizer.from_pretrained(random_model),
    )
    assert_equal_losses(trainer, theirs, theirs.compute_loss)


def test_simpo_loss_is_that_of_trls_cpo_trainer(random_model, rollouts, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    trainer = make_trainer("simpo", random_model, rollouts, tmp_path, beta=2.5, gamma=0.7)
    given = {**arguments(tmp_path), "max_length": 200}
    tokenizer = AutoTokenizer.from_pretrained(random_model, pad_token="<eos>")
    theirs = CPOTrainer(
        model=trainer.model,
        args=CPOConfig(**given, loss_type="simpo", beta=2.5, simpo_gamma=0.7, cpo_alpha=0.0),
        train_dataset=preference_table(trainer, rollouts),
        processing_class=tokenizer,
    )
    assert_equal_losses(
        trainer, theirs, lambda model, batch: theirs.get_batch_loss_metrics(model, batch)[0]
    )


def test_kto_loss_is_that_of_trls_kto_trainer(random_model, rollouts, tmp_path):
    # With one rollout a problem both put a completion behind the prompt of the one after.
    one_each = [r for i, r in enumerate(rollouts) if i % 4 == (0 if i % 8 < 4 else 3)]
    weights = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    trainer = make_trainer("kto", random_model, one_each, tmp_path, **weights)
    used = one_each[:LAST]
    table = Dataset.from_dict(
        {
            "prompt": [r.completion.prompt for r in used],
            "completion": [r.completion.text for r in used],
            "label": [r.verdict.label == "correct" for r in used],
        }
    )
    theirs = KTOTrainer(
        model=trainer.model,
        ref_model=load_policy(ModelRef(random_model), TrainingSettings()),
        args=KTOConfig(**arguments(tmp_path), **weights),
        train_dataset=table,
        processing_class=AutoTokenizer.from_pretrained(random_model),
    )
    assert_equal_losses(trainer, theirs, theirs.compute_loss)
    assert trainer._auxiliary._step_mean > 1
