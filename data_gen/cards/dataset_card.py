"""What a set of rollouts holds: its counts, and the dataset card that travels with it."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import yaml

from data_gen.types import Problem, Rollout
from data_gen.views import accepted, problem_groups

# Of a problem's rollouts, the share that is correct: none, up to a tenth, ..., all.
_PASS_RATES = ("0", *(f"({n / 10:g}, {(n + 1) / 10:g}]" for n in range(9)), "(0.9, 1)", "1")

_MEANING = {
    "problem_id": "the problem's id",
    "sample": "index of the completion among the problem's",
    "seed": "seed of exactly this completion",
    "problem": "the question as posed",
    "gold": "the gold answer",
    "solution": "a worked gold solution, empty where the source has none",
    "prompt": "what the model was given, chat template included",
    "completion": "what the model wrote, without special tokens",
    "prompt_tokens": "token ids of the prompt",
    "tokens": "sampled token ids, the end-of-sequence token included where there is one",
    "logps": "raw log-probability of each sampled token in nats, before temperature and top-p;"
    " empty where unknown",
    "finish_reason": '"stop" for a completion that ended by itself, "length" for a truncated one',
    "verdict": '"correct", "wrong" or "unverifiable"',
    "reason": "why the verdict is not correct",
    "answer": "the final answer that the verifier found, empty without one",
    "reward": "1.0 for correct, 0.0 else, or what another verifier gave",
}


def summarise(
    rollouts: Iterable[Rollout],
    *,
    left_out: Sequence[Problem] = (),
    dropped: Mapping[str, int] | None = None,
    min_reward: float | None = 1.0,
) -> dict[str, Any]:
    """Counts of `rollouts`, ready for JSON; nothing is made up for no rollouts at all.

    The rollouts of a problem stand side by side (DataError else); they are read once and not kept.
    `left_out` are the problems that gave no rollouts, since their prompts are too long or they have
    no solution to learn from, `dropped` the rows that were no problems, by reason. Accepted is what
    `views.accepted` says, and is not counted without a `min_reward`; an accepted duplicate repeats
    another accepted completion of its problem.
    """
    count: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    rates: Counter[str] = Counter()
    tokens: list[int] = []
    for group in problem_groups(rollouts):
        right = sum(rollout.verdict.label == "correct" for rollout in group)
        rates[_pass_rate(right, len(group))] += 1
        if min_reward is not None:
            count["accepted"] += len(accepted(group, min_reward=min_reward, unique=False))
            count["distinct"] += len(accepted(group, min_reward=min_reward, unique=True))
        for rollout in group:
            count[rollout.verdict.label] += 1
            count["truncated"] += rollout.completion.truncated
            count["without_logps"] += not rollout.completion.logps
            tokens.append(len(rollout.completion.tokens))
            if rollout.verdict.reason:
                reasons[rollout.verdict.label, _slug(rollout.verdict.reason)] += 1
    kept = {
        "accepted": count["accepted"],
        "accepted_duplicates": count["accepted"] - count["distinct"],
        "accepted_distinct": count["distinct"],
    }
    return {
        "problems": rates.total(),
        "problems_all_correct": rates["1"],
        "problems_mixed": rates.total() - rates["0"] - rates["1"],
        "problems_none_correct": rates["0"],
        "problems_by_pass_rate": {name: rates[name] for name in _PASS_RATES},
        "problems_left_out": len(left_out),
        "problems_left_out_ids": [problem.id for problem in left_out],
        **{f"rows_dropped_{_slug(why)}": number for why, number in (dropped or {}).items()},
        "rollouts": len(tokens),
        "correct": count["correct"],
        "wrong": count["wrong"],
        "unverifiable": count["unverifiable"],
        **{f"{label}_{why}": number for (label, why), number in sorted(reasons.items())},
        "truncated": count["truncated"],
        "share_truncated": count["truncated"] / len(tokens) if tokens else None,
        "accuracy": count["correct"] / len(tokens) if tokens else None,
        "mean_tokens": fmean(tokens) if tokens else None,
        "max_tokens": max(tokens, default=None),
        **(kept if min_reward is not None else {}),
        "rollouts_without_logps": count["without_logps"],
    }


def _pass_rate(right: int, samples: int) -> str:
    """The bin of _PASS_RATES, in whole numbers so that no rounding moves a problem."""
    if right in (0, samples):
        return "0" if right == 0 else "1"
    return _PASS_RATES[-(-10 * right // samples)]


def dataset_card(
    name: str,
    summary: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    licence: str | None = None,
) -> str:
    """The README.md of a folder of `part-*.parquet`, which the hub and `datasets` read.

    `about` holds the settings that the rollouts depend on (model, sampling, engine, verifier);
    nested mappings are written with dotted names. No text in it becomes markup. `licence` is an
    identifier of the hub, such as apache-2.0.
    """
    front = {
        "pretty_name": name,
        **({"license": licence} if licence else {}),
        "task_categories": ["text-generation"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "part-*.parquet"}],
            }
        ],
    }
    flat = flatten(summary)
    counts = {key: value for key, value in flat.items() if not isinstance(value, list)}
    lists = {key: value for key, value in flat.items() if isinstance(value, list) and value}
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n",
            f"# Rollouts of {_inert(name)}\n",
            "Completions that a language model sampled for problems with known answers, each with",
            "the verdict of a verifier. One row is one completion.\n",
            *_table("Columns", "column", _MEANING),
            *_table("How they were made", "setting", flatten(about)),
            *_table("Counts", "count", counts),
            *(f"{_inert(key)}: {_inert(', '.join(map(str, lists[key])))}\n" for key in lists),
        ]
    )


def _table(title: str, first: str, rows: Mapping[str, Any]) -> list[str]:
    lines = [f"| {_inert(key)} | {_inert(_shown(value))} |" for key, value in rows.items()]
    return [f"## {title}\n", f"| {first} | |", "| --- | --- |", *lines, ""]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, default=str)


def _slug(reason: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", reason.casefold()).strip("_") or "other"


def _inert(text: str) -> str:
    """`text` as Markdown that shows just its characters, on one line."""
    visible = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|<>~&$:@])", r"\\\1", visible)
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", escaped)
