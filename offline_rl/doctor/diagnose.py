"""Proves on this machine, with these versions, that training computes what it says."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers.utils import logging as transformers_logging

from data_gen.remote_code import check_code
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import DataError, Problem
from offline_rl.artifacts.provenance import versions as installed_versions
from offline_rl.config.schema import Experiment
from offline_rl.doctor import (
    distributed_checks,
    gradient_checks,
    known_bad_versions,
    sampling_checks,
)
from offline_rl.doctor.subject import CheckResult, Subject
from offline_rl.progress import Progress, printable
from offline_rl.stages.engines import engines_of
from offline_rl.training.launch import LaunchError
from offline_rl.training.out_of_memory import OutOfMemory
from offline_rl.training.trainer import TrainingError

_PROBLEMS, _SAMPLES = 8, 4
_COLOURS = {"pass": "green", "fail": "bold red", "skipped": "yellow"}

Check = Callable[[Subject], CheckResult | Iterable[CheckResult]]


def diagnose(experiment: Experiment, progress: Progress) -> list[CheckResult]:
    """Every check with the experiment's model, sampler and methods.

    Figures of gradients and weights are the length of the difference in lengths of what it should
    be. Raises DataError for a model that does not load, EngineError for a sampler that does not
    start.
    """
    transformers_logging.disable_progress_bar()
    with examined(experiment, progress) as patient:
        checks = _checks(experiment)
        found: list[CheckResult] = []
        with progress.task("check", "checks") as task:
            for number, (name, check) in enumerate(checks):
                task.update(number, len(checks), name)
                found += run_check(name, check, patient)
            task.update(len(checks), len(checks))
    return [*found, *known_bad_versions.known_bad(installed_versions(_PACKAGES))]


_PACKAGES = tuple(bad.package for bad in known_bad_versions.KNOWN)


@contextmanager
def examined(experiment: Experiment, progress: Progress) -> Iterator[Subject]:
    """The experiment's model with completions of a few of its problems."""
    settings = experiment.sampling.model_copy(update={"samples": _SAMPLES})
    if settings.temperature == 0:
        settings = settings.model_copy(update={"temperature": 1.0})
    check_code(experiment.base_model)
    with (
        tempfile.TemporaryDirectory() as folder,
        engines_of(experiment, experiment.sampler, progress) as engines,
    ):
        tokenizer = load_tokenizer(experiment.base_model)
        sampler = engines.sampler(experiment.sampled_model)
        problems, _ = sampler.fitting(_problems(experiment))
        if not problems:
            raise DataError("every prompt is longer than the model's context")
        with progress.task("sample", "problems") as task:
            completions = sampler(problems, settings)
            task.update(len(problems))
        # Sampling and training do not share a GPU's memory.
        engines.close()
        yield Subject(experiment, tokenizer, problems, completions, Path(folder))


def run_check(name: str, check: Check, patient: Subject) -> list[CheckResult]:
    """What a check finds; a training that fails is a finding too."""
    try:
        found = check(patient)
        return [found] if isinstance(found, CheckResult) else list(found)
    except (TrainingError, LaunchError, OutOfMemory) as error:
        return [CheckResult(name, "fail", " ".join(str(error).split()))]
    except DataError as error:
        return [CheckResult(name, "skipped", " ".join(str(error).split()))]


def print_findings(found: Sequence[CheckResult], console: Console) -> None:
    """A table of all checks, and how many failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", overflow="fold")
    table.add_column("result", no_wrap=True)
    table.add_column("figure", overflow="fold")
    table.add_column("limit", overflow="fold")
    for one in found:
        cells = (Text(printable(text)) for text in (one.figure, one.limit))
        result = Text(one.result, style=_COLOURS[one.result])
        table.add_row(Text(printable(one.check)), result, *cells)
    console.print(table)
    counts = [sum(one.result == result for one in found) for result in _COLOURS]
    console.print("{} passed, {} failed, {} skipped".format(*counts))


def _checks(experiment: Experiment) -> list[tuple[str, Check]]:
    methods = {method.kind: method for method in experiment.methods.values()}
    each = [
        (f"{title}, {kind}", partial(check, method=method))
        for title, check in (
            ("1 x 8 = 8 x 1", gradient_checks.accumulation),
            ("bf16 = float32", gradient_checks.precision),
        )
        for kind, method in methods.items()
    ]
    return [
        *each,
        ("padded = one by one", gradient_checks.padding),
        ("padded = bucketed = packed", gradient_checks.layouts),
        ("DFT's gradient = that of -p", gradient_checks.dft_raises_p),
        ("first step, dpo", partial(distributed_checks.first_step, start=distributed_checks.DPO)),
        (
            "first step, iw_sft",
            partial(distributed_checks.first_step, start=distributed_checks.IW_SFT),
        ),
        ("trainer = sampler, tokens' log p", sampling_checks.log_probabilities),
        ("prompt + completion round trip", sampling_checks.round_trip),
        ("truncated completions", sampling_checks.truncated),
    ]


def _problems(experiment: Experiment) -> list[Problem]:
    source = experiment.problems or next(iter(experiment.evaluation.benchmarks.values()))
    return list(source.read().problems)[:_PROBLEMS]
