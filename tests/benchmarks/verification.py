"""Verification against a plain math-verify loop, on the same pairs in one run.

`python tests/benchmarks/verification.py [FOLDER] [PAIRS]`: FOLDER holds benchmarks/ and rollouts/
(the environment's OFFLINE_RL_REAL_DATA without it; the built-in arithmetic where neither is there).
Prints pairs per second of both, and how often the two differ from each other and from what the
pairs were made to be.
"""

import json
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import math_verify

from data_gen.problems.arithmetic import arithmetic_problems
from data_gen.problems.sources import load_problems
from data_gen.types import Problem, Verdict
from data_gen.verifiers.math import MathSettings

FILES = {
    "gsm8k": "gsm8k",
    "math500": "math_oai",
    "minerva": "minerva_math",
    "olympiadbench": "olympiadbench",
    "aime24": "aime24",
    "amc23": "amc23",
}
ROLLOUTS = 8
# Gold, completion, and what it was made to be; None: not known.
Pair = tuple[str, str, str | None]


def problems_of(folder: Path | None) -> list[list[Problem]]:
    """The problems of each set."""
    if folder is None:
        return [arithmetic_problems("train", 1500, 0)]
    return [
        load_problems(name, path=str(folder / "benchmarks" / f"{file}.jsonl"))
        for name, file in FILES.items()
    ]


def rollouts_of(folder: Path | None) -> list[Pair]:
    if folder is None:
        return []
    lines = (folder / "rollouts" / "qwen_math_50x8.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["answer"], text, None) for row in rows for text in row["completions"]]


def made_pairs(sets: Sequence[list[Problem]], seed: int = 0) -> list[Pair]:
    """Eight rollouts a problem: four right, three wrong (two alike), one without a box.

    The wrong answers are those of other problems of the same set.
    """
    chance = random.Random(seed)
    pairs: list[Pair] = []
    for problem, others in ((problem, members) for members in sets for problem in members):
        wrong = [other.answer for other in chance.sample(others, 2)]
        answers = [problem.answer] * 2 + [_styled(problem.answer), f" {problem.answer}."]
        answers += [wrong[0], wrong[0], wrong[1]]
        prose = (problem.solution or problem.prompt)[:1500].replace("\\boxed", "")
        for number, answer in enumerate(answers):
            same = answer.strip(" .") == problem.answer or number < 4
            kind = "right" if same else "wrong"
            text = f"{prose}\n\nTherefore the answer is $\\boxed{{{answer}}}$."
            pairs.append((problem.answer, text, kind))
        text = f"{prose}\n\nTherefore the answer is {problem.answer}."
        pairs.append((problem.answer, text, "unboxed"))
    chance.shuffle(pairs)
    return pairs


def _styled(answer: str) -> str:
    """The same answer in another style, as models write it."""
    return answer.replace("\\frac", "\\dfrac").replace("(", "\\left(").replace(")", "\\right)")


def plain_loop(pairs: Sequence[Pair]) -> list[bool]:
    return [
        bool(math_verify.verify(math_verify.parse(f"\\boxed{{{gold}}}"), math_verify.parse(text)))
        for gold, text, _ in pairs
    ]


def timed(work: Callable[[], list[Any]]) -> tuple[list[Any], float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def ours(pairs: Sequence[Pair], settings: MathSettings) -> tuple[list[Verdict], float]:
    """The verdicts and the seconds, with workers that have started and worked before."""
    warming = [("1/3", f"\\boxed{{\\sqrt{{{n}}}}}") for n in range(2, 200)]
    asked = [(gold, text) for gold, text, _ in pairs]
    with settings.open() as verifier:
        verifier(warming)
        return timed(lambda: verifier(asked))


def main(arguments: Sequence[str]) -> None:
    logging.disable(logging.CRITICAL)
    given = arguments[0] if arguments else os.environ.get("OFFLINE_RL_REAL_DATA")
    folder = Path(given) if given else None
    limit = int(arguments[1]) if len(arguments) > 1 else 12_000
    pairs = (rollouts_of(folder) + made_pairs(problems_of(folder)))[:limit]
    workers = os.cpu_count()
    print(f"{len(pairs)} pairs, {dict(Counter(kind or 'sampled' for *_, kind in pairs))}")
    plain_loop(pairs[:200])
    theirs, base = timed(lambda: plain_loop(pairs))
    print(f"plain math-verify, one process: {len(pairs) / base:8.0f} pairs/s")
    verdicts: list[Verdict] = []
    variants = {
        f"this verifier, {workers} workers": MathSettings(),
        "  one worker": MathSettings(workers=1),
    }
    for name, settings in variants.items():
        found, seconds = ours(pairs, settings)
        verdicts = verdicts or found
        rate = len(pairs) / seconds
        print(f"{name:31}: {rate:8.0f} pairs/s, {base / seconds:5.1f} times the plain loop")
        if [v.label for v in found] != [v.label for v in verdicts]:
            print("  ... with other verdicts!")
    report(pairs, theirs, verdicts)


def report(pairs: Sequence[Pair], theirs: Sequence[bool], verdicts: Sequence[Verdict]) -> None:
    counts: Counter[str] = Counter()
    for (gold, text, kind), right, verdict in zip(pairs, theirs, verdicts, strict=True):
        mine = verdict.label == "correct"
        if kind in ("right", "wrong"):
            counts[f"plain loop errs on a {kind} one"] += right != (kind == "right")
            counts[f"this verifier errs on a {kind} one"] += mine != (kind == "right")
            if mine != (kind == "right"):
                print(f"  {kind}: gold {gold!r}, end {text[-80:]!r}: {verdict}")
        elif kind is None:
            counts["differ on a sampled one"] += mine != right
        else:
            counts["unboxed and taken by the plain loop"] += right and not mine
    for name, count in sorted(counts.items()):
        print(f"{name}: {count}")


if __name__ == "__main__":
    main(sys.argv[1:])
