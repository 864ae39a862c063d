"""The mathematics verifier under hostile answers: every one ends, with its reason, in time."""

import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from data_gen.types import Verdict
from data_gen.verifiers import verify
from data_gen.verifiers.math import MathSettings

pytestmark = pytest.mark.xdist_group("verifiers")

DEADLINE = 1.5
KNOWN = [
    ("1/3", r"\boxed{\frac{2}{6}}"),
    (r"\sqrt{8}", r"\boxed{2\sqrt{2}}"),
    ("(1,2)", r"\boxed{(2,1)}"),
]
KNOWN_LABELS = ["correct", "correct", "wrong"]
TURNED_AWAY = {
    r"1E1000000": "exponent too large",
    r"10^{10^{10}}": "exponent too large",
    r"9^{9^{9^9}}": "exponent too large",
    r"(x+1)^{100000}": "exponent too large",
    r"((x+1)^{999}+1)^{999}": "exponent too large",
    r"1000^{1000!}": "exponent too large",
    r"1000000000!": "factorial too large",
    r"((10!)!)!": "factorial too large",
    r"\binom{1000000000}{500000000}": "factorial too large",
    r"\operatorname{eye}(20000)": "unknown operator eye",
    r"\sum_{i=1}^{99} i^{i}": r"\sum not worked out",
    r"\prod_{i=1}^{n} i": r"\prod not worked out",
    r"\int_0^1 x^{x} dx": r"\int not worked out",
    "(" * 50_000 + "1" + ")" * 50_000: "too long",
    "{" * 900 + "1" + "}" * 900: "too deeply nested",
    "1" * 1999: "too many digits",
}


@pytest.fixture(scope="module")
def verifier():
    with MathSettings(deadline_seconds=DEADLINE, workers=1).open() as opened:
        yield opened


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


def test_known_bombs_are_turned_away_unread() -> None:
    children = set(psutil.Process().children(recursive=True))
    with MathSettings().open() as verifier:
        found = verifier([(r"\sin(x)", boxed(answer)) for answer in TURNED_AWAY])
        # Nothing has read them: no worker was started.
        assert set(psutil.Process().children(recursive=True)) <= children
    assert {v.label for v in found} == {"unverifiable"}
    assert [v.reason for v in found] == list(TURNED_AWAY.values())


def test_a_hostile_gold_is_unverifiable_and_named(verifier) -> None:
    [found] = verifier([("10^{10^{10}}", boxed("1"))])
    assert (found.label, found.reason) == ("unverifiable", "gold: exponent too large")


def test_what_slips_through_costs_its_own_verdict_only(verifier) -> None:
    bombs = [rf"\exp(\exp(\exp({n})))" for n in (97, 98)]
    pairs = [pair for bomb in bombs for pair in (("7", boxed(bomb)), *KNOWN)]
    found = verifier(pairs)
    labels = [v.label for v in found]
    assert [labels[n] for n in range(len(pairs)) if n % 4] == KNOWN_LABELS * len(bombs)
    assert [(v.label, v.reason) for v in found[::4]] == [("unverifiable", "time-out")] * 2


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_and_any_thread_give_the_same_verdicts(workers, fuzz) -> None:
    pairs = [(gold, boxed(answer)) for gold, answer in fuzz.answers(150, seed=1)] + KNOWN
    expected = verify(pairs)
    found: list[list[Verdict]] = []
    with MathSettings(workers=workers).open() as opened:
        threads = [threading.Thread(target=lambda: found.append(opened(pairs))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [expected] * 3
    assert [v.label for v in expected[-3:]] == KNOWN_LABELS


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parent / "benchmarks" / "verifier_fuzz.py"
    spec = importlib.util.spec_from_file_location("verifier_fuzz", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_fuzzed_answer_is_lost_and_memory_stays_flat(fuzz) -> None:
    pairs = [(gold, boxed(answer)) for gold, answer in fuzz.answers(3000, seed=0)]
    memory = []
    for start in range(0, len(pairs), 500):
        found = verify(pairs[start : start + 500] + KNOWN)
        assert len(found) == 500 + len(KNOWN)
        assert [v.label for v in found[-3:]] == KNOWN_LABELS
        assert all(v.reason or v.label == "correct" for v in found)
        memory.append(psutil.Process().memory_info().rss)
    assert memory[-1] - memory[0] < 100 << 20


def test_hostile_completions_are_read_in_linear_time() -> None:
    texts = [
        "\\boxed{" * 20_000,
        "\\boxed{1}" * 20_000,
        "\\boxed{1}, " * 20_000,
        "the answer is " * 20_000,
        "$" * 100_000,
        "\\( " * 30_000,
        "1," * 50_000,
        "\n" * 100_000 + "User:",
        "<think>" * 20_000,
        "answer: " + "(" * 100_000,
    ]
    for kind in ("numeric", "choice", "exact"):
        nested = boxed("{" * 999 + "7" + "}" * 999)
        assert len(verify([("7", text) for text in [*texts, nested]], kind=kind)) > len(texts)
    for answer in ("boxed", "any"):
        # A quadratic reading of these takes minutes.
        assert len(verify([("7", text) for text in texts], answer=answer)) == len(texts)
