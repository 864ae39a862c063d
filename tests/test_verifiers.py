"""Verifiers: every pair gets its own verdict, whatever the other answers do to the workers."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data_gen.verifiers import VERIFIERS, verify
from data_gen.verifiers.exact import ExactSettings
from data_gen.verifiers.math import MathSettings

pytestmark = pytest.mark.xdist_group("verifiers")


def labels(pairs: list[tuple[str, str]], **settings: object) -> list[str]:
    return [verdict.label for verdict in verify(pairs, **settings)]  # type: ignore[arg-type] # any setting


def test_equal_values_are_correct_and_others_wrong() -> None:
    pairs = [(r"\frac{1}{2}", r"so \boxed{0.5}"), ("3", r"so \boxed{4}"), ("3", "so 3")]
    verdicts = verify(pairs)
    assert [v.label for v in verdicts] == ["correct", "wrong", "wrong"]
    assert [v.reason for v in verdicts] == ["", "different", "no boxed answer"]
    assert [v.answer for v in verdicts] == ["0.5", "4", ""]


def test_no_pairs_need_no_worker() -> None:
    assert verify([]) == []


def test_a_hanging_answer_is_unverifiable_and_its_neighbours_are_judged() -> None:
    pairs = [("1/3", rf"\boxed{{{n}/3}}") for n in range(1, 20)]
    pairs.insert(3, (r"\sin(x)", r"\boxed{1E1000000}"))
    with MathSettings(deadline_seconds=1.5, workers=1).open() as verifier:
        verdicts = verifier(pairs)
    assert verdicts.pop(3).label == "unverifiable"
    assert [v.label for v in verdicts] == ["correct"] + ["wrong"] * 18


def test_verify_is_callable_from_a_thread() -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(labels([("1/2", r"\boxed{0.50}")])))
    thread.start()
    thread.join()
    assert found == ["correct"]


def test_verify_is_callable_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom data_gen.verifiers import verify\n"
        r"print(verify([('1/2', r'\boxed{0.50}')])[0].label)"
        "\nassert not {'sympy', 'math_verify', 'torch', 'transformers'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", script], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("correct\n", "")


def test_every_kind_opens_under_its_name() -> None:
    for kind, settings in VERIFIERS.items():
        assert settings.model_fields["kind"].default == kind


def test_the_description_names_what_a_verdict_depends_on() -> None:
    description = MathSettings().description
    assert description["math-verify"] == "0.9.0"
    assert {"sympy", "latex2sympy2_extended", "answer", "deadline_seconds"} <= description.keys()


def test_exact_compares_letters() -> None:
    with ExactSettings().open() as verifier:
        found = verifier([("a b", r"\boxed{ a b }"), ("1/2", r"\boxed{0.5}"), ("a", "a")])
    assert [v.label for v in found] == ["correct", "wrong", "wrong"]


@pytest.mark.parametrize("answer", ["boxed", "any"])
def test_real_completions_agree_with_another_grader(answer: str) -> None:
    folder = Path(os.environ.get("OFFLINE_RL_REAL_DATA", Path(__file__).parent / "fixtures"))
    name = "rollouts/qwen_math_50x8.jsonl"
    path = folder / name if (folder / name).exists() else folder / "verifier_completions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pairs = [(row["answer"], text) for row in rows for text in row["completions"]]
    scores = [score for row in rows for score in row["grader_score"]]
    assert [label == "correct" for label in labels(pairs, answer=answer)] == scores


def test_plain_integers_are_judged_as_the_parser_judges_them() -> None:
    numbers = ["7", "-7", "07", "0", "-0", "12345678901234567890", "12345678901234567891"]
    pairs = [(gold, answer) for gold in numbers for answer in numbers]
    shortcut = labels([(gold, rf"\boxed{{{answer}}}") for gold, answer in pairs])
    # A thin space keeps the shortcut from seeing an integer, not the parser.
    parsed = labels([(gold, rf"\boxed{{\,{answer}}}") for gold, answer in pairs])
    assert shortcut == parsed
    assert shortcut == ["correct" if int(g) == int(a) else "wrong" for g, a in pairs]


def test_any_also_takes_a_final_statement_outside_of_a_box() -> None:
    pairs = [
        ("4", "2+2=4. The answer is 4."),
        ("4", "The answer is 5."),
        (r"\frac{1}{2}", "So the result is $\\frac{2}{4}$."),
        ("4", r"First 4, in the end \boxed{5}"),
        ("4", ""),
        ("4", "no number at all"),
    ]
    assert labels(pairs, answer="any") == ["correct", "wrong", "correct", "wrong", "wrong", "wrong"]
    assert labels(pairs, answer="boxed") == ["wrong"] * 6
