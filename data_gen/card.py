"""What a set of rollouts holds: its counts, and the dataset card that travels with it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from data_gen.types import Problem, Rollout
from data_gen.views import accepted, groups

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
    rollouts: Sequence[Rollout],
    *,
    left_out: Sequence[Problem] = (),
    dropped: Mapping[str, int] | None = None,
    min_reward: float = 1.0,
) -> dict[str, Any]:
    """Flat counts of `rollouts`, ready for JSON; nothing is made up for no rollouts at all.

    `left_out` are the problems that were not sampled because their prompts are too long, `dropped`
    the rows that were no problems, by reason. Accepted is what `views.accepted` says; an accepted
    duplicate repeats another accepted completion of its problem.
    """
    kept = accepted(rollouts, min_reward=min_reward, unique=False)
    distinct = accepted(rollouts, min_reward=min_reward, unique=True)
    labels = Counter(rollout.verdict.label for rollout in rollouts)
    reasons = Counter((r.verdict.label, r.verdict.reason) for r in rollouts if r.verdict.reason)
    lengths = [len(rollout.completion.tokens) for rollout in rollouts]
    correct = [
        sum(rollout.verdict.label == "correct" for rollout in group) / len(group)
        for group in groups(rollouts).values()
    ]
    return {
        "problems": len(correct),
        "problems_all_correct": sum(share == 1 for share in correct),
        "problems_mixed": sum(0 < share < 1 for share in correct),
        "problems_none_correct": sum(share == 0 for share in correct),
        "problems_left_out": len(left_out),
        "problems_left_out_ids": [problem.id for problem in left_out],
        **{f"rows_dropped_{_slug(why)}": count for why, count in (dropped or {}).items()},
        "rollouts": len(rollouts),
        "correct": labels["correct"],
        "wrong": labels["wrong"],
        "unverifiable": labels["unverifiable"],
        **{f"{label}_{_slug(why)}": n for (label, why), n in sorted(reasons.items())},
        "truncated": sum(rollout.completion.truncated for rollout in rollouts),
        "accuracy": labels["correct"] / len(rollouts) if rollouts else None,
        "mean_tokens": sum(lengths) / len(lengths) if lengths else None,
        "max_tokens": max(lengths, default=None),
        "accepted": len(kept),
        "accepted_duplicates": len(kept) - len(distinct),
        "accepted_distinct": len(distinct),
        "rollouts_without_logps": sum(not rollout.completion.logps for rollout in rollouts),
    }


def dataset_card(name: str, summary: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The README.md of a folder of `part-*.parquet`, which the hub and `datasets` read.

    `about` holds the settings that the rollouts depend on (model, sampling, engine, verifier);
    nested mappings are written with dotted names. No text in it becomes markup.
    """
    front = {
        "pretty_name": name,
        "task_categories": ["text-generation"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "part-*.parquet"}],
            }
        ],
    }
    counts = {key: value for key, value in summary.items() if not isinstance(value, list)}
    lists = {key: value for key, value in summary.items() if isinstance(value, list) and value}
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n",
            f"# Rollouts of {_inert(name)}\n",
            "Completions that a language model sampled for problems with known answers, each with",
            "the verdict of a verifier. One row is one completion.\n",
            *_table("Columns", "column", _MEANING),
            *_table("How they were made", "setting", _flat(about)),
            *_table("Counts", "count", counts),
            *(f"{_inert(key)}: {_inert(', '.join(map(str, lists[key])))}\n" for key in lists),
        ]
    )


def _table(title: str, first: str, rows: Mapping[str, Any]) -> list[str]:
    lines = [f"| {_inert(key)} | {_inert(_shown(value))} |" for key, value in rows.items()]
    return [f"## {title}\n", f"| {first} | |", "| --- | --- |", *lines, ""]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
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
