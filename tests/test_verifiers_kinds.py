"""The other kinds of verifiers: numbers, choices, and a function of the user's own."""

import os
import subprocess
import sys
import textwrap
from collections import Counter

import pytest
from pydantic import ValidationError

from data_gen.types import DataError, Verdict
from data_gen.verifiers import VERIFIERS, named, verify
from data_gen.verifiers.agreement import agreement
from data_gen.verifiers.choice import ChoiceSettings
from data_gen.verifiers.numeric import NumericSettings
from data_gen.verifiers.python_function import PythonSettings

pytestmark = pytest.mark.xdist_group("verifiers")


def labels(pairs, **settings):
    return [verdict.label for verdict in verify(pairs, **settings)]


@pytest.mark.parametrize(
    ("gold", "answer", "settings", "label"),
    [
        ("100", "101", {"relative": 0.01}, "correct"),
        ("100", "101.01", {"relative": 0.01}, "wrong"),
        ("100", "99", {"relative": 0.01}, "correct"),
        ("0", "0.001", {"relative": 0.01}, "wrong"),
        ("0", "0.001", {"absolute": 0.001}, "correct"),
        ("3.61e-10", "3.61E-10", {}, "correct"),
        ("3.61e-10", "3.62e-10", {}, "wrong"),
        ("1e-10", "2e-10", {"relative": 0.5}, "wrong"),
        ("1/3", "0.3333333", {}, "correct"),
        ("1/3", r"\frac{2}{6}", {"relative": 0}, "correct"),
        ("1234567", "1,234,567 \\text{ m}", {"relative": 0}, "correct"),
        ("5", "x = 5", {}, "correct"),
        ("5", "28\\%", {}, "wrong"),
        ("5", "many", {}, "wrong"),
        ("many", "5", {}, "unverifiable"),
        ("5", "1E1000000", {}, "wrong"),
    ],
)
def test_numbers_within_a_tolerance(gold, answer, settings, label):
    with NumericSettings(**settings).open() as verifier:
        assert verifier([(gold, rf"so \boxed{{{answer}}}")])[0].label == label


def test_numbers_outside_of_a_box():
    assert labels([("6", "The answer is 6.1.")], kind="numeric", answer="any", relative=0.1) == [
        "correct"
    ]
    assert labels([("6", "The answer is 6.")], kind="numeric") == ["wrong"]


@pytest.mark.parametrize(
    ("gold", "answer", "label"),
    [
        ("B", "(B)", "correct"),
        ("(B)", "b", "correct"),
        (r"\text{(B)}", r"\textbf{(B)}\ 12", "correct"),
        ("B", "C", "wrong"),
        ("B", "12", "wrong"),
        ("A, C", "C and A", "correct"),
        ("A, C", "A", "wrong"),
        ("12", "B", "unverifiable"),
    ],
)
def test_letters_of_a_choice(gold, answer, label):
    with ChoiceSettings().open() as verifier:
        assert verifier([(gold, rf"\boxed{{{answer}}}")])[0].label == label


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module `own_rules` in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_rules.py").write_text(
        textwrap.dedent(
            """
            import os, time
            from data_gen.types import Verdict
            print("text on standard output disturbs nobody")
            def truth(gold, completion): return gold in completion
            def reward(gold, completion): return float(completion)
            def label(gold, completion): return completion
            def full(gold, completion): return Verdict("correct", 0.7, "", completion)
            def hang(gold, completion):
                if completion == "hang":
                    time.sleep(60)
                if completion == "die":
                    os._exit(1)
                if completion == "eat":
                    return len(bytearray(1 << 34))
                return True
            number = 3
            """
        )
    )
    return tmp_path


