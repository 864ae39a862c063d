"""The dataset card that travels with a set of rollouts."""

import json
import re
from collections.abc import Mapping

import yaml
from pydantic import JsonValue

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


def dataset_card(
    name: str,
    summary: Mapping[str, JsonValue],
    about: Mapping[str, JsonValue],
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


def _table(title: str, first: str, rows: Mapping[str, JsonValue]) -> list[str]:
    lines = [f"| {_inert(key)} | {_inert(_shown(value))} |" for key, value in rows.items()]
    return [f"## {title}\n", f"| {first} | |", "| --- | --- |", *lines, ""]


def flatten(settings: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    """The values of nested mappings by their dotted paths."""
    flat: dict[str, JsonValue] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value)


def _inert(text: str) -> str:
    """`text` as Markdown that shows just its characters, on one line."""
    visible = "".join(char if char.isprintable() else " " for char in text)
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|<>~&$:@])", r"\\\1", visible)
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", escaped)
