"""The trainer: exact gradients for every method, TRL's own losses, training one can trust."""

import json
import random
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from data_gen.selection import Pairing, Selection
from data_gen.types import Completion, Problem, Rollout, Verdict
from losses import dft_loss, dpo_loss, iw_sft_loss, nll_loss, sequence_logps, token_logps
from offline_rl.batches import collate, tokenize
from offline_rl.methods import METHODS
from offline_rl.model import load_policy
from offline_rl.trainer import OfflineTrainer, TrainingError
from offline_rl.training import NothingToLearn, train
from offline_rl.training_settings import Lora, TrainingSettings, resolve_training

SELECTION = Selection(pairs=Pairing(per_problem=2))


@pytest.fixture(scope="module")
def rollouts(random_model):
    """Twelve problems with two accepted and two wrong rollouts each, of different lengths."""
    tokenizer = AutoTokenizer.from_pretrained(random_model)
    generator = random.Random(0)
    made = []
    for number in range(12):
        problem = Problem(f"p{number}", f"{number}+{number}=", str(2 * number))
        prompt = tuple(tokenizer.encode(problem.prompt, add_special_tokens=False))
        for sample in range(4):
            right = sample < 2
            text = f"{2 * number + (0 if right else sample)}" + "!" * generator.randint(0, 15)
            tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
            completion = Completion(
                problem_id=problem.id,
                sample=sample,
                seed=sample,
                prompt=problem.prompt,
                prompt_tokens=prompt,
                text=text,
                tokens=tuple(tokens),
                logps=(-1.0,) * len(tokens),
                finish_reason="stop",
            )
            verdict = Verdict.correct(text) if right else Verdict.wrong("different", text)
            made.append(Rollout(problem, completion, verdict))
    return made


def make_trainer(kind, random_model, rollouts, tmp_path, *, budget=10**6, loader=None, **settings):
    """A trainer whose policy has moved a little away from the reference, so that ratios differ."""
    method = METHODS[kind](**settings)
    examples = [tokenize(example) for example in method.examples(rollouts, SELECTION, 0)][:8]
    trainer = OfflineTrainer(
        method=method,
        examples=examples,
        tokens_per_microbatch=budget,
        model=load_policy(str(random_model), None, TrainingSettings()),
        args=SFTConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            max_length=None,
        ),
        processing_class=AutoTokenizer.from_pretrained(random_model),
    )
    trainer.add_reference()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    # The start of training has passed: the policy is not the reference any more.
    trainer.state.global_step = 1
    trainer.create_accelerator_and_postprocess()
    return trainer


def gradients_of_step(trainer):
    trainer.model.zero_grad()
    count = len(trainer._examples)
    trainer.training_step(trainer.model, {"examples": torch.arange(count)})
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters()}


def assert_equal_gradients(ours, expected, tolerance=1e-5):
    scale = max(gradient.abs().max() for gradient in expected.values()).item()
    assert scale > 0
    for name, gradient in expected.items():
        torch.testing.assert_close(
            ours[name].double(), gradient.double(), atol=tolerance * scale, rtol=0, msg=name
        )


def slow_loss(method, model, examples):
    """The method's objective in float64 from whole logits, one unpadded row after another."""
    rows, total, units = [], 0.0, 0
    for example in examples:
        ratios = []
        for row in example:
            tokens = torch.tensor([row.tokens])
            every = token_logps(model(tokens).logits[:, :-1], tokens[:, 1:])
            logps = every[:, row.prompt_length - 1 :]
            reference = torch.tensor([row.reference_logps or [0.0] * logps.shape[1]]).double()
            ones = torch.ones_like(logps)
            rows.append((logps, reference, ones))
            ratios.append(sequence_logps(logps - reference, ones))
            units += row.trained_tokens if method.kind != "dpo" else 0
        if method.kind == "dpo":
            total, units = total + dpo_loss(*ratios, beta=method.beta).sum(), units + 1
    for logps, reference, ones in rows:
        if method.kind == "rft":
            total = total + nll_loss(logps).sum()
        elif method.kind == "dft":
            total = total + dft_loss(logps).sum()
        elif method.kind == "iw_sft":
            loss = iw_sft_loss(
                logps, reference, ones, level="sequence", temperature=1.0, clip=(0.0, 16.0)
            )
            total = total + loss.sum()
    return total / units


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_is_that_of_a_slow_float64_version(kind, random_model, rollouts, tmp_path):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    ours = gradients_of_step(trainer)
    trainer.model.double().zero_grad()
    slow_loss(trainer._method, trainer.model, trainer._examples).backward()
    expected = {name: p.grad for name, p in trainer.model.named_parameters()}
    assert_equal_gradients(ours, expected)


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_does_not_depend_on_the_cut_into_microbatches(
    kind, random_model, rollouts, tmp_path
):
    whole = make_trainer(kind, random_model, rollouts, tmp_path)
    one_by_one = make_trainer(kind, random_model, rollouts, tmp_path, budget=1)
    assert_equal_gradients(gradients_of_step(one_by_one), gradients_of_step(whole))


