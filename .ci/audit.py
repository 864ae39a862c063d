"""Looks the locked packages up in the OSV database of known vulnerabilities, in one question.

    python .ci/audit.py [LOCK_FILE]

Exit code 1 where one of them is known to be vulnerable. Where the database cannot be reached within
seconds, nothing has been audited, which is said, and the exit code is 0.
"""

import re
import sys
from pathlib import Path

import httpx

DATABASE = "https://api.osv.dev/v1/querybatch"
SECONDS = 10
IGNORED: dict[str, str] = {}
"""Entries of the database that do not concern us, each with the reason."""

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)")


def pinned(lock: str) -> dict[str, str]:
    """Versions by package."""
    found = (_PINNED.match(line) for line in lock.splitlines())
    return {one[1]: one[2] for one in found if one}


def known(packages: dict[str, str], database: str = DATABASE) -> list[str]:
    """A line for each vulnerable package. Raises httpx.HTTPError, ValueError or KeyError without an
    answer for every package."""
    asked = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in packages.items()
    ]
    answer = httpx.post(database, json={"queries": asked}, timeout=SECONDS).raise_for_status()
    lines = []
    for (name, version), found in zip(packages.items(), answer.json()["results"], strict=True):
        entries = sorted({one["id"] for one in found.get("vulns", [])} - IGNORED.keys())
        if entries:
            lines.append(f"{name} {version}: {', '.join(entries)}")
    return lines


def main() -> int:
    lock = Path(sys.argv[1] if len(sys.argv) > 1 else "requirements-cpu.lock")
    packages = pinned(lock.read_text(encoding="utf-8"))
    try:
        lines = known(packages)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        print(f"audit of {lock}: skipped, {DATABASE} gives no answer ({type(error).__name__})")
        return 0
    print(f"audit of {lock}: {len(packages)} packages, {len(lines)} known to be vulnerable")
    print("".join(f"  {line}\n" for line in lines), end="")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
