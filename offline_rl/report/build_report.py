"""Compares what a run has found."""

from dataclasses import replace

from eval.comparison import compare
from eval.notes import Note
from offline_rl.report.contents import Report, RunResults
from offline_rl.report.fairness import (
    budget_flags,
    kernel_notes,
    left_out_notes,
    setting_notes,
    with_marks,
    with_training_costs,
)


def build_report(results: RunResults) -> Report:
    """Raises DataError for evaluations that do not match."""
    compared = compare(
        [one.evaluation for one in results.samples],
        baseline=results.baseline,
        reference=results.reference,
        labels=results.labels,
        benchmarks=results.benchmarks,
        among_untrained=results.among_untrained,
    )
    training = results.training
    unequal = [Note("fairness", sentence) for sentence in budget_flags(training).values()]
    return Report(
        results,
        replace(
            compared,
            comparison=with_training_costs(compared.comparison, training),
            pairwise=with_marks(compared.pairwise, training),
        ),
        notes=(
            *unequal,
            *kernel_notes(training),
            *compared.notes,
            *setting_notes(training),
            *left_out_notes(training),
            *results.notes,
        ),
    )
