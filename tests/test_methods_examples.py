"""What methods learn from, what they refuse to, and which caveats they state."""

import tracemalloc
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from data_gen.filters import Filters
from data_gen.selection import Selection
from data_gen.types import DataError, Problem, Sampling, Verdict
from offline_rl.config.load import load_experiment
from offline_rl.methods.base import Origin
from offline_rl.methods.registry import METHODS
from offline_rl.results.run_notes import method_notes
from offline_rl.training.train import NothingToLearn, prepare
from tests.helpers.training import SELECTION, rollout, twelve_problems


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


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


@pytest.mark.parametrize("kind", METHODS)
def test_rollouts_may_come_one_by_one(kind, rollouts):
    assert examples_of(kind, iter(rollouts)) == examples_of(kind, rollouts)


def test_of_rollouts_that_teach_nothing_none_is_kept(random_model):
    tokenizer = AutoTokenizer.from_pretrained(random_model)
    length, problems = 20_000, 100

    def drawn():
        for number in range(problems):
            problem = Problem(f"p{number}", "1+1=", "2")
            one = rollout(tokenizer, problem, 0, "2" if number == 0 else "3", right=number == 0)
            tokens = [*one.completion.tokens, *range(length)]
            yield replace(one, completion=replace(one.completion, tokens=tokens, logps=()))

    tracemalloc.start()
    assert len(examples_of("rft", drawn())) == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Of 32 bits each; the tokens of a few are there as Python numbers too.
    assert peak < 4 * length * problems


HERE = Origin(Sampling(), Filters(pass_rate=(0.1, 0.9)))


@pytest.mark.parametrize("kind", METHODS)
def test_rollouts_that_the_base_drew_and_no_filter_thinned_need_no_caveat(kind):
    assert not list(METHODS[kind]().caveats(HERE))


def test_a_mean_that_filters_may_have_moved_is_told():
    thinned = replace(HERE, filters=Filters(duplicates=True, max_accepted_per_problem=4))
    cautious = {kind for kind, method in METHODS.items() if list(method().caveats(thinned))}
    assert cautious == {"offline_grpo", "asymre"}
    [caveat] = METHODS["asymre"]().caveats(thinned)
    assert "the filters left (duplicates, max_accepted_per_problem)" in caveat


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
    caveats = {kind: list(method().caveats(other)) for kind, method in METHODS.items()}
    assert {kind for kind, stated in caveats.items() if stated} == {"topr"}
    assert how in caveats["topr"][0]


def test_the_report_has_the_caveats_of_what_was_trained():
    changes = ["methods={rft: {}, topr: {}, other: {kind: topr}}", "sampling.temperature=0.5"]
    experiment = load_experiment("demo", changes)
    [note] = map(str, method_notes(experiment, {"rft", "topr"}))
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
    mismatched = METHODS["kto"]().requires.step_statistic.examples(examples)
    for (row,), (mixed,) in zip(examples, mismatched, strict=True):
        *prompt, completion = mixed.tokens
        assert prompt == row.tokens[:-1]
        assert examples[completion][0].problem_id != row.problem_id
    assert sorted(mixed.tokens[-1] for (mixed,) in mismatched) == list(range(len(examples)))


def test_kto_needs_two_problems(rollouts):
    with pytest.raises(DataError, match="all rollouts are of one problem"):
        METHODS["kto"]().requires.step_statistic.examples(examples_of("kto", rollouts[:4]))
