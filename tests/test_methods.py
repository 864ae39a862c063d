"""Methods in the trainer: exact gradients however a step is cut, laws, and what they learn from."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer

from data_gen.filters import Filters
from data_gen.selection import Selection
from data_gen.types import DataError, Problem, Sampling, Verdict
from offline_rl.batches import collate
from offline_rl.gathering_notes import method_notes
from offline_rl.methods.base import Origin
from offline_rl.methods.registry import METHODS
from offline_rl.model import load_policy
from offline_rl.settings import load_experiment
from offline_rl.training import NothingToLearn, prepare
from offline_rl.training_settings import Lora, TrainingSettings
from tests.training_parts import (
    SELECTION,
    assert_equal_gradients,
    gradients,
    gradients_of_step,
    make_trainer,
    rollout,
    slow_loss,
    twelve_problems,
)


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture
def step(random_model, rollouts, tmp_path):
    """The gradients of one optimiser step of a method with settings, on chosen rollouts."""

    def gradients_of(kind, chosen=None, **settings):
        trainer = make_trainer(kind, random_model, chosen or rollouts, tmp_path, **settings)
        return gradients_of_step(trainer)

    return gradients_of


@pytest.fixture
def slow_step(random_model, rollouts, tmp_path):
    """The same for the slow float64 version."""

    def gradients_of(trainer):
        base = load_policy(random_model, None, TrainingSettings()).double()
        trainer.model.double().zero_grad()
        slow_loss(trainer, trainer.model, base).backward()
        return gradients(trainer.model)

    return gradients_of


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_is_that_of_a_slow_float64_version(
    kind, random_model, rollouts, tmp_path, slow_step
):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    ours = gradients_of_step(trainer)
    assert_equal_gradients(ours, slow_step(trainer))
    if kind == "kto":
        assert trainer._needs._step_mean > 1


@pytest.mark.parametrize("kind", METHODS)
def test_the_gradient_does_not_depend_on_the_cut_into_microbatches(kind, step):
    assert_equal_gradients(step(kind, budget=1), step(kind))


@pytest.mark.parametrize("kind", METHODS)
def test_losses_do_not_depend_on_padding(kind, random_model, rollouts, tmp_path):
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    trainer._begin_step(trainer.model, range(8))
    short, *_, longest = sorted(trainer._examples, key=lambda e: max(len(row.tokens) for row in e))

    def loss(*examples):
        batch = collate(examples, trainer.args.device)
        return trainer.compute_loss(trainer.model, batch, num_items_in_batch=1)

    with torch.no_grad():
        torch.testing.assert_close(
            loss(short, longest), loss(short) + loss(longest), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", METHODS)
def test_pointwise_is_what_each_token_alone_decides(kind, random_model, rollouts, tmp_path):
    """The loss of a pointwise method does not change when every position is a row of its own."""
    trainer = make_trainer(kind, random_model, rollouts, tmp_path)
    trainer._begin_step(trainer.model, range(8))
    method = trainer._method
    with torch.no_grad():
        batch = collate(trainer._examples, trainer.args.device)
        outputs, batch = trainer._needs.score(trainer.model, batch)
        whole = method.loss(outputs.log_probs, batch)
        places = (batch.mask > 0).nonzero().unbind(-1)

        def parted(values):
            return None if values is None else values[places][:, None]

        alone = replace(
            batch,
            mask=parted(batch.mask),
            signals=batch.signals[places[0]],
            accepted=batch.accepted[places[0]],
            reference_logps=parted(batch.reference_logps),
            lagged_logps=parted(batch.lagged_logps),
            base_divergence=parted(batch.base_divergence),
        )
        if method.pointwise:
            each = method.loss(parted(outputs.log_probs), alone)
            torch.testing.assert_close(each[:, 0], whole[places])
    expected = {"rft", "sft", "dft", "power", "psft", "offline_grpo", "asymre", "rift"}
    assert method.pointwise == (kind in expected)


def test_a_setting_decides_whether_some_methods_are_pointwise():
    assert METHODS["iw_sft"](level="token").pointwise
    assert METHODS["topr"](level="token").pointwise
    assert METHODS["asft"](kl_weight=0).pointwise


# Laws between methods


def test_power_at_alpha_1_is_dft(step):
    assert_equal_gradients(step("power", alpha=1.0), step("dft"))


def test_power_near_alpha_0_is_rft(step):
    assert_equal_gradients(step("power", alpha=1e-6), step("rft"), tolerance=1e-4)


def test_asft_without_an_anchor_is_dft(step):
    assert_equal_gradients(step("asft", kl_weight=0.0), step("dft"))


def test_psft_of_an_old_policy_that_is_the_present_one_is_rft(step):
    # Refreshed before every step, the old policy is always the present one.
    assert_equal_gradients(step("psft", lag_steps=1), step("rft"))


def test_psft_learns_nothing_from_tokens_above_the_clip(step):
    inert, tight = step("rft"), step("psft", clip=(0.8, 1.0001))
    gaps = [(tight[name] - inert[name]).abs().max().item() for name in inert]
    assert max(gaps) > 1e-3 * max(gradient.abs().max().item() for gradient in inert.values())


def test_offline_grpo_with_an_advantage_of_1_is_dft(random_model, rollouts, tmp_path, step):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    trainer = make_trainer("dft", random_model, right, tmp_path)
    assert all(row.signal == 1.0 for (row,) in trainer._examples)
    expected = gradients_of_step(trainer)
    trainer._method = METHODS["offline_grpo"]()
    assert_equal_gradients(gradients_of_step(trainer), expected)


@pytest.mark.parametrize("kind", ["topr", "rift"])
def test_without_wrong_rollouts_some_methods_are_rft(kind, rollouts, step):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    assert_equal_gradients(step(kind, right), step("rft", right))


def test_sft_on_accepted_rollouts_is_rft(step):
    assert_equal_gradients(step("sft"), step("rft"))


# What methods learn from


def examples_of(kind, rollouts, selection=SELECTION, **settings):
    examples, _ = prepare(METHODS[kind](**settings), rollouts, selection, 0, 10**6)
    return examples


def test_advantages_are_rewards_less_the_problems_mean(rollouts):
    signals = {row.rollout_id: row.signal for (row,) in examples_of("offline_grpo", rollouts)}
    assert [signals[f"p0#{i}"] for i in range(4)] == [0.5, 0.5, -0.5, -0.5]
    assert [signals[f"p1#{i}"] for i in range(4)] == [0.75, -0.25, -0.25, -0.25]
    shifted = {row.rollout_id: row.signal for (row,) in examples_of("asymre", rollouts)}
    assert [shifted[f"p1#{i}"] for i in range(4)] == pytest.approx([0.85, -0.15, -0.15, -0.15])


def test_the_mean_counts_a_completion_as_often_as_it_was_drawn_and_teaches_it_once(random_model):
    tokenizer = AutoTokenizer.from_pretrained(random_model)
    problem = Problem("p", "1+1=", "2")
    drawn = [
        rollout(tokenizer, problem, sample, text, right=text == "2")
        for sample, text in enumerate(["2", "2", "2", "3"])
    ]
    (right,), (wrong,) = examples_of("offline_grpo", drawn)
    assert (right.rollout_id, right.signal, right.accepted) == ("p#0", 0.25, True)
    assert (wrong.rollout_id, wrong.signal, wrong.accepted) == ("p#3", -0.75, False)
    repeated = Selection(unique=False)
    assert len(examples_of("offline_grpo", drawn, repeated)) == 4


HERE = Origin(Sampling(), Filters(pass_rate=(0.1, 0.9)))


@pytest.mark.parametrize("kind", METHODS)
def test_no_method_doubts_rollouts_that_the_base_drew_and_no_filter_thinned(kind):
    assert not list(METHODS[kind]().doubts(HERE))


def test_a_mean_that_filters_may_have_moved_is_told():
    thinned = replace(HERE, filters=Filters(duplicates=True, max_accepted_per_problem=4))
    doubting = {kind for kind, method in METHODS.items() if list(method().doubts(thinned))}
    assert doubting == {"offline_grpo", "asymre"}
    [doubt] = METHODS["asymre"]().doubts(thinned)
    assert "the filters left (duplicates, max_accepted_per_problem)" in doubt


@pytest.mark.parametrize(
    ("sampling", "how"),
    [
        (Sampling(temperature=0.3, top_p=0.5), "at temperature 0.3 and top-p 0.5"),
        (Sampling(top_p=0.5), "at temperature 1 and top-p 0.5"),
        (None, "come from elsewhere"),
    ],
)
def test_a_ratio_to_probabilities_that_drew_nothing_is_told(sampling, how):
    other = replace(HERE, sampling=sampling)
    doubts = {kind: list(method().doubts(other)) for kind, method in METHODS.items()}
    assert {kind for kind, told in doubts.items() if told} == {"topr"}
    assert how in doubts["topr"][0]


def test_the_report_tells_the_doubts_of_what_was_trained():
    changes = ["methods={rft: {}, topr: {}, other: {kind: topr}}", "sampling.temperature=0.5"]
    experiment = load_experiment("demo", changes)
    [note] = method_notes(experiment, {"rft", "topr"})
    assert note.startswith("topr takes the base model's own probabilities for those that drew")


GRADED = ["offline_grpo", "topr", "asymre", "rift", "kto"]


@pytest.mark.parametrize("kind", GRADED)
def test_unverifiable_and_truncated_rollouts_are_not_learnt_as_what_they_are_not(kind, rollouts):
    changed = list(rollouts)
    changed[0] = replace(changed[0], verdict=Verdict.unverifiable("time-out"))
    for i in (1, 3):
        cut = replace(changed[i].completion, finish_reason="length")
        changed[i] = replace(changed[i], completion=cut)
    changed[4] = replace(changed[4], completion=cut, verdict=Verdict.correct("2"))
    rows = {row.rollout_id: row for (row,) in examples_of(kind, changed)}
    # Without an accepted one left, problem 0 teaches nothing where only differences count.
    wrong = set() if kind == "offline_grpo" else {"p0#2", "p0#3"}
    assert {name for name in rows if name.startswith("p0#")} == wrong
    assert not any(rows[name].accepted for name in wrong)


def test_problems_of_one_reward_teach_offline_grpo_nothing(rollouts):
    right = [one for one in rollouts if one.verdict.label == "correct"]
    with pytest.raises(NothingToLearn, match="hold no problem with both accepted and wrong"):
        examples_of("offline_grpo", right)


def test_sft_asks_for_demonstrations(rollouts):
    assert METHODS["sft"].learns_from == "demonstrations"
    wrong = [one for one in rollouts if one.verdict.label == "wrong"]
    with pytest.raises(NothingToLearn, match="demonstrations of 12 problems hold no demonstration"):
        examples_of("sft", wrong)


def test_every_kto_completion_stands_once_behind_another_problems_prompt(rollouts):
    examples = [
        (replace(row, tokens=[*row.tokens[: row.prompt_length], number]),)
        for number, (row,) in enumerate(examples_of("kto", rollouts))
    ]
    companions = METHODS["kto"]().companions(examples)
    for (row,), (mixed,) in zip(examples, companions, strict=True):
        *prompt, completion = mixed.tokens
        assert prompt == row.tokens[:-1]
        assert examples[completion][0].problem_id != row.problem_id
    assert sorted(mixed.tokens[-1] for (mixed,) in companions) == list(range(len(examples)))


def test_kto_needs_two_problems(rollouts):
    with pytest.raises(DataError, match="all rollouts are of one problem"):
        METHODS["kto"]().companions(examples_of("kto", rollouts[:4]))


# What the trainer serves


def test_the_divergence_is_exact_over_several_chunks(
    random_model, rollouts, tmp_path, monkeypatch, slow_step
):
    monkeypatch.setattr("offline_rl.divergence._CHUNK", 5)
    trainer = make_trainer("asft", random_model, rollouts, tmp_path, kl_weight=50.0)
    assert_equal_gradients(gradients_of_step(trainer), slow_step(trainer))


def test_with_adapters_the_base_is_the_model_without_them(random_model, rollouts, tmp_path):
    trainer = make_trainer("asft", random_model, rollouts, tmp_path, lora=Lora(rank=2))
    batch = collate(trainer._examples, trainer.args.device)
    with torch.no_grad():
        _, served = trainer._needs.score(trainer.model, batch)
        inputs = {"input_ids": batch.tokens, "attention_mask": batch.attention_mask}
        policy = trainer.model(**inputs).logits[:, :-1].log_softmax(-1)
        with trainer.model.disable_adapter():
            base = trainer.model(**inputs).logits[:, :-1].log_softmax(-1)
    expected = (base.exp() * (base - policy)).sum(-1) * batch.mask
    assert expected.max() > 1e-3
    torch.testing.assert_close(served.divergence(), expected, rtol=1e-4, atol=1e-5)


def test_the_divergence_is_refused_for_models_that_cap_their_logits(random_model):
    from offline_rl.divergence import BaseDivergence

    model = load_policy(random_model, None, TrainingSettings())
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
            outputs, served = trainer._needs.score(trainer.model, batch)
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
        trainer._needs.score(trainer.model, collate(trainer._examples, trainer.args.device))
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
