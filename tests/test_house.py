"""The house: one meaning for each class and module name, and no module flat that has a room."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("offline_rl", "losses", "data_gen", "eval")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_two_classes_share_a_name():
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert len(homes) > 200
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_few_module_names_stand_twice():
    homes = defaultdict(list)
    for path in MODULES:
        if path.stem not in ("__init__", "base", "settings"):
            homes[path.stem].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert len(twice) <= 6, twice


def test_few_modules_lie_flat_in_offline_rl():
    flat = {path.name for path in (ROOT / "offline_rl").glob("*.py")}
    assert flat <= {"__init__.py", "batch.py", "progress.py", "redaction.py"}


GONE = [
    "told",
    "parted",
    "anew",
    "Patient",
    "Exam",
    "Manner",
    "Tallies",
    "Findings",
    "gathering",
    "taught",
    "epitaph",
    "sayings",
]


def test_words_of_a_private_dialect_stay_out_of_code_and_documentation():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    word = re.compile(rf"\b({'|'.join(GONE)})\b")
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (*MODULES, *pages)
        for line in path.read_text("utf-8").splitlines()
        if word.search(line)
    }
    assert found == set()
