"""YAML as settings are written in it: plain values, each key once."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from data_gen.types import DataError
from offline_rl.redaction import holds_user

# Aliases of aliases stand for any number of values in a few lines.
_MOST_VALUES = 100_000
_EXPONENT = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")

RawSettings = dict[str, Any]
"""A mapping of a settings file, or what one could hold: any values, not checked yet."""


class UsageError(DataError):
    """Settings or arguments that cannot be used; a line for each fault, with the dotted path."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key given twice and reads 1e-5 as a number."""


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper that puts quotes around a text that the loader would take for 1e-5."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise UsageError(
                f"line {key_node.start_mark.line + 1}: {key_node.value!r} is read as {key!r}:"
                " write the key in quotes"
            )
        if key in seen:
            raise UsageError(f"line {key_node.start_mark.line + 1}: {key!r} stands twice")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Unicode's own line ends are folded into spaces unless they are escaped.
    style = '"' if any(sign in value for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> Any:
    """The value that the text stands for. Raises UsageError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except yaml.YAMLError as error:
        raise UsageError(f"not valid YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"not valid YAML: {error}") from error


def to_yaml(value: Any) -> str:
    """As text that `parse_yaml` reads back to the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def check_values(raw: Any) -> None:
    """Raises UsageError for values that no setting can have, wherever they stand."""
    waiting: list[tuple[str, Any]] = [("", raw)]
    count = 1
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(path, key) for key in value]
            waiting += [(f"{path}.{key}" if path else str(key), one) for key, one in value.items()]
            count += 2 * len(value)
        elif isinstance(value, list):
            waiting += [(f"{path}.{number}", one) for number, one in enumerate(value)]
            count += len(value)
        elif reason := _never_meant(value):
            raise UsageError(f"{path}: {reason}")
        if count > _MOST_VALUES:
            raise UsageError(f"more than {_MOST_VALUES:,} values")


def _never_meant(value: Any) -> str | None:
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number of more than 64 bits"
    if not isinstance(value, str):
        return None
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        return "a text with a NUL or half of a surrogate pair"
    if holds_user(value):
        return "an address with a user or password: settings are stored and shown, so leave it out"
    return None
