"""Filters: each drops what it names and nothing else, and every drop is counted and told."""

import random

import pytest
from pydantic import ValidationError

from data_gen.filters import Filters, choose
from data_gen.filters.ngrams import jaccard, ngrams, repeated_share, words, words_and_signs
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from data_gen.views import is_accepted, problem_groups

CORRECT, WRONG = Verdict.correct("1"), Verdict.wrong("different", "2")
WORDS = [
    "a",
    "train",
    "leaves",
    "the",
    "station",
    "at",
    "noon",
    "and",
    "travels",
    "north",
    "for",
    "three",
    "long",
    "hours",
    "in",
    "rain",
]


def rollout(problem="p", sample=0, *, right=True, text=None, tokens=None, finish="stop", prompt=""):
    text = f"text {problem} {sample}" if text is None else text
    tokens = tuple(range(10)) if tokens is None else tokens
    completion = Completion(problem, sample, sample, prompt, (0,), text, tokens, (), finish)
    return Rollout(
        Problem(problem, prompt or problem, "1"), completion, CORRECT if right else WRONG
    )


def mixture(seed, problems=30):
    rng = random.Random(seed)
    return [
        rollout(
            f"p{n}",
            sample,
            right=rng.random() < n / problems,
            text=rng.choice(("x", "y", f"own {sample}")),
            tokens=tuple(rng.randrange(3) for _ in range(rng.randrange(1, 40))),
            finish=rng.choice(("stop", "stop", "length")),
            prompt=f"question {n // 2}",
        )
        for n in range(problems)
        for sample in range(8)
    ]


def kept(rollouts, **filters):
    choice = choose(rollouts, Filters(**filters))
    return list(choice.of(rollouts))


EACH_ALONE = [
    {"pass_rate": (0.1, 0.9)},
    {"truncated": True},
    {"min_tokens": 5},
    {"max_tokens": 20},
    {"repetition": {"ngram": 2, "max_share": 0.5}},
    {"duplicates": True},
    {"near_duplicates": {"similarity": 0.8, "ngram": 1}},
    {"max_accepted_per_problem": 2},
    {"max_accepted": 17},
    {"near_duplicate_problems": {"similarity": 0.5, "ngram": 1}},
]
ALL = {name: value for one in EACH_ALONE for name, value in one.items()}


@pytest.mark.parametrize("filters", [*EACH_ALONE, ALL], ids=lambda f: "+".join(f))
def test_what_is_dropped_is_counted_told_once_and_nothing_else_is_missing(filters):
    rollouts = mixture(1)
    choice = choose(iter(rollouts), Filters(**filters))
    left = list(choice.of(rollouts))
    told = [(d.problem_id, sample) for d in choice.dropped for sample in d.samples]
    assert len(told) == len(set(told))
    remaining = [(r.problem.id, r.completion.sample) for r in left]
    everything = [(r.problem.id, r.completion.sample) for r in rollouts]
    assert sorted([*told, *remaining]) == sorted(everything)
    assert remaining == [at for at in everything if at in set(remaining)]
    in_order = [name for name in Filters.model_fields if name in filters]
    assert [passage.filter for passage in choice.funnel] == ["sampled", *in_order]
    last = choice.funnel[-1]
    assert last.rollouts == len(left) < len(rollouts)
    assert last.problems == len({r.problem.id for r in left})
    assert last.accepted == sum(is_accepted(r, 1.0) for r in left)
    for before, after in zip(choice.funnel, choice.funnel[1:], strict=False):
        drops = sum(len(d.samples) for d in choice.dropped if d.filter == after.filter)
        assert before.rollouts - after.rollouts == drops
    assert choose(rollouts, Filters(**filters)) == choice


def test_without_filters_everything_stays():
    rollouts = mixture(2)
    assert kept(rollouts) == rollouts


def test_the_pass_rate_counts_all_that_was_sampled_and_takes_its_ends_in():
    rollouts = [
        rollout(f"p{right}", sample, right=sample < right)
        for right in range(5)
        for sample in range(4)
    ]
    found = kept(rollouts, pass_rate=(0.25, 0.75), max_accepted_per_problem=1)
    assert {r.problem.id for r in found} == {"p1", "p2", "p3"}
    with pytest.raises(ValidationError, match="the lower end comes first"):
        Filters(pass_rate=(0.9, 0.1))


def test_a_loop_is_told_from_a_long_answer():
    loop = rollout(sample=0, tokens=tuple(range(40)) * 5)
    fresh = rollout(sample=1, tokens=tuple(range(200)))
    assert kept([loop, fresh], repetition={}) == [fresh]
    assert repeated_share([1, 2, 1, 2, 1, 2], 2) == pytest.approx(1 - 2 / 5)
    assert repeated_share([1, 2], 3) == 0


