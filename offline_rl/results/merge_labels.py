"""Results of runs under other names of models, labels and stages."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pandas as pd

from eval.evaluation import Evaluation
from offline_rl.report import Samples
from offline_rl.report.contents import RunResults


def models_of(part: RunResults) -> list[str]:
    """The base models that a part has samples of."""
    return list(dict.fromkeys(one.evaluation.model for one in part.samples))


def with_models(part: RunResults, names: Mapping[str, str]) -> RunResults:
    """With base models renamed."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(model=table["model"].replace(dict(names)))

    return replace(
        part,
        samples=tuple(
            Samples(replace(one.evaluation, model=names[one.evaluation.model]), one.folder)
            for one in part.samples
        ),
        training=renamed(part.training),
        curves=renamed(part.curves),
        data=renamed(part.data),
        summaries={names.get(model, model): one for model, one in part.summaries.items()},
        bases={names.get(model, model): base for model, base in part.bases.items()},
    )


def with_labels(part: RunResults, names: Mapping[tuple[str, str], str]) -> RunResults:
    """With labels renamed; `names` maps (model, label)."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        at = zip(table["model"], table["label"], strict=True)
        labels = [names.get((model, label), label) for model, label in at]
        return table.assign(label=pd.Series(labels, index=table.index, dtype=object))

    def label(one: Evaluation) -> str:
        return names.get((one.model, one.label), one.label)

    plain = {old: new for (_, old), new in names.items()}
    return replace(
        part,
        samples=tuple(
            Samples(replace(one.evaluation, label=label(one.evaluation)), one.folder)
            for one in part.samples
        ),
        labels=tuple(plain.get(one, one) for one in part.labels),
        baseline=plain.get(part.baseline, part.baseline),
        reference=plain.get(part.reference, part.reference),
        training=renamed(part.training),
        curves=renamed(part.curves),
    )


def without(part: RunResults, labels: Collection[tuple[str, str]]) -> RunResults:
    """Without the samples and trainings of some labels; `labels` holds (model, label)."""

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        at = zip(table["model"], table["label"], strict=True)
        mask = pd.Series([one not in labels for one in at], table.index, dtype=bool)
        return table[mask].reset_index(drop=True)

    return replace(
        part,
        samples=tuple(
            one
            for one in part.samples
            if (one.evaluation.model, one.evaluation.label) not in labels
        ),
        training=kept(part.training) if labels else part.training,
        curves=kept(part.curves) if labels else part.curves,
    )


def with_stages(part: RunResults, run: str) -> RunResults:
    """With the run's name before the stages of its data, which other runs may have too."""
    data = part.data.assign(stage=[f"{run}: {stage}" for stage in part.data["stage"]])
    summaries = {f"{model} ({run})": one for model, one in part.summaries.items()}
    return replace(part, data=data, summaries=summaries)
