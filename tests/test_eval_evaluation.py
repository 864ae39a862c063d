"""An evaluation reads back from its folder as it was made, and a torn part is named."""

import math

import numpy as np
import pandas as pd
import pytest

from data_gen.collection import collect
from data_gen.types import Completion, DataError, Problem, Sampling
from data_gen.verifiers.exact import ExactSettings
from eval import Benchmark, evaluate, load_evaluation
from eval.evaluation import grid


class Scripted:
    """A sampler that answers right where the sample's index allows it."""

    def __call__(self, problems, sampling):
        return [
            Completion(
                problem_id=problem.id,
                sample=j,
                seed=100 + j,
                prompt=problem.prompt,
                prompt_tokens=(1, 2),
                text=rf"so \boxed{{{problem.answer if j % 2 else 'x'}}}",
                tokens=tuple(range(j)),
                logps=() if problem.id == "q2" else tuple(-0.1 * (t + 1) for t in range(j)),
                finish_reason="length" if j == 3 else "stop",
            )
            for problem in problems
            for j in range(sampling.samples)
        ]


def test_an_evaluation_read_from_its_folder_equals_the_one_first_made(tmp_path):
    problems = tuple(Problem(f"q{i}", "1 + 1 =", str(i)) for i in range(3))
    with ExactSettings().open() as verify:
        benchmark = Benchmark("tiny", problems, verify, Sampling(samples=4))
        made = evaluate("dft", Scripted(), benchmark, training_seed=1, folder=tmp_path)
        rollouts = collect(problems, Scripted(), verify, Sampling(samples=4))
    assert (made.label, made.training_seed, made.benchmark) == ("dft", 1, "tiny")
    assert made.temperature == 1.0
    assert list(made.grid["verdict"][:4]) == ["wrong", "correct", "wrong", "correct"]
    assert list(made.grid["tokens"][:4]) == [0, 1, 2, 3]
    assert list(made.grid["truncated"][:4]) == [False, False, False, True]
    np.testing.assert_allclose(made.grid["nll"][:4], [math.nan, 0.1, 0.15, 0.2], rtol=1e-6)
    assert made.grid.query("problem_id == 'q2'")["nll"].isna().all()
    read = load_evaluation(
        tmp_path, label="dft", training_seed=1, benchmark="tiny", temperature=1.0, top_p=1.0
    )
    for other in (read.grid, grid(rollouts)):
        pd.testing.assert_frame_equal(made.grid, other, check_exact=True, check_dtype=False)


def test_parts_that_are_missing_or_torn_are_named(tmp_path):
    about = {"label": "dft", "training_seed": 1, "benchmark": "tiny", "temperature": 1.0}
    about["top_p"] = 1.0
    with pytest.raises(DataError, match=r"no part-\*.parquet"):
        load_evaluation(tmp_path, **about)
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"part-00000.parquet: not a whole part"):
        load_evaluation(tmp_path, **about)
