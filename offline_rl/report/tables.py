"""Tables of how the methods were trained and on what."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from offline_rl.report.columns import COLUMNS

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
    records: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]] = (),
    *,
    model: str,
) -> pd.DataFrame:
    """A row per method and training seed, and one per trial of a sweep, in the order given.

    A record has "label", "training_seed", and either "report", what offline_rl.training.train.train
    returned, or "failure", the reason why there is none; a trial also "number" and "score".
    """
    count = Counter(trial["label"] for trial in trials)
    rows = [
        {**_training_row(one), "role": "compared", "trials": count[one["label"]]} for one in records
    ]
    rows += [
        {
            **_training_row(one),
            "role": f"trial {one['number']}",
            "trials": count[one["label"]],
            "validation_avg_at_k_percent": None if one["score"] is None else 100 * one["score"],
        }
        for one in trials
    ]
    rows = [{"model": model, **row} for row in rows]
    table = pd.DataFrame(rows, columns=list(COLUMNS["training.csv"]))
    return table.astype(dict.fromkeys(_WHOLE.split(), "Int64"))


def curves_table(records: Sequence[Mapping[str, Any]], *, model: str) -> pd.DataFrame:
    """A row for every logged step of the finished policies; NaN for what was not logged."""
    rows = [
        {
            "model": model,
            "label": record["label"],
            "training_seed": record["training_seed"],
            "step": entry["step"],
            **{column: entry.get(name, math.nan) for column, name in _LOGGED.items()},
        }
        for record in records
        for entry in record.get("report", {}).get("history", [])
        if "loss" in entry
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["learning_curves.csv"]))


def data_table(summary: Mapping[str, Mapping[str, Any] | None], *, model: str) -> pd.DataFrame:
    """Rows of stage, statistic and value, in the order given; lists become text."""
    rows = [
        (model, stage, name, ", ".join(map(str, value)) if isinstance(value, list) else value)
        for stage, counts in summary.items()
        for name, value in _flat(counts or {})
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["data.csv"]), dtype=object)


def _flat(counts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in counts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _training_row(record: Mapping[str, Any]) -> dict[str, Any]:
    about = {"label": record["label"], "training_seed": record["training_seed"]}
    if "failure" in record:
        return {**about, "status": "failed", "reason": record["failure"]}
    report = record["report"]
    method, training = report["method"], report["training"]
    chosen = report.get("validation") or {}
    own = {key: value for key, value in method.items() if key not in ("kind", "training")}
    return {
        **about,
        "kind": method["kind"],
        "status": "finished",
        "method_settings": " ".join(f"{key}={_compact(value)}" for key, value in own.items()),
        **{name: training[name] for name in _SETTINGS.split()},
        "betas": _compact(training["betas"]),
        "lora_rank": training["lora"]["rank"] if training["lora"] else None,
        "attention": report["attention"],
        "packed": report["packed"],
        **{name: report[name] for name in _COUNTS.split()},
        "update_kept_in_bfloat16_percent": _percent(report.get("update_kept_in_bfloat16")),
        **{column: _last(report["history"], name) for column, name in _FINAL.items()},
        "validation_avg_at_k_percent": _percent(chosen.get("best_avg_at_k")),
        "validation_best_step": chosen.get("best_step"),
        "stopped_early": chosen.get("stopped_early"),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _compact(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _last(history: Sequence[Mapping[str, float]], name: str) -> float:
    values: Iterator[float] = (entry[name] for entry in reversed(history) if name in entry)
    return next(values, math.nan)
