"""Small and large reports with texts, for the tests of the page."""

import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_gen.store.rollouts import save_rollouts
from data_gen.types import Completion, Problem, Rollout, Verdict
from eval import Evaluation
from eval.evaluation import grid
from offline_rl.report import Samples
from offline_rl.report.page.render import render
from tests.helpers import policies
from tests.helpers.reports import report_on
from tests.helpers.summaries import dataset_summary

PROBLEMS, SAMPLES = 6, 4
SUMMARY = dataset_summary(
    sampled={"problems_by_pass_rate": {"0": 3, "(0, 0.5]": 5, "1": 1}},
    filters={
        "sampled": {"problems": 9, "rollouts": 72, "accepted": 20},
        "pass_rate": {"problems": 5, "rollouts": 40, "accepted": 18},
    },
    dataset={"problems_by_pass_rate": {"(0, 0.5]": 5}, "accepted_distinct": 12},
    pairs={"pairs": 7},
)


def rollout(problem, sample, right, text):
    answer = problem.answer if right else "<nothing>"
    words = Verdict.correct(answer) if right else Verdict.wrong("different", answer)
    if not right and sample == 3:
        words = Verdict.unverifiable("unparsable answer")
    tokens = list(range(len(text.split()) + 1))
    finish = "stop" if sample else "length"
    logps = [-0.5] * len(tokens)
    completion = Completion(
        problem.id, sample, sample, problem.prompt, [1], text, tokens, logps, finish
    )
    return Rollout(problem, completion, words)


def evaluated(
    folder, label, seed, benchmark, rights, *, model="m", text=None, problems=None, samples=SAMPLES
):
    """Samples of which the first `rights[i]` of problem i are right, kept in a folder."""
    problems = problems or [
        Problem(f"{benchmark}/{i}", f"What is {i} of {benchmark}?", str(i))
        for i in range(len(rights))
    ]
    text = text or (
        lambda p, j: f"{label} {seed} thinks of {p.id}, take {j}. \\boxed{{{p.answer}}}"
    )
    rollouts = [
        rollout(problem, j, j < right, text(problem, j))
        for problem, right in zip(problems, rights, strict=True)
        for j in range(samples)
    ]
    folder.mkdir(parents=True)
    save_rollouts(rollouts, folder / "part-00000.parquet")
    found = Evaluation(label, seed, benchmark, 1.0, grid(rollouts), model)
    return Samples(found, folder)


def trained(label, seed):
    history = [
        {
            "step": step,
            "loss": 1 / step,
            "accepted_nll": 1 / step + seed / 10,
            "accepted_mean_p": 1 - 1 / step,
            "accepted_entropy": 0.5 / step,
        }
        for step in range(1, 400)
    ]
    seen = 100 if label == "rft" else 200
    return policies.trained(label, seed, steps=399, examples_seen=seen, history=history)


def report_of(samples, **how):
    """As `report_on`, of the data set SUMMARY."""
    return report_on(samples, summary=SUMMARY, **how)


RIGHTS = {
    ("base", None): (0, 1, 2, 3, 1, 0),
    ("rft", 0): (4, 1, 2, 3, 0, 0),
    ("rft", 1): (4, 1, 3, 3, 1, 0),
    ("dft", 0): (4, 3, 2, 4, 4, 1),
    ("dft", 1): (4, 4, 2, 4, 3, 0),
}


def small_report(folder, models=("m",), benchmarks=("easy", "hard")):
    samples = [
        evaluated(
            folder / model / label / str(seed) / benchmark, label, seed, benchmark,
            rights if benchmark == "easy" else rights[::-1], model=model,
        )
        for model in models
        for (label, seed), rights in RIGHTS.items()
        for benchmark in benchmarks
    ]  # fmt: skip
    records = [trained(label, seed) for label, seed in RIGHTS if seed is not None]
    return report_of(samples, records=records, models=models)


def written(report, folder):
    path = folder / "index.html"
    path.write_text(render(report), encoding="utf-8")
    return path


def long_samples(folder, label, seed, problems, samples, characters):
    """An evaluation with long texts, none like another, written as columns."""
    chance = random.Random(f"{label} {seed}")
    alphabet = "".join(chance.choices("abcdefghij klmnop\n{}\\<>", k=100_000))
    ids = [f"p{n}" for n in range(problems) for _ in range(samples)]
    numbers = [j for _ in range(problems) for j in range(samples)]
    starts = [chance.randrange(len(alphabet) - characters) for _ in ids]
    rights = [chance.random() < 0.4 for _ in ids]
    table = pd.DataFrame(
        {
            "problem_id": ids,
            "sample": numbers,
            "seed": numbers,
            "verdict": ["correct" if right else "wrong" for right in rights],
            "reason": ["" if right else "different" for right in rights],
            "answer": [str(start % 100) for start in starts],
            "reward": [float(right) for right in rights],
            "tokens": [characters // 4] * len(ids),
            "truncated": [False] * len(ids),
            "nll": [chance.random() for _ in ids],
        }
    )
    folder.mkdir(parents=True)
    columns = {
        "problem_id": pa.array(ids),
        "sample": pa.array(numbers, pa.int32()),
        "problem": pa.array([f"Problem {one}" for one in ids]),
        "gold": pa.array(["1"] * len(ids)),
        "completion": pa.array([alphabet[start : start + characters] for start in starts]),
    }
    pq.write_table(pa.table(columns), folder / "part-00000.parquet", row_group_size=4096)
    return Samples(Evaluation(label, seed, "long", 1.0, table, "m"), folder)


def large_report(folder):
    """60,000 samples of 2,500 characters: 150 MB of texts."""
    policies = [("base", None), ("rft", 0), ("rft", 1), ("dft", 0), ("dft", 1)]
    return report_of(
        [long_samples(folder / f"{one}{seed}", one, seed, 500, 24, 2500) for one, seed in policies]
    )
