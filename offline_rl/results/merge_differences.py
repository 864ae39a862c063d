"""In what several runs differ besides the policies that are compared."""

from collections.abc import Mapping

import yaml
from pydantic import JsonValue

from data_gen.cards.dataset_card import flatten
from eval.notes import Note
from offline_rl.report.contents import RunResults

_MOST_TOLD = 12
# Keys that say what was run or where, not how.
_OWN = ("name", "methods", "labels", "store", "store_weights", "cluster", "keep", "report")


def differences(parts: Mapping[str, RunResults]) -> list[Note]:
    """Where the runs' settings and versions differ from the first one's, by dotted path."""
    runs = list(parts)
    notes = []
    first = _facts(parts[runs[0]])
    for run in runs[1:]:
        facts = _facts(parts[run])
        found = [
            f"{path} {_shown(first.get(path))} / {_shown(facts.get(path))}"
            for path in dict.fromkeys([*first, *facts])
            if first.get(path) != facts.get(path)
        ]
        if found:
            more = len(found) - _MOST_TOLD
            rest = f"; and {more} more" if more > 0 else ""
            text = (
                f"{runs[0]} and {run} differ in: {'; '.join(found[:_MOST_TOLD])}{rest}."
                " Differences between their policies come from these as well."
            )
            notes.append(Note("fairness", text))
    return notes


def _facts(part: RunResults) -> dict[str, JsonValue]:
    settings = yaml.safe_load(part.settings) or {}
    if part.among_untrained:
        # Labels with settings of their own: those of the first stand for all.
        settings = next(iter(settings.values()))["settings"]
    facts = {k: v for k, v in flatten(settings).items() if k.split(".")[0] not in _OWN}
    packages = part.environment.get("packages")
    if isinstance(packages, dict):
        facts |= {f"version of {name}": version for name, version in packages.items()}
    return facts | {f"hash of {what}": value for what, value in part.hashes.items()}


def _shown(value: JsonValue) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
