"""Training one can trust: it raises what it should, resumes to the bit, and stops in time."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from data_gen.model_ref import ModelRef
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Lora, TrainingSettings, resolve_training
from offline_rl.training.train import NothingToLearn, train, trainer_arguments
from offline_rl.training.trainer import TrainingError
from tests.helpers.training import SELECTION, gradients_of_step, make_trainer, twelve_problems


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture
def quick():
    return TrainingSettings(steps=4, examples_per_step=8, lr=1e-2, warmup=0.0, max_tokens=64)


def run_training(kind, rollouts, folder, random_model, training, **settings):
    return train(
        METHODS[kind](**settings),
        rollouts,
        folder,
        model=ModelRef(str(random_model)),
        training=training,
        selection=SELECTION,
        seed=0,
    )


RISING = {
    **dict.fromkeys(METHODS, lambda log: log["accepted_mean_p"]),
    **dict.fromkeys(("dpo", "ipo", "simpo"), lambda log: log["margin"]),
    **dict.fromkeys(
        ("offline_grpo", "topr", "asymre", "kto"),
        lambda log: log["rejected_nll"] - log["accepted_nll"],
    ),
}


@pytest.mark.parametrize("kind", METHODS)
def test_training_raises_what_the_method_wants_raised(
    kind, random_model, rollouts, tmp_path, quick
):
    # Each step sees every example, so that steps are measured on the same.
    training = quick.model_copy(update={"examples_per_step": len(rollouts)})
    report = run_training(kind, rollouts, tmp_path, random_model, training)
    first, last = report.history[0], report.history[3]
    assert RISING[kind](last) > RISING[kind](first)
    assert report.steps == 4
    assert (tmp_path / "training.json").read_text() == report.text()


def test_passes_without_gradient_are_counted_as_operations(random_model, rollouts, tmp_path, quick):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    flops = {
        kind: run_training(kind, right, tmp_path / kind, random_model, quick).flops
        for kind in ("rft", "psft", "asft")
    }
    assert flops["psft"] == flops["asft"] == flops["rft"] * 8 / 6


def test_dpo_starts_at_ln_2_and_the_weights_of_iw_sft_at_1(random_model, rollouts, tmp_path, quick):
    first = run_training("dpo", rollouts, tmp_path, random_model, quick).history[0]
    assert first["pair_loss"] == pytest.approx(0.693147, abs=1e-4)
    first = run_training("iw_sft", rollouts, tmp_path, random_model, quick).history[0]
    assert first["weight_max"] == pytest.approx(1.0, abs=1e-4)
    assert first["weight_effective_share"] == pytest.approx(1.0, abs=1e-4)


def test_two_trainings_with_one_seed_give_the_same_weights(random_model, rollouts, tmp_path, quick):
    for name in ("a", "b"):
        run_training("dft", rollouts, tmp_path / name, random_model, quick)
    files = [tmp_path / name / "model.safetensors" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


# Step 4, the first after the interruption, compares psft's policy with that before step 3.
RESUMED = {"iw_sft": {}, "psft": {"lag_steps": 2}, "asft": {}, "kto": {}}


@pytest.mark.parametrize("kind", RESUMED)
def test_training_resumes_to_the_same_weights(kind, random_model, rollouts, tmp_path, quick):
    longer = quick.model_copy(update={"steps": 5})
    training = longer.model_copy(update={"checkpoint_every": 3})
    run_training(kind, rollouts, tmp_path / "whole", random_model, longer, **RESUMED[kind])

    class Stop(Exception):
        pass

    def interrupt(step, steps, values):
        if step == 4:
            raise Stop

    method = METHODS[kind](**RESUMED[kind])
    again = {
        "model": ModelRef(str(random_model)),
        "training": training,
        "selection": SELECTION,
        "seed": 0,
    }
    with pytest.raises(Stop):
        train(method, rollouts, tmp_path / "cut", on_log=interrupt, **again)
    steps = []
    train(method, rollouts, tmp_path / "cut", on_log=lambda s, *_: steps.append(s), **again)
    assert steps[0] == 4
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    resumed = load_file(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_training_killed_after_its_last_step_takes_none_more(
    random_model, rollouts, tmp_path, quick
):
    class Stop(Exception):
        pass

    def interrupt(step, steps, values):
        if "train_loss" in values:
            raise Stop

    # Amid an epoch, where more batches would follow.
    told = {"model": ModelRef(str(random_model)), "selection": SELECTION, "seed": 0}
    told["training"] = quick.model_copy(update={"steps": 5, "checkpoint_every": 1})
    rft = METHODS["rft"]()
    train(rft, rollouts, tmp_path / "whole", **told)
    with pytest.raises(Stop):
        train(rft, rollouts, tmp_path / "cut", on_log=interrupt, **told)
    report = train(rft, rollouts, tmp_path / "cut", **told)
    assert report.steps == 5
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_policy_that_is_not_its_reference_stops_at_the_first_step(
    random_model, rollouts, tmp_path
):
    trainer = make_trainer("iw_sft", random_model, rollouts, tmp_path)
    trainer.state.global_step = 0
    with pytest.raises(TrainingError, match=r"weight should be 1.0000 before the first update"):
        gradients_of_step(trainer)


def test_a_loss_that_is_not_finite_stops_and_names_the_rollouts(random_model, rollouts, tmp_path):
    trainer = make_trainer("rft", random_model, rollouts, tmp_path)
    with torch.no_grad():
        trainer.model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 2 \(rollouts p0#0"):
        gradients_of_step(trainer)


def test_a_method_without_examples_says_so(random_model, rollouts, tmp_path, quick):
    accepted_only = [r for r in rollouts if r.verdict.label == "correct"]
    with pytest.raises(NothingToLearn, match="20 rollouts of 12 problems hold no pair"):
        run_training("dpo", accepted_only, tmp_path, random_model, quick)
    short = quick.model_copy(update={"max_tokens": 4})
    with pytest.raises(NothingToLearn, match=r"longer than training\.max_tokens = 4"):
        run_training("rft", rollouts, tmp_path, random_model, short)


def test_training_reads_the_sampled_tokens_and_never_the_text(
    random_model, rollouts, tmp_path, quick
):
    garbled = [
        replace(r, completion=replace(r.completion, text="garbled", prompt="garbled"))
        for r in rollouts
    ]
    for name, data in (("a", rollouts), ("b", garbled)):
        run_training("rft", data, tmp_path / name, random_model, quick)
    files = [tmp_path / name / "model.safetensors" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_no_epoch_of_one_seed_is_shuffled_as_one_of_another(tmp_path, quick):
    seeds = [trainer_arguments(quick, 3, seed, tmp_path).data_seed for seed in range(20)]
    shuffles = {seed + epoch for seed in seeds for epoch in range(100)}
    assert len(shuffles) == 20 * 100
    assert trainer_arguments(quick, 3, 7, tmp_path).data_seed == seeds[7]


def test_how_much_of_the_update_rounding_leaves_is_told(random_model, rollouts, tmp_path, quick):
    shares = []
    for lr in (1e-8, 1e-2):
        training = quick.model_copy(update={"lr": lr})
        report = run_training("rft", rollouts, tmp_path / str(lr), random_model, training)
        shares.append(report.update_kept_in_bfloat16)
        assert (tmp_path / str(lr) / "training.json").read_text() == report.text()
    assert 0 <= shares[0] < 0.1 < 0.9 < shares[1] <= 1


def test_own_settings_go_before_shared_ones_before_the_papers():
    shared, own = TrainingSettings(lr=0.1, steps=7), TrainingSettings(lr=0.2)
    resolved = resolve_training(TrainingSettings(lr=0.3, warmup=0.4, steps=9), shared, own)
    assert (resolved.lr, resolved.steps, resolved.warmup) == (0.2, 7, 0.4)


@pytest.mark.parametrize("behind", [{"steps": 9}, {"total_tokens": 9}, {"epochs": 9, "steps": 9}])
@pytest.mark.parametrize("length", [{"epochs": 3}, {"steps": 3}, {"total_examples": 3}])
def test_a_length_of_whatever_kind_goes_before_those_behind(length, behind):
    own, alone = TrainingSettings(**length), TrainingSettings(**length)
    assert resolve_training(TrainingSettings(**behind), TrainingSettings(), own) == alone
    assert resolve_training(TrainingSettings(), TrainingSettings(**behind), own) == alone
    assert resolve_training(TrainingSettings(), own, TrainingSettings(lr=0.1)).resolved() == {
        **alone.resolved(),
        "lr": 0.1,
    }


def test_a_schedule_without_warm_up_tells_of_none():
    own = TrainingSettings(scheduler="constant")
    none, some = TrainingSettings(), TrainingSettings(warmup=0.4)
    assert resolve_training(some, none, own).warmup == 0
    assert resolve_training(none, some, none).warmup == 0.4


@pytest.mark.parametrize("kind", METHODS)
def test_adapters_train_and_leave_a_whole_model(kind, random_model, rollouts, tmp_path, quick):
    training = quick.model_copy(update={"lora": Lora(rank=2, alpha=4)})
    report = run_training(kind, rollouts, tmp_path, random_model, training)
    before = load_file(f"{random_model}/model.safetensors")
    after = load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("proj" in name for name in moved)
    assert report.training["lora"]["rank"] == 2


@pytest.mark.parametrize("kind", METHODS)
def test_bfloat16_starts_at_the_reference_within_its_rounding(
    kind, random_model, rollouts, tmp_path, quick
):
    training = quick.model_copy(update={"precision": "bfloat16"})
    report = run_training(kind, rollouts, tmp_path, random_model, training)
    assert report.steps == 4
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


def test_gradient_checkpointing_changes_no_weight(random_model, rollouts, tmp_path, quick):
    for name, checkpointing in (("with", True), ("without", False)):
        training = quick.model_copy(update={"gradient_checkpointing": checkpointing})
        run_training("dft", rollouts, tmp_path / name, random_model, training)
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("with", "without"))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_adapters_start_from_the_seed_whatever_ran_before(random_model, rollouts, tmp_path, quick):
    training = quick.model_copy(update={"lora": Lora(rank=2), "steps": 1})
    for name in ("a", "b"):
        run_training("rft", rollouts, tmp_path / name, random_model, training)
        torch.rand(7)
    files = [tmp_path / name / "model.safetensors" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()
