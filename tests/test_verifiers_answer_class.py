"""Classes of answers: equal in meaning, one class; and never two answers that verifiers part."""

import itertools
import json
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_gen.verifiers import verify
from data_gen.verifiers.answer_class import answer_class
from data_gen.verifiers.answer_text.boxed import final_boxes
from tests.benchmarks.verifier_fuzz import BOMBS, PIECES
from tests.test_verifiers_cases import cases

pytestmark = pytest.mark.xdist_group("verifiers")

CLASSES = [
    ["1/2", "0.5", r"\frac12", r"\dfrac{1}{2}", "5e-1", ".50", "x = 0.5", "50/100", " 1/2 "],
    [r"-\frac{1}{2}", r"\frac{-1}{2}", "-0.5", "−1/2"],
    ["3100", "3,100", r"3{,}100", "3.1e3", r"\$3100", "3100 dollars", "03100", "3100.0"],
    ["3", "3.", r"\text{three}", "3 cm", r"3\text{ cm}", r"3\%"],
    ["0", "-0", "0.0"],
    ["(B)", "B", r"\text{(B)}", "(B) 12"],
    ["1, 2", "2,1", r"\{1, 2\}", "1 and 2", r"x = 1 \text{ or } x = 2"],
    ["(1,2)", r"\left(1, 2\right)", r"(\frac{2}{2}, 2)"],
    ["(2,1)"],
    [r"[2,5)", r"\left[2, 5\right)"],
    ["east", r"\text{east}", "East."],
    [r"3\sqrt2", r"3\sqrt{2}", r" 3 \sqrt{2}"],
    [r"\sqrt{18}"],
    ["x+y=1", "x + y = 1"],
    ["x=1, y=2", "y = 2 and x = 1"],
    ["x=2, y=1"],
    ["x = 1 + 1 = 3"],
    [r"4:30 \text{ p.m.}"],
    [r"4:30 \text{ a.m.}"],
    [r"\frac{x}{12}"],
    [r"\frac{x1}{2}"],
]


@pytest.mark.parametrize("members", CLASSES, ids=lambda members: members[0])
def test_the_same_answer_in_other_writing_is_one_class(members):
    assert len({answer_class(member) for member in members}) == 1


def test_different_answers_are_different_classes():
    assert len({answer_class(members[0]) for members in CLASSES}) == len(CLASSES)


def test_what_the_verifier_parts_is_never_one_class():
    """But for what is left aside: units, and the name of a value."""
    left_aside = re.compile(r"\\text|\\%|\\\$|=")
    answers = [(case, final_boxes(case.completion)) for case in cases()]
    parted = [
        (case.gold, answer)
        for case, answer in answers
        if case.expected == "wrong" and answer and answer != case.gold
        if not left_aside.search(case.gold)
    ]
    assert len(parted) > 100
    assert [pair for pair in parted if answer_class(pair[0]) == answer_class(pair[1])] == []


def test_answers_of_a_real_model_in_one_class_are_equal_to_the_verifier(real_data):
    """Every two answers of a problem, and every answer and its gold."""
    path = real_data / "rollouts" / "qwen_math_50x8.jsonl"
    if not path.is_file():
        pytest.skip("needs a real model's completions: OFFLINE_RL_REAL_DATA names their folder")
    lines = path.read_text(encoding="utf-8")
    pairs = set()
    for line in lines.splitlines():
        rollouts = json.loads(line)
        found = {final_boxes(text) for text in rollouts["completions"]} | {rollouts["answer"]}
        pairs |= set(itertools.combinations(sorted(text for text in found if text), 2))
    ordered = sorted(pairs)
    assert len(ordered) > 20
    verdicts = verify([(one, rf"\boxed{{{other}}}") for one, other in ordered])
    equal = [verdict.label == "correct" for verdict in verdicts]
    assert [answer_class(one) == answer_class(other) for one, other in ordered] == equal


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text())
def test_no_text_is_refused(text):
    hash(answer_class(text))
    assert answer_class(text) == answer_class(f" {text}\n")


@pytest.mark.parametrize("bomb", [*BOMBS, "½" * 300, "1," * 150, r"10^{20000}", "9" * 300])
def test_hostile_texts_are_classed_without_a_parser(bomb):
    assert answer_class(bomb) == answer_class(bomb)
    assert answer_class(bomb) != answer_class("1")


def test_classing_needs_no_algebra_system():
    code = "import sys; import data_gen.verifiers.answer_class; sys.exit('sympy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
