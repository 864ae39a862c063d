"""Demonstrations: gold solutions as rollouts, and nothing sampled."""

import json

import pytest

from data_gen.demonstrations import demonstrations
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import load_problems
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import load_rollouts
from data_gen.types import DataError, Problem
from data_gen.verifiers import verify
from data_gen.views import accepted, pairs
from offline_rl.cli.data_commands import load_data_settings
from offline_rl.config.load import UsageError
from offline_rl.tiny_base import TINY_BASE
from offline_rl.workflows.experiment import generate

pytestmark = pytest.mark.xdist_group("verifiers")


def test_a_solution_becomes_an_accepted_rollout_that_ends():
    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    problems = [*load_problems("arithmetic", "train", limit=20), Problem("bare", "1+1=", "2")]
    made = list(demonstrations(problems, tokenizer=tokenizer, style="raw"))
    assert [r.problem for r in made] == problems[:-1]
    assert accepted(made) == made
    assert pairs(made) == []
    for rollout in made:
        completion = rollout.completion
        assert completion.text == rollout.problem.solution
        assert completion.tokens[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(completion.tokens, skip_special_tokens=True) == completion.text
        assert tokenizer.decode(completion.prompt_tokens, skip_special_tokens=True) == (
            rollout.problem.prompt
        )
    verdicts = verify([(r.problem.answer, r.completion.text) for r in made])
    assert {verdict.label for verdict in verdicts} == {"correct"}


def test_a_data_set_of_demonstrations_samples_nothing(tmp_path):
    settings = load_data_settings(
        ["learn_from=demonstrations", "problems.split=train", "problems.limit=30"],
        model="tiny",
        problems="arithmetic",
    )
    generate(settings, tmp_path / "run")
    rollouts = load_rollouts(tmp_path / "run" / "dataset")
    assert [r.problem for r in rollouts] == load_problems("arithmetic", "train", limit=30)
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["engines"] == []
    about = json.loads((tmp_path / "run" / "dataset" / "about.json").read_text())
    assert about["problems"]["count"] == 30


def test_problems_without_solutions_are_told(tmp_path):
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"problem": "1+1=", "answer": "2"}\n')
    settings = load_data_settings(["learn_from=demonstrations"], model="tiny", problems=str(bare))
    with pytest.raises(DataError, match="none of the 1 problems has a solution"):
        generate(settings, tmp_path / "run")
    with pytest.raises(UsageError, match="demonstrations are the solutions of problems"):
        load_data_settings(["learn_from=demonstrations"], model="tiny", rollouts=str(bare))
