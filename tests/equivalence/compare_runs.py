"""What two run folders tell differently: tables cell by cell, cards, page and settings by line."""

import csv
import difflib
import gzip
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TEXTS = (
    "experiment.yaml",
    "rollouts/README.md",
    "dataset/README.md",
    "dataset/summary.json",
    "dataset/dropped.jsonl",
    "report/index.html",
    "report/tables.md",
    "report/tables.tex",
)
CLOCK_COLUMNS = {"training.csv": {"seconds", "peak_memory_gib"}}
# The page's table of trainings has seconds and peak memory as seventh and eighth number of a row.
_READINGS = re.compile(
    r'(<tr><th scope="row">[^<]*</th><td>\d+ of \d+</td>(?:<td>[^<]*</td>){6})(?:<td>[^<]*</td>){2}'
)


@dataclass(frozen=True)
class Declared:
    """Differences that are meant.

    `columns`: file -> old name -> new name, or None for a column that is gone. `added`: file -> new
    columns. `files`: names of files that only one side has. `texts`: file -> old text -> new text.
    """

    columns: dict[str, dict[str, str | None]] = field(default_factory=dict)
    added: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Declared":
        return cls(**(yaml.safe_load(path.read_text("utf-8")) or {}))


def differences(old: Path, new: Path, declared: Declared, *, most: int = 5) -> list[str]:
    """A line for each difference, at most `most` a file; empty where the runs are the same."""
    tables = _tables(old) | _tables(new)
    found: list[str] = []
    for name in (*sorted(tables), *TEXTS):
        before, after = old / name, new / name
        if not before.exists() and not after.exists():
            continue
        if before.exists() != after.exists():
            if name not in declared.files:
                found.append(f"{name}: only in the {'old' if before.exists() else 'new'} run")
            continue
        compare = _compare_tables if name in tables else _compare_texts
        lines = compare(name, before, after, declared)
        found += lines[:most]
        if len(lines) > most:
            found.append(f"{name}: {len(lines) - most} more")
    return found


def _tables(folder: Path) -> set[str]:
    files = [*folder.glob("report/*.csv"), *folder.glob("report/*.csv.gz")]
    return {str(path.relative_to(folder)) for path in files}


def _compare_tables(name: str, old: Path, new: Path, declared: Declared) -> list[str]:
    (columns, before), (now, after) = _rows(old), _rows(new)
    renamed = declared.columns.get(old.name, {})
    masked = CLOCK_COLUMNS.get(old.name, set())
    gone = {column for column, other in renamed.items() if other is None} | masked
    added = {*declared.added.get(old.name, []), *masked}
    columns = [renamed.get(column) or column for column in columns if column not in gone]
    now = [column for column in now if column not in added]
    if columns != now:
        return [f"{name}: columns {_unlike(columns, now)}"]
    before = [_without(row, gone, renamed) for row in before]
    after = [_without(row, added, {}) for row in after]
    if len(before) != len(after):
        return [f"{name}: {len(before)} rows, now {len(after)}"]
    return [
        f"{name}: row {number}, {column}: {one[column]!r}, now {other[column]!r}"
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1)
        for column in one
        if one[column] != other[column]
    ]


def _rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    reader = csv.DictReader(io.StringIO(text, newline=""))
    return list(reader.fieldnames or []), list(reader)


def _without(row: dict[str, str], gone: set[str], renamed: dict[str, Any]) -> dict[str, str]:
    return {renamed.get(name) or name: value for name, value in row.items() if name not in gone}


def _unlike(old: list[str], new: list[str]) -> str:
    gone, come = [x for x in old if x not in new], [x for x in new if x not in old]
    return f"gone: {gone}, added: {come}" if gone or come else "in another order"


def _compare_texts(name: str, old: Path, new: Path, declared: Declared) -> list[str]:
    before, after = (_READINGS.sub(r"\1", path.read_text("utf-8")) for path in (old, new))
    for text, now in declared.texts.get(name, {}).items():
        before = before.replace(text, now)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [f"{name}: {line[:300]}" for line in list(lines)[2:] if not line.startswith("@@")]