def test_a_function_of_ones_own_gives_verdicts(own):
    pairs = [("4", "it is 4"), ("4", "it is 5")]
    assert labels(pairs, kind="python:own_rules.truth") == ["correct", "wrong"]
    found = verify([("", text) for text in ("1", "0.25", "nan", "inf", "-2", "x")],
                   kind="python", function="own_rules.reward")  # fmt: skip
    assert [(v.label, v.reward) for v in found] == [
        ("correct", 1.0),
        ("wrong", 0.25),
        ("unverifiable", 0.0),
        ("unverifiable", 0.0),
        ("wrong", -2.0),
        ("unverifiable", 0.0),
    ]
    assert found[-1].reason.startswith("verifier raised ValueError: could not convert")
    assert labels([("", "wrong"), ("", "nonsense")], kind="python:own_rules.label") == [
        "wrong",
        "unverifiable",
    ]
    [full] = verify([("", "seen")], kind="python:own_rules.full")
    assert full == Verdict("correct", 0.7, "", "seen")


def test_a_function_of_ones_own_may_hang_die_or_eat_memory(own):
    settings = PythonSettings(
        function="own_rules.hang", deadline_seconds=1, workers=1, memory_megabytes=1024
    )
    with settings.open() as verifier:
        found = verifier([("", text) for text in ("hang", "a", "die", "b", "eat", "c")])
    assert [(v.label, v.reason) for v in found] == [
        ("unverifiable", "time-out"),
        ("correct", ""),
        ("unverifiable", "verifier crashed"),
        ("correct", ""),
        ("unverifiable", "out of memory"),
        ("correct", ""),
    ]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_such_module.f", "no module 'no_such_module'"),
        ("own_rules.absent", "has no function 'absent'"),
        ("own_rules.number", "has no function 'number'"),
        ("broken.f", "cannot be loaded: ZeroDivisionError"),
    ],
)
def test_a_missing_function_is_one_clear_error_at_once(own, function, message):
    (own / "broken.py").write_text("1 / 0")
    with pytest.raises(DataError, match=message):
        PythonSettings(function=function).open()


def test_the_current_folder_never_stands_in_for_an_installed_module(own):
    (own / "json.py").write_text("raise RuntimeError('shadowed')")
    (own / "sympy.py").write_text("raise RuntimeError('shadowed')")
    assert labels([("4", "4")], kind="python:own_rules.truth", deadline_seconds=7.5) == ["correct"]
    assert labels([(r"\sqrt{4}", r"\boxed{\frac{4}{2}}")], deadline_seconds=7.5) == ["correct"]


def test_the_description_changes_with_the_source_of_the_function(own):
    settings = PythonSettings(function="own_rules.truth")
    before = settings.description
    with open("own_rules.py", "a") as file:
        file.write("\n# changed")
    assert before["source_sha256"] != settings.description["source_sha256"]
    assert {**before, "source_sha256": ""} == {**settings.description, "source_sha256": ""}


def test_names_stand_for_settings():
    assert named("math") == {"kind": "math"}
    assert named("python:a.b") == {"kind": "python", "function": "a.b"}
    assert named({"kind": "exact"}) == {"kind": "exact"}
    for bad in ("no_dot", "a.b()", "os.path.join; x", "..a"):
        with pytest.raises(ValidationError, match="function"):
            PythonSettings(function=bad)


def test_every_kind_is_described_without_being_opened(own):
    for kind, settings in VERIFIERS.items():
        given = {"function": "own_rules.truth"} if kind == "python" else {}
        assert settings(**given).description["kind"] == kind


def test_a_plain_script_finds_its_own_function(own):
    script = "from data_gen.verifiers import verify\n" + (
        "print(verify([('4', '4')], kind='python:own_rules.truth')[0].label)"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert (run.stdout, run.stderr) == ("correct\n", "")


def test_agreement_counts_pairs_of_verdicts():
    right, wrong = Verdict.correct("1"), Verdict.wrong("different")
    unsure = Verdict.unverifiable("time-out")
    first = [right, right, wrong, wrong, unsure, right]
    second = [right, wrong, right, wrong, right, unsure]
    met = Counter((one.label, other.label) for one, other in zip(first, second, strict=True))
    assert agreement(met).model_dump() == {
        "judged_twice": 6,
        "both_correct": 1,
        "both_wrong": 1,
        "only_first_correct": 1,
        "only_second_correct": 1,
        "first_unverifiable": 1,
        "second_unverifiable": 1,
        "share_agreed": 0.5,
    }
    assert agreement(Counter()).share_agreed is None
