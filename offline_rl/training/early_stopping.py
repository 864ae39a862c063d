"""Samples the policy in training on validation problems, keeps its best weights, stops in time."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, TrainerCallback

from data_gen.collection import collect
from data_gen.prompts import Tokenizer
from data_gen.samplers.base import ModelSampler
from data_gen.samplers.transformers import TransformersEngine
from data_gen.store.atomic_files import replacing
from data_gen.types import DataError
from data_gen.verifiers import verify
from offline_rl.artifacts.records import ValidationReport, ValidationScore
from offline_rl.settings.validation import Validation, ValidationSetup
from offline_rl.training.model import causal_of
from offline_rl.training.trainer import OfflineTrainer

BEST = "best.safetensors"
_SCORES = "validation.json"


class EarlyStop(TrainerCallback):  # type: ignore[misc] # the library is taken as Any
    """Validates a trainer's policy every so many steps and after the last one.

    The best of the weights are those with the highest avg@k, the first of equals; they lie in
    `folder` until `take_best`. Several processes share the problems and come to the same decision.
    Raises DataError for sharded weights, and problems that all are too long.
    """

    def __init__(
        self,
        settings: Validation,
        setup: ValidationSetup,
        trainer: OfflineTrainer,
        tokenizer: Tokenizer,
        folder: Path,
    ) -> None:
        if trainer.is_fsdp_enabled:
            raise DataError(
                "training.validation samples from whole weights, which FSDP shards: train it"
                " without, training.launch.config: null"
            )
        self._settings = settings
        self._setup = setup
        self._trainer = trainer
        self._folder = folder
        self._policy = causal_of(trainer.model)
        self._sampler = ModelSampler(
            InTraining(self._policy, tokenizer, settings.batch_size),
            tokenizer,
            setup.prompt,
        )
        self._problems, self._too_long = self._sampler.fitting(settings.problems.load())
        if not self._problems:
            raise DataError("training.validation: every prompt is longer than the model's context")
        self._scores: dict[int, float] = {}

    @property
    def best_step(self) -> int:
        return max(self._scores, key=lambda step: (self._scores[step], -step))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step, patience = state.global_step, self._settings.patience
        if step % self._settings.every and step < state.max_steps:
            return
        self._scores[step] = self._score()
        self._trainer.note("validation_avg_at_k", self._scores[step])
        if step == self.best_step:
            self._keep()
        since = sum(other > self.best_step for other in self._scores)
        if patience is not None and since >= patience:
            control.should_training_stop = True

    def take_best(self) -> None:
        """Gives the policy its best weights back."""
        if self.best_step == max(self._scores):
            return
        best = load_file(self._folder / BEST)
        with torch.no_grad():
            for name, parameter in self._trained():
                parameter.copy_(best[name])

    def report(self) -> ValidationReport:
        """The scores so far and the best of them."""
        return ValidationReport(
            best_step=self.best_step,
            best_avg_at_k=self._scores[self.best_step],
            stopped_early=max(self._scores) < self._trainer.state.max_steps,
            problems=len(self._problems),
            problems_too_long=len(self._too_long),
            scores=[ValidationScore(step=step, avg_at_k=s) for step, s in self._scores.items()],
        )

    def save(self, checkpoint: Path) -> None:
        """Puts scores and best weights into a checkpoint; the weights as a link, if they can."""
        stored = json.dumps(list(self._scores.items()))
        (checkpoint / _SCORES).write_text(stored, encoding="utf-8")
        if self._scores:
            _link(self._folder / BEST, checkpoint / BEST)

    def restore(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint that `save` was called for."""
        stored = json.loads((checkpoint / _SCORES).read_text(encoding="utf-8"))
        self._scores = {int(step): score for step, score in stored}
        if self._scores and self._trainer.accelerator.is_main_process:
            (self._folder / BEST).unlink(missing_ok=True)
            _link(checkpoint / BEST, self._folder / BEST)

    def _score(self) -> float:
        """The share of correct samples, of all processes' problems together."""
        accelerator, sampling = self._trainer.accelerator, self._setup.sampling
        own = self._problems[accelerator.process_index :: accelerator.num_processes]
        right = 0
        if own:
            judge = partial(verify, **self._setup.verifier.model_dump())
            with _at_rest(self._policy), accelerator.autocast():
                rollouts = collect(own, self._sampler, judge, sampling)
            right = sum(rollout.verdict.label == "correct" for rollout in rollouts)
        return float(sum(gather_object([right])) / (len(self._problems) * sampling.samples))

    def _keep(self) -> None:
        if self._trainer.accelerator.is_main_process:
            held = {name: parameter.detach().cpu() for name, parameter in self._trained()}
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / BEST) as temporary:
                save_file(held, temporary)

    def _trained(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for name, parameter in self._policy.named_parameters():
            if parameter.requires_grad:
                yield name, parameter


def _link(source: Path, target: Path) -> None:
    """A second name of a file; a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class InTraining(TransformersEngine):
    """The policy as it is at the moment, in its own process; nothing is loaded or freed."""

    def __init__(self, policy: Any, tokenizer: Tokenizer, batch_size: int) -> None:
        super().__init__("auto", batch_size)
        self._model, self._tokenizer, self._device = policy, tokenizer, str(policy.device)
        self._ends = self._end_tokens()

    def close(self) -> None:
        self._model = None


@contextmanager
def _at_rest(policy: Any) -> Iterator[None]:
    """Without dropout, and without what the model's file recommends for sampling."""
    training, recommended = policy.training, policy.generation_config
    policy.eval()
    policy.generation_config = GenerationConfig(use_cache=True)
    try:
        yield
    finally:
        policy.generation_config = recommended
        policy.train(training)
