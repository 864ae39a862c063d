"""The house: one meaning for each class and module name, and no module flat that has a room."""

import ast
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
