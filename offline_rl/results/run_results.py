"""What was found in one run's folder or in several, before it is compared; and its report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.comparison import compare
from eval.model_table import MACRO
from offline_rl.report import Report, Samples
from offline_rl.report.fairness import left_out_notes, setting_notes, with_budgets, with_marks

SEVERAL = "several"
"""In place of a base model's name, where evaluations alone are of more than one."""


@dataclass(frozen=True)
class RunResults:
    """The parts of a report that no comparison is needed for; Report says what they are.

    `labels` and `benchmarks` give the order of rows. Policies are compared with `baseline` and
    `reference`; `among_untrained` compares untrained ones with each other too. `bases` maps a base
    model to the hash of its weights; `hashes` are of what all its policies had in common.
    """

    name: str
    samples: tuple[Samples, ...]
    labels: tuple[str, ...]
    benchmarks: tuple[str, ...]
    baseline: str
    reference: str
    training: pd.DataFrame
    curves: pd.DataFrame
    data: pd.DataFrame
    summaries: Mapping[str, Mapping[str, Any]]
    bases: Mapping[str, str]
    hashes: Mapping[str, str | None]
    notes: tuple[str, ...]
    failures: Mapping[str, str]
    environment: Mapping[str, Any]
    settings: str
    command: str
    among_untrained: bool = False


def report_on(results: RunResults) -> Report:
    """Compares and puts together. Raises DataError for evaluations that do not match."""
    compared = compare(
        [one.evaluation for one in results.samples],
        baseline=results.baseline,
        reference=results.reference,
        labels=results.labels,
        benchmarks=results.benchmarks,
        among_untrained=results.among_untrained,
    )
    return Report(
        name=results.name,
        comparison=with_budgets(compared.comparison, results.training),
        pairwise=with_marks(compared.pairwise, results.training),
        checks=compared.checks,
        seeds=compared.seeds,
        pass_at_k=compared.pass_at_k,
        profile=compared.profile,
        training=results.training,
        curves=results.curves,
        data=results.data,
        samples=results.samples,
        summaries=results.summaries,
        notes=(
            *compared.notes,
            *setting_notes(results.training),
            *left_out_notes(results.training),
            *results.notes,
        ),
        failures=results.failures,
        environment=results.environment,
        settings=results.settings,
        command=results.command,
        absent=_absent(compared.comparison, results.labels),
        baseline=results.baseline,
    )


def _absent(comparison: pd.DataFrame, declared: Sequence[str]) -> tuple[str, ...]:
    whole = comparison[comparison["benchmark"] == MACRO]
    # Where no policy has an average yet, none is missing from it.
    present = set((whole if len(whole) else comparison)["label"])
    return tuple(label for label in declared if label not in present)