def test_near_duplicates_are_judged_within_one_verdict_and_one_problem():
    text = " ".join(WORDS)
    other = " ".join([*WORDS[:-1], "snow"])
    rollouts = [
        rollout(sample=0, text=text),
        rollout(sample=1, text=other),
        rollout(sample=2, text=other, right=False),
        rollout(sample=3, text="something else"),
        rollout("q", 0, text=text),
    ]
    assert kept(rollouts, near_duplicates={"similarity": 0.7}) == [rollouts[0], *rollouts[2:]]
    assert kept(rollouts, near_duplicates={"similarity": 0.99}) == rollouts


def test_near_duplicate_problems_keep_the_first():
    prompts = [" ".join(WORDS), " ".join([*WORDS, "today"]), "3 + 4 = ?", "3 * 4 = ?"]
    rollouts = [rollout(f"p{n}", 0, prompt=prompt) for n, prompt in enumerate(prompts)]
    found = kept(rollouts, near_duplicate_problems={"similarity": 0.8, "ngram": 3})
    assert [r.problem.id for r in found] == ["p0", "p2", "p3"]


@pytest.mark.parametrize("seed", range(10))
def test_min_hash_finds_what_comparing_every_two_problems_finds(seed):
    rng = random.Random(seed)
    texts = []
    for _ in range(12):
        base = [str(rng.randrange(1000)) for _ in range(60)]
        texts += [" ".join(base), " ".join([*base, "more"]), " ".join(base[:20])]
    rollouts = [rollout(f"p{n}", 0, prompt=text) for n, text in enumerate(texts)]
    found = kept(rollouts, near_duplicate_problems={"similarity": 0.8, "ngram": 3})
    sets = [frozenset(ngrams(words(text), 3)) for text in texts]
    expected = []
    for n, one in enumerate(sets):
        if all(jaccard(one, sets[earlier]) < 0.8 for earlier in expected):
            expected.append(n)
    assert [r.problem.id for r in found] == [f"p{n}" for n in expected]


@pytest.mark.parametrize("size", [8, 13])
def test_contamination_is_a_run_of_words_whatever_case_signs_and_spacing(size):
    shared = WORDS[:size]
    benchmark = [Problem("b1", f"Once, {' '.join(shared)}!", "1"), Problem("b2", "3 + 4 = ?", "7")]
    prompts = {
        "same run": f"when  {', '.join(shared).upper()} today",
        "one word less": " ".join(shared[1:]) + " and more",
        "short and the same": "3+4=?",
        "short and another": "3*4=?",
        "short and inside": "tell me 3 + 4 = ?",
    }
    rollouts = [rollout(name, n, prompt=text) for name, text in prompts.items() for n in range(2)]
    filters = Filters(decontaminate={"ngram": size})
    choice = choose(rollouts, filters, benchmarks={"held out": benchmark})
    assert [d.problem_id for d in choice.dropped] == ["same run", "short and the same"]
    assert choice.dropped[0].why == f"shares with problem b1 of held out: {' '.join(shared)}"
    assert choice.dropped[1].why == "is problem b2 of held out"
    assert choice.dropped[0].samples == (0, 1)


@pytest.mark.parametrize("most", [1, 7, 17, 50, 1000])
def test_balance_takes_from_the_richest(most):
    rollouts = mixture(3)
    counts = {}
    for r in rollouts:
        counts[r.problem.id] = counts.get(r.problem.id, 0) + is_accepted(r, 1.0)
    left = kept(rollouts, max_accepted=most)
    after = dict.fromkeys(counts, 0)
    for r in left:
        after[r.problem.id] += is_accepted(r, 1.0)
    assert sum(after.values()) == min(most, sum(counts.values()))
    cut = [name for name in counts if after[name] < counts[name]]
    # Nobody who lost one has two fewer than anybody else.
    assert all(after[poor] + 1 >= rich for poor in cut for rich in after.values())
    assert [r for r in left if not is_accepted(r, 1.0)] == [
        r for r in rollouts if not is_accepted(r, 1.0)
    ]


def test_a_cap_is_drawn_by_the_seed_and_by_nothing_else():
    rollouts = mixture(4)
    first = kept(rollouts, max_accepted_per_problem=2)
    backwards = [r for group in reversed(list(problem_groups(rollouts))) for r in group]
    assert sorted(kept(backwards, max_accepted_per_problem=2), key=str) == sorted(first, key=str)
    assert kept(rollouts, max_accepted_per_problem=2, seed=1) != first


def test_rollouts_of_a_problem_must_stand_together():
    with pytest.raises(DataError, match="problem 'a' do not stand side by side"):
        choose([rollout("a"), rollout("b"), rollout("a", 1)], Filters())


def test_words_ignore_typography():
    assert words("Ⅳ  Ｆull-Width, “Quoted” x²!") == ["iv", "full", "width", "quoted", "x2"]
    assert words_and_signs("3 * 4") == ["3", "*", "4"]
    assert list(ngrams(["a", "b"], 3)) == ["a b"]
