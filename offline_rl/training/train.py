"""Trains one method with one seed on given rollouts and leaves the policy in a folder."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging
from trl import SFTConfig

from data_gen.model_ref import ModelRef
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.selection import Selection
from data_gen.types import DataError, Rollout
from data_gen.views import is_accepted, problem_groups
from offline_rl.artifacts.atomic import disk_errors_name
from offline_rl.artifacts.records import TrainingReport
from offline_rl.batch import TokenizedExample, longest, tokenize, with_signals
from offline_rl.methods.base import Method
from offline_rl.methods.registry import code_of
from offline_rl.settings.training import CHECKPOINTS, TrainingSettings
from offline_rl.settings.validation import Validation, ValidationSetup
from offline_rl.training.bf16_update import update_kept
from offline_rl.training.callbacks import OnLog, Watch, clear
from offline_rl.training.checkpoints import last_checkpoint
from offline_rl.training.early_stopping import EarlyStop
from offline_rl.training.model import load_policy, save_policy
from offline_rl.training.out_of_memory import memory_told
from offline_rl.training.trainer import OfflineTrainer


class NothingToLearn(DataError):
    """A method that finds no example among the rollouts."""


def train(
    method: Method,
    rollouts: Iterable[Rollout],
    folder: Path,
    *,
    model: ModelRef,
    training: TrainingSettings,
    selection: Selection,
    seed: int,
    setup: ValidationSetup | None = None,
    on_log: OnLog | None = None,
) -> TrainingReport:
    """Trains, and saves weights, tokenizer and the returned report in `folder`.

    The rollouts of a problem stand side by side; they are read once and not kept.

    With `checkpoint_every`, an interrupted call with the same arguments goes on at the last whole
    checkpoint. `on_log(step, steps, values)` is called as training goes. `setup` says how the
    problems of `training.validation` are asked.
    Raises NothingToLearn, DataError for a model that does not load, TrainingError on divergence,
    OSError for what could not be written.
    """
    checkpoints = folder / CHECKPOINTS
    torch.set_num_threads(training.threads)
    transformers_logging.disable_progress_bar()
    started = time.monotonic()
    examples, too_long = prepare(method, rollouts, selection, seed, training.max_tokens)
    # Adapters are drawn at random, and must not depend on what this process did before.
    set_seed(seed)
    policy = load_policy(model, training)
    tokenizer: Any = load_tokenizer(model)
    tokens_per_epoch = sum(row.trained_tokens for example in examples for row in example)
    steps = training.total_steps(len(examples), tokens_per_epoch)
    with memory_told(training), disk_errors_name(checkpoints):
        trainer = OfflineTrainer(
            method=method,
            examples=examples,
            tokens_per_microbatch=training.tokens_per_microbatch,
            head=training.head,
            packing=training.packing,
            model=policy,
            args=trainer_arguments(training, steps, seed, checkpoints),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        early_stop = _early_stop(training.validation, setup, trainer, tokenizer, checkpoints)
        watch = Watch(trainer, early_stop, steps, on_log)
        for callback in (early_stop, watch):
            if callback is not None:
                trainer.add_callback(callback)
        if method.requires.reference:
            trainer.add_reference()
        _run(trainer, early_stop, checkpoints)
    report = TrainingReport(
        code=code_of(method),
        method=method.model_dump(mode="json"),
        training=training.resolved(),
        seed=seed,
        examples=len(examples),
        examples_too_long=too_long,
        rollouts_per_example=len(examples[0]),
        packed=not trainer.packing.reason,
        attention=trainer.packing.attention,
        trained_tokens_per_epoch=tokens_per_epoch,
        steps=trainer.state.global_step,
        epochs=trainer.examples_seen / len(examples),
        examples_seen=trainer.examples_seen,
        trained_tokens_seen=trainer.tokens_seen,
        flops=trainer.state.total_flos,
        seconds=time.monotonic() - started,
        peak_memory_gib=watch.peak_memory_gib,
        validation=None if early_stop is None else early_stop.report(),
        history=[_history_entry(entry) for entry in trainer.state.log_history],
        update_kept_in_bfloat16=None,
    )
    policy = _whole(trainer, partial(load_policy, model, training))
    if trainer.accelerator.is_main_process:
        with disk_errors_name(folder):
            _save(policy, tokenizer, folder, training)
            kept = update_kept(model, folder)
            report = report.model_copy(update={"update_kept_in_bfloat16": kept})
            report.write(folder)
    trainer.accelerator.wait_for_everyone()
    return report


def _early_stop(
    settings: Validation | None,
    setup: ValidationSetup | None,
    trainer: OfflineTrainer,
    tokenizer: Any,
    checkpoints: Path,
) -> EarlyStop | None:
    if settings is None:
        return None
    if setup is None:
        raise DataError("training.validation: nothing says how its problems are asked and judged")
    return EarlyStop(settings, setup, trainer, tokenizer, checkpoints)


def _run(trainer: OfflineTrainer, early_stop: EarlyStop | None, checkpoints: Path) -> None:
    """Trains from the last whole checkpoint, if there is one, to the end."""
    with trainer.accelerator.main_process_first():
        checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None:
        trainer.restore(checkpoint)
        if early_stop is not None:
            early_stop.restore(checkpoint)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if early_stop is not None:
        early_stop.take_best()
        # The first process deletes what the others read here.
        trainer.accelerator.wait_for_everyone()


def _whole(trainer: OfflineTrainer, load_base: Callable[[], Any]) -> Any:
    """The trained policy; every process calls, since each may hold a part of it alone."""
    if not trainer.is_fsdp_enabled:
        return trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.accelerator.is_main_process:
        return None
    policy = load_base()
    policy.load_state_dict(weights)
    return policy


def _save(policy: Any, tokenizer: Any, folder: Path, training: TrainingSettings) -> None:
    keep_adapter = training.lora is not None and training.lora.keep_adapter
    save_policy(policy, str(folder), keep_adapter=keep_adapter)
    tokenizer.save_pretrained(str(folder))
    clear(folder / CHECKPOINTS)


def prepare(
    method: Method, rollouts: Iterable[Rollout], selection: Selection, seed: int, max_tokens: int
) -> tuple[list[TokenizedExample], int]:
    """The method's examples as token ids, and how many were left out as longer than max_tokens.

    The rollouts of a problem stand side by side (DataError else); they are read once and not kept.
    """
    fitting: list[TokenizedExample] = []
    problems = count = too_long = 0
    for group in problem_groups(rollouts):
        problems += 1
        count += len(group)
        for example in method.examples(group, selection, seed):
            tokens = with_signals(
                tokenize(example),
                method.signals(example, group, selection),
                [is_accepted(rollout, selection.min_reward) for rollout in example],
            )
            if longest(tokens) <= max_tokens:
                fitting.append(tokens)
            else:
                too_long += 1
    if not fitting and not too_long:
        raise NothingToLearn(
            f"{count} {method.learns_from} of {problems} problems hold no {method.wants}:"
            " sample more, raise the temperature, or take easier problems"
        )
    if not fitting:
        raise NothingToLearn(
            f"all {too_long} examples are longer than training.max_tokens = {max_tokens}: raise it"
        )
    return fitting, too_long


def trainer_arguments(
    training: TrainingSettings, steps: int, seed: int, checkpoints: Path
) -> SFTConfig:
    """The library's settings for a training of so many steps; a data loader's batch is a step."""
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=training.examples_per_step,
        learning_rate=training.lr,
        lr_scheduler_type=training.scheduler,
        lr_scheduler_kwargs=dict(training.scheduler_settings),
        warmup_steps=round(training.warmup * steps),
        adam_beta1=training.betas[0],
        adam_beta2=training.betas[1],
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optimizer,
        bf16=training.precision == "bfloat16",
        gradient_checkpointing=training.gradient_checkpointing,
        seed=seed,
        data_seed=_order_seed(seed),
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps" if training.checkpoint_every else "no",
        save_steps=training.checkpoint_every or 500,
        save_total_limit=2,
        logging_steps=training.log_every,
        logging_nan_inf_filter=False,
        report_to=list(training.report_to) or "none",
        disable_tqdm=True,
        # Processes pass through the model at moments of their own.
        ddp_broadcast_buffers=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
    )
    # One process with several GPUs in sight would split each step over them and multiply its size.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _order_seed(seed: int) -> int:
    """Of the data's order.

    Epoch e is shuffled by this number + e: of seeds that are neighbours, the second epoch of one
    would be the first of the other.
    """
    return random.Random(f"order of {seed}").getrandbits(31)


def _history_entry(entry: Mapping[str, float]) -> dict[str, float]:
    """One log line without clock readings and the trainer's own token count."""
    clock = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    return {name: value for name, value in entry.items() if name not in (*clock, "num_tokens")}
