"""What is wrong with settings, in a line for each fault that tells where and what to write."""

import difflib
import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from offline_rl.config.schema import Experiment
from offline_rl.config.yaml_io import RawSettings, UsageError, parse_yaml
from offline_rl.methods.registry import FAULTS, METHODS

M = TypeVar("M", bound=BaseModel)
Key = tuple[str, ...]
Origin = Literal["file", "command line", "both"]
_BEFORE: dict[Origin, str] = {
    "file": "{}: ",
    "command line": "command line: ",
    "both": "{} and command line: ",
}
# Faults whose location ends in a key that may not be there.
_NAMES_ITS_KEY = ("extra_forbidden", "missing")


def explain(
    error: ValidationError,
    raw: Any,
    source: str = "",
    given: Collection[Key] = (),
    within: str = "",
) -> str:
    """A line for each fault: dotted path, what is wrong, the value, a likely spelling.

    Before it stand `source`, which names the settings file, or the command line where the fault is
    in keys that are `given` there, and `within`, the part of the file that `raw` is.
    """
    faults = error.errors(include_url=False)
    return "\n".join(_fault(fault, raw, source, given, within) for fault in faults)


def validated(
    kind: type[M], raw: RawSettings, source: str, given: Collection[Key], within: str = ""
) -> M:
    """`raw` as settings; the other arguments are those of `explain`. Raises UsageError."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise UsageError(explain(error, raw, source, given, within)) from error


def keys_given(overrides: Sequence[str]) -> set[Key]:
    """The keys that the overrides set."""
    return {tuple(override.partition("=")[0].split(".")) for override in overrides}


def _fault(fault: ErrorDetails, raw: Any, source: str, given: Collection[Key], within: str) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    kind = fault["type"]
    keys, value, found = _place(fault["loc"], raw)
    origin = _origin(keys, value, given, lacks_key=kind == "missing")
    absent = [str(fault["loc"][-1])] if kind in _NAMES_ITS_KEY and not found else []
    path = ".".join([*keys, *absent])
    if kind == "extra_forbidden":
        message = "unknown key" + _suggestion(fault["loc"])
    elif kind == "missing":
        message = "this key is missing"
    elif kind == "union_tag_not_found":
        message = _without_kind(path.rpartition(".")[2])
    elif kind == "union_tag_invalid":
        message = _unknown_kind(fault["ctx"]["tag"], fault["ctx"]["expected_tags"], keys)
    elif kind == "tuple_type":
        message = "Input should be a list" + _as_list(path, fault["input"], origin)
    elif fault["loc"][-1:] == ("api_key_variable",):
        # Whoever writes the key itself there must not find it in a log.
        message = "the name of an environment variable that ends in _API_KEY is meant"
    elif isinstance(fault["input"], str | int | float | None) and kind != "value_error":
        message += f" (got {fault['input']!r})"
    before = _BEFORE[origin].format(source.removesuffix(": ")) if source else ""
    before += within
    return f"{before}{path}: {message}" if path else f"{before}{message}"


def _without_kind(label: str) -> str:
    if label in FAULTS:
        return f"this method cannot be had: {FAULTS[label]}"
    close = difflib.get_close_matches(label.lower(), METHODS, 1)
    meant = f": did you mean {close[0]}?" if close else ""
    return f"this needs a `kind` (offline-rl list methods){meant}"


def _unknown_kind(kind: str, known: str, keys: Key) -> str:
    if "methods" not in keys:
        return f"there is no kind {kind!r}, only {known}"
    if kind in FAULTS:
        return f"the kind {kind!r} cannot be had: {FAULTS[kind]}"
    return f"there is no kind {kind!r}, only {known}, and those of packages that are installed here"


def _place(location: Sequence[str | int], raw: Any) -> tuple[Key, Any, bool]:
    """The keys as written in the file, their value, and whether the location's last is of them.

    pydantic's names of union members are left out.
    """
    kept: list[str] = []
    place: Any = raw
    inside = False
    for part in location:
        inside = (isinstance(place, dict) and part in place) or (
            isinstance(place, list) and isinstance(part, int) and part < len(place)
        )
        if inside:
            place = place[part]
            kept.append(str(part))
    return tuple(kept), place, inside


def _origin(keys: Key, value: Any, given: Collection[Key], *, lacks_key: bool) -> Origin:
    """Where the value of these keys comes from; what it lacks, the file should have had."""
    if _all_given(keys, value, given):
        return "command line"
    partly = not lacks_key and any(one[: len(keys)] == keys for one in given)
    return "both" if partly else "file"


def _all_given(keys: Key, value: Any, given: Collection[Key]) -> bool:
    waiting = [(keys, value)]
    while waiting:
        place, inner = waiting.pop()
        if any(place[: len(one)] == one for one in given):
            continue
        if not isinstance(inner, dict) or not inner:
            return False
        waiting += [((*place, key), below) for key, below in inner.items()]
    return True


def _as_list(path: str, value: Any, origin: Origin) -> str:
    """How a value should have been written where one with commas, or a single one, was meant."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    written = f"[{value}]"
    try:
        read = parse_yaml(written) if written.isprintable() else None
    except UsageError:
        read = None
    if not isinstance(read, list) or not all(isinstance(one, str | int | float) for one in read):
        written = json.dumps([value])
    return f": write {path}{': ' if origin == 'file' else '='}{written} (got {value!r})"


def _suggestion(location: Sequence[str | int]) -> str:
    known = _known_keys()
    close = difflib.get_close_matches(str(location[-1]), known, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""


@cache
def _known_keys() -> set[str]:
    return _keys(Experiment.model_json_schema())


def _keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(_keys(part) for part in schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    return found.union(*(_keys(part) for part in schema.values()))
