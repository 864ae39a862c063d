"""Reports from samples, without a run."""

from dataclasses import replace

import pandas as pd

from offline_rl.report import RunResults, curves_table, data_table, training_table
from offline_rl.report.build_report import build_report
from tests.helpers.summaries import dataset_summary

COUNTS = dataset_summary()


def report_on(samples, *, records=(), models=("m",), summary=COUNTS, name="demo", **others):
    """`records` are of every model, or a mapping of models to theirs; `summary` is of the data."""
    records = records if isinstance(records, dict) else dict.fromkeys(models, records)
    training = pd.concat([training_table(records[model], model=model) for model in models])
    curves = pd.concat([curves_table(records[model], model=model) for model in models])
    parts = {
        "data": data_table(summary.model_dump(mode="json"), model=models[0]),
        "summaries": dict.fromkeys(models, summary),
        "notes": (),
        "failures": {},
        "environment": {"python": "3.11", "packages": {"torch": "2.13.0"}, "gpus": []},
        "settings": f"name: {name}\n",
        "command": f"offline-rl run {name}.yaml",
    }
    return build_report(
        RunResults(
            name=name,
            samples=tuple(samples),
            labels=(),
            benchmarks=(),
            baseline="base",
            reference="rft",
            training=training,
            curves=curves,
            bases=dict.fromkeys(models, "weights"),
            hashes={},
            **(parts | others),
        )
    )


def with_tables(report, **tables):
    """With other tables of the comparison."""
    return replace(report, compared=replace(report.compared, **tables))


def with_results(report, **changes):
    """With other results; its comparison and notes stay as they are."""
    return replace(report, results=replace(report.results, **changes))
