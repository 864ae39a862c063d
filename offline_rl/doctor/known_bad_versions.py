"""Checks of installed versions against those known to compute something else than they say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from offline_rl.doctor.subject import CheckResult, judged


@dataclass(frozen=True, slots=True)
class Bad:
    """Releases with a known error; read off the sources of the first and last, and those beside."""

    package: str
    releases: str
    error: str


KNOWN = (
    Bad(
        "deepspeed",
        ">=0.15.2,<0.19.0",
        "ZeRO 1 and 2 with the optimiser on the CPU drop the gradients of later micro-batches"
        " (deepspeedai/DeepSpeed#7967, #7981)",
    ),
    Bad(
        "transformers",
        ">=4.46.0,<4.48.0",
        "its Trainer sums the losses of accumulated batches instead of averaging them for models"
        " that take no unit count (huggingface/transformers#35438)",
    ),
)


def known_bad(installed: Mapping[str, str]) -> Iterator[CheckResult]:
    """One finding for each package with known errors; `installed` holds versions by package."""
    for bad in KNOWN:
        version = installed.get(bad.package)
        check = f"{bad.package} without known errors"
        limit = f"not {bad.releases}"
        if version is None:
            yield CheckResult(check, "skipped", "not installed", limit)
        elif version in SpecifierSet(bad.releases, prereleases=True):
            yield judged(check, False, f"{version}: {bad.error}", limit)
        else:
            yield judged(check, True, version, limit)
