"""What the checks are made on: a model, its rollouts of an experiment's problems, and a trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import set_seed

from data_gen.model_ref import ModelRef
from data_gen.prompts import Tokenizer
from data_gen.selection import Pairing, Selection
from data_gen.types import Completion, Problem, Rollout, Verdict
from offline_rl.batch import TokenizedExample
from offline_rl.config.schema import Experiment
from offline_rl.methods import Method
from offline_rl.settings.training import TrainingSettings, resolve_training
from offline_rl.training.model import load_policy
from offline_rl.training.train import prepare, trainer_arguments
from offline_rl.training.trainer import OfflineTrainer

EXAMPLES = 8
# Completions are cut to lengths that differ, so that a mean taken too early shows.
_SHORTEST, _LONGER, _LENGTHS = 8, 7, 8
# One of the lengths is so many times as long, which leaves room for two others in a row like it.
_LONG, _TIMES = 6, 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check has shown. `figure` is what was measured, or why nothing was."""

    check: str
    result: Literal["pass", "fail", "skipped"]
    figure: str
    limit: str = ""


def judged(check: str, passed: bool, figure: str, limit: str) -> CheckResult:
    return CheckResult(check, "pass" if passed else "fail", figure, limit)


@dataclass(frozen=True)
class Subject:
    """An experiment's model with some completions of its own, and a folder to work in."""

    experiment: Experiment
    tokenizer: Tokenizer
    problems: Sequence[Problem]
    completions: Sequence[Completion]
    """As the experiment's sampler drew them."""
    folder: Path
    trainer: type[OfflineTrainer] = OfflineTrainer

    @property
    def model(self) -> ModelRef:
        return self.experiment.base_model

    @property
    def selection(self) -> Selection:
        """Of the rollouts below every one, in whatever pairs."""
        return Selection(pairs=Pairing(per_problem=2))

    def rollouts(self) -> list[Rollout]:
        """Short ones, right and wrong by turns: gradients do not ask what is true."""
        problems = {problem.id: problem for problem in self.problems}
        return [
            Rollout(
                problems[completion.problem_id],
                _cut(completion, number % _LENGTHS),
                Verdict.wrong("by turns") if completion.sample % 2 else Verdict.correct(""),
            )
            for number, completion in enumerate(self.completions)
            if completion.tokens
        ]

    def training(self, method: Method, **changes: Any) -> TrainingSettings:
        """As the experiment trains the method, for one step in this process in float32."""
        own = resolve_training(
            method.training_defaults, self.experiment.training, method.training
        ).model_copy(update={"total_tokens": None, "total_examples": None, "warmup": 0.0})
        plain = {"launch": None, "report_to": (), "checkpoint_every": 0, "validation": None}
        # Kernels of flash attention know no float32.
        exact = {"precision": "float32", "attention": None}
        one = {"steps": 1, "examples_per_step": EXAMPLES, "max_tokens": 2**20, **exact}
        return own.model_copy(update={**plain, **one, **changes})

    def examples(self, method: Method) -> list[TokenizedExample]:
        """Raises DataError for a method that finds nothing to learn from."""
        return prepare(method, self.rollouts(), self.selection, 0, 2**20)[0][:EXAMPLES]

    def gradient(self, method: Method, **changes: Any) -> Tensor:
        """Of all weights, after one step's passes over the examples, in the CPU's memory."""
        training = self.training(method, **changes)
        torch.set_num_threads(training.threads)
        examples = self.examples(method)
        set_seed(0)
        trainer = self.trainer(
            method=method,
            examples=examples,
            tokens_per_microbatch=training.tokens_per_microbatch,
            packing=training.packing,
            model=load_policy(self.model, training),
            args=trainer_arguments(training, 1, 0, self.folder / "trainer"),
            processing_class=self.tokenizer,
        )
        if method.requires.reference:
            trainer.add_reference()
        model = trainer.accelerator.prepare(trainer.model)
        trainer.training_step(model, {"examples": torch.arange(len(examples))})
        every = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return torch.cat(every).float().cpu()


def difference(gradient: Tensor, expected: Tensor) -> float:
    """The length of the difference in lengths of the expected; infinite if they do not compare."""
    if gradient.shape != expected.shape or not expected.norm() > 0:
        return float("inf")
    apart: float = (gradient.double() - expected.double()).norm().item()
    length: float = expected.double().norm().item()
    return apart / length


def _cut(completion: Completion, length: int) -> Completion:
    """Of one of `_LENGTHS` lengths."""
    tokens = _SHORTEST + _LONGER * length
    times = _TIMES if length == _LONG else 1
    return replace(
        completion,
        tokens=[*completion.tokens[:tokens]] * times,
        logps=[*completion.logps[:tokens]] * times,
        finish_reason="stop",
    )