@pytest.mark.parametrize("kind", METHODS)
def test_losses_do_not_depend_on_padding(kind, random_model, rollouts, tmp_path):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    short, *others = sorted(trainer._examples, key=lambda e: max(len(row.tokens) for row in e))
    longest = others[-1]
    with torch.no_grad():
        alone = trainer.compute_loss(
            trainer.model, collate([short], trainer.args.device), num_items_in_batch=1
        )
        other = trainer.compute_loss(
            trainer.model, collate([longest], trainer.args.device), num_items_in_batch=1
        )
        both = trainer.compute_loss(
            trainer.model, collate([short, longest], trainer.args.device), num_items_in_batch=1
        )
    torch.testing.assert_close(both, alone + other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "loss_type"), [("rft", "nll"), ("dft", "dft")])
def test_the_gradient_is_that_of_trls_own_loss(kind, loss_type, random_model, rollouts, tmp_path):
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
    expected = {name: p.grad for name, p in trainer.model.named_parameters()}
    assert_equal_gradients(ours, expected)


def test_dpo_loss_is_that_of_trls_trainer(random_model, rollouts, tmp_path):
    from datasets import Dataset

    tokenizer = AutoTokenizer.from_pretrained(random_model)
    trainer = make_trainer("dpo", random_model, rollouts, tmp_path)
    names = {row.rollout_id for example in trainer._examples for row in example}
    known = {
        f"{r.problem.id}#{r.completion.sample}": r.completion
        for r in rollouts
        if f"{r.problem.id}#{r.completion.sample}" in names
    }
    pairs = [(known[c.rollout_id], known[r.rollout_id]) for c, r in trainer._examples]
    table = Dataset.from_dict(
        {
            "prompt": [chosen.prompt for chosen, _ in pairs],
            "chosen": [chosen.text for chosen, _ in pairs],
            "rejected": [rejected.text for _, rejected in pairs],
        }
    )
    theirs = DPOTrainer(
        model=trainer.model,
        ref_model=load_policy(str(random_model), None, TrainingSettings()),
        args=DPOConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
            beta=0.1,
            max_length=None,
        ),
        train_dataset=table,
        processing_class=tokenizer,
    )
    batch = theirs.data_collator([theirs.train_dataset[i] for i in range(len(pairs))])
    expected = theirs.compute_loss(theirs.model, batch)
    ours = trainer.compute_loss(
        trainer.model,
        collate(trainer._examples, trainer.args.device),
        num_items_in_batch=len(pairs),
    )
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def quick():
    return TrainingSettings(steps=4, examples_per_step=8, lr=1e-2, warmup=0.0, max_tokens=64)


def run_training(kind, rollouts, folder, random_model, training, **settings):
    return train(
        METHODS[kind](**settings),
        rollouts,
        folder,
        model=str(random_model),
        training=training,
        selection=SELECTION,
        seed=0,
    )


@pytest.mark.parametrize("kind", METHODS)
def test_training_raises_what_the_method_wants_raised(
    kind, random_model, rollouts, tmp_path, quick
):
    report = run_training(kind, rollouts, tmp_path, random_model, quick)
    first, last = report["history"][0], report["history"][3]
    if kind == "dpo":
        assert first["pair_loss"] == pytest.approx(0.693147, abs=1e-4)
        assert last["margin"] > first["margin"]
    else:
        assert last["accepted_mean_p"] > first["accepted_mean_p"]
    if kind == "iw_sft":
        assert first["weight_max"] == pytest.approx(1.0, abs=1e-4)
        assert first["weight_effective_share"] == pytest.approx(1.0, abs=1e-4)
    assert report["steps"] == 4
    assert json.loads((tmp_path / "training.json").read_text()) == report


def test_two_trainings_with_one_seed_give_the_same_weights(random_model, rollouts, tmp_path, quick):
    for name in ("a", "b"):
        run_training("dft", rollouts, tmp_path / name, random_model, quick)
    files = [tmp_path / name / "model.safetensors" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_training_resumes_to_the_same_weights(random_model, rollouts, tmp_path, quick):
    training = quick.model_copy(update={"checkpoint_every": 2})
    run_training("iw_sft", rollouts, tmp_path / "whole", random_model, quick)

    class Stop(Exception):
        pass

    def interrupt(step, steps, values):
        if step == 3:
            raise Stop

    method = METHODS["iw_sft"]()
    again = {"model": str(random_model), "training": training, "selection": SELECTION, "seed": 0}
    with pytest.raises(Stop):
        train(method, rollouts, tmp_path / "cut", on_log=interrupt, **again)
    steps = []
    train(method, rollouts, tmp_path / "cut", on_log=lambda s, *_: steps.append(s), **again)
    assert steps[0] == 3
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    resumed = load_file(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not (tmp_path / "cut" / "checkpoints").exists()


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
    with pytest.raises(NothingToLearn, match="24 rollouts of 12 problems hold no pair"):
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


def test_own_settings_go_before_shared_ones_before_the_papers():
    shared, own = TrainingSettings(lr=0.1, steps=7), TrainingSettings(lr=0.2)
    resolved = resolve_training({"lr": 0.3, "warmup": 0.4, "steps": 9}, shared, own)
    assert (resolved.lr, resolved.steps, resolved.warmup) == (0.2, 7, 0.4)


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
    assert report["training"]["lora"]["rank"] == 2


@pytest.mark.parametrize("kind", METHODS)
def test_bfloat16_starts_at_the_reference_within_its_rounding(
    kind, random_model, rollouts, tmp_path, quick
):
    training = quick.model_copy(update={"precision": "bfloat16"})
    report = run_training(kind, rollouts, tmp_path, random_model, training)
    assert report["steps"] == 4
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
