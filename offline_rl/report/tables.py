"""Tables of how the methods were trained and on what."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import JsonValue

from offline_rl.artifacts.records import (
    FinishedTrial,
    TrainedPolicy,
    TrainingFailure,
    TrainingReport,
)
from offline_rl.report.columns import COLUMNS
from offline_rl.settings.training import TrainingSettings

_SETTINGS = (
    "lr examples_per_step scheduler warmup weight_decay max_grad_norm optimizer max_tokens"
    " precision"
)
_COUNTS = (
    "steps epochs examples rollouts_per_example examples_too_long examples_seen"
    " trained_tokens_seen flops seconds peak_memory_gib"
)
_FINAL = {
    "final_loss": "loss",
    "final_accepted_nll_nats": "accepted_nll",
    "final_accepted_mean_p": "accepted_mean_p",
    "final_accepted_entropy_nats": "accepted_entropy",
    "final_gradient_norm": "grad_norm",
}
_LOGGED = {
    "loss": "loss",
    "accepted_nll_nats": "accepted_nll",
    "accepted_mean_p": "accepted_mean_p",
    "accepted_entropy_nats": "accepted_entropy",
    "gradient_norm": "grad_norm",
    "learning_rate": "learning_rate",
}
_WHOLE = (
    "training_seed trials validation_best_step steps examples_per_step max_tokens lora_rank"
    " examples rollouts_per_example examples_too_long examples_seen trained_tokens_seen"
)


def training_table(
    policies: Sequence[TrainedPolicy], trials: Sequence[FinishedTrial] = (), *, model: str
) -> pd.DataFrame:
    """A row per method and training seed, and one per trial of a sweep, in the order given."""
    count = Counter(trial.policy.label for trial in trials)
    rows = [
        {**_training_row(one), "role": "compared", "trials": count[one.label]} for one in policies
    ]
    rows += [
        {
            **_training_row(one.policy),
            "role": f"trial {one.number}",
            "trials": count[one.policy.label],
            "validation_avg_at_k_percent": _percent(one.score),
        }
        for one in trials
    ]
    rows = [{"model": model, **row} for row in rows]
    table = pd.DataFrame(rows, columns=list(COLUMNS["training.csv"]))
    return table.astype(dict.fromkeys(_WHOLE.split(), "Int64"))


def curves_table(policies: Sequence[TrainedPolicy], *, model: str) -> pd.DataFrame:
    """A row for every logged step of the finished policies; NaN for what was not logged."""
    rows = [
        {
            "model": model,
            "label": policy.label,
            "training_seed": policy.training_seed,
            "step": entry["step"],
            **{column: entry.get(name, math.nan) for column, name in _LOGGED.items()},
        }
        for policy in policies
        if isinstance(policy.outcome, TrainingReport)
        for entry in policy.outcome.history
        if "loss" in entry
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["learning_curves.csv"]))


def data_table(sections: Mapping[str, JsonValue], *, model: str) -> pd.DataFrame:
    """Rows of stage, statistic and value, in the order given; lists become text.

    `sections` are a DatasetSummary as JSON, and further counts of the data.
    """
    rows = [
        (model, stage, name, ", ".join(map(str, value)) if isinstance(value, list) else value)
        for stage, counts in sections.items()
        if isinstance(counts, dict)
        for name, value in _flat(counts)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["data.csv"]), dtype=object)


def _flat(counts: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in counts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _training_row(policy: TrainedPolicy) -> dict[str, Any]:
    about = {"label": policy.label, "training_seed": policy.training_seed}
    report = policy.outcome
    if isinstance(report, TrainingFailure):
        return {**about, "status": "failed", "reason": report.reason}
    method, chosen = report.method, report.validation
    training = TrainingSettings.model_validate(report.training)
    own = {key: value for key, value in method.items() if key not in ("kind", "training")}
    return {
        **about,
        "kind": method["kind"],
        "status": "finished",
        "method_settings": " ".join(f"{key}={_compact(value)}" for key, value in own.items()),
        **{name: getattr(training, name) for name in _SETTINGS.split()},
        "betas": _compact(training.betas),
        "lora_rank": None if training.lora is None else training.lora.rank,
        "attention": report.attention,
        "packed": report.packed,
        **{name: getattr(report, name) for name in _COUNTS.split()},
        "update_kept_in_bfloat16_percent": _percent(report.update_kept_in_bfloat16),
        **{column: _last(report.history, name) for column, name in _FINAL.items()},
        "validation_avg_at_k_percent": None if chosen is None else 100 * chosen.best_avg_at_k,
        "validation_best_step": None if chosen is None else chosen.best_step,
        "stopped_early": None if chosen is None else chosen.stopped_early,
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _compact(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _last(history: Sequence[Mapping[str, float]], name: str) -> float:
    values: Iterator[float] = (entry[name] for entry in reversed(history) if name in entry)
    return next(values, math.nan)
