"""Fuzzes the mathematics verifier: `python tests/benchmarks/verifier_fuzz.py [COUNT] [SEED]`.

Every answer must get its verdict within the deadline, known neighbours must keep theirs, and the
memory of this process must stay flat. Prints what was seen; the exit code tells whether it held.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

import psutil

from data_gen.verifiers.math import MathSettings

PIECES = [
    *"0123456789xyznabeiEfABC+-*/^_=!(){}[]|,.;:<>&%$~'\" \\",
    *["\\frac{", "}{", "\\sqrt{", "\\sqrt[3]{", "^{", "_{", "}", "\\left(", "\\right)", "\\{"],
    *["\\}", "\\pi", "\\cdot ", "\\times ", "\\pm ", "\\infty", "\\le ", "\\ge ", "\\ne ", "\\in "],
    *["\\cup ", "\\text{ or }", "\\text{and}", "\\text{cm}", "\\%", "^\\circ", "\\overline{3}"],
    *["\\ldots", "...", "\\sin ", "\\log_{2}", "\\ln(", "\\binom{5}{2}", "\\\\", "\\boxed{"],
    *["\\begin{pmatrix}1&2\\end{pmatrix}", "\\lfloor ", "\\rfloor", "e^{i\\pi}", "1e5", "1E-9"],
    *["12_8", "x=", "f(x)=", "\\mathbb{R}", "\\sum_{i=1}^{n}", "\\int", "\\lim", "\\fbox{1}"],
    *["10^{9}", "999!", "\n", "é", "²", "√", "\u202e", "\x00", "\x1b[31m", "½", "−", "（", "１２"],
    *["\\displaystyle ", "\\mathrm{d}x", "\\alpha"],
]
GOLDS = [
    *["7", r"\frac{3}{4}", r"x^2+1", r"(1,2)", r"\{1,2\}", r"[2,5)", r"\sqrt{2}", "x=5", "12_8"],
    *[r"\text{east}", r"\begin{pmatrix}1\\2\end{pmatrix}", "28\\%", r"1\pm\sqrt{2}", "4.5e33"],
]


BOMBS = [
    *[r"1E1000000", r"\operatorname{eye}(20000)", r"9^{9^{9^9}}", r"9^{9^{9^{9^{9}}}}"],
    *[r"1000000000!", r"((10!)!)!", "(" * 50_000 + "1" + ")" * 50_000, r"10^{10^{10}}"],
    *[r"\binom{1000000000}{500000000}", r"\prod_{i=1}^{1000000000} i", r"(x+1)^{100000}"],
    *[r"\int_0^1 x^{x^{x^x}} dx", r"\exp(\exp(\exp(99)))", r"\binom{5000}{2500}^{19999}"],
    *[
        r"((3^{19999})^{999})",
        r"((x+1)^{999}+1)^{999}",
        r"1000^{1000!}",
        "a_{" * 39 + "1" + "}" * 39,
    ],
    *[r"\begin{pmatrix}" + "&".join("1" * 400) + r"\end{pmatrix}", "x" * 1500, "-" * 1500 + "1"],
    *[r"\lfloor 3^{19999}\sqrt{2}\rfloor^{999}", r"\frac{1}{" * 38 + "x+1" + "}" * 38],
]


def bombs() -> float:
    """Prints the seconds of every bomb; the longest of them."""
    longest = 0.0
    with MathSettings(workers=1).open() as verifier:
        for bomb in BOMBS:
            verifier([("1/3", r"\boxed{\sqrt{2}}")])
            began = time.monotonic()
            [found] = verifier([(r"\sin(x)", f"\\boxed{{{bomb}}}")])
            seconds = time.monotonic() - began
            longest = max(longest, seconds)
            print(f"{seconds:6.2f} s {found.label:12} {found.reason:25} {bomb[:40]}")
    return longest


def answers(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Seeded (gold, answer) pairs: loose pieces, golds with a fault, and golds joined to golds."""
    chance = random.Random(seed)
    for _ in range(count):
        gold = chance.choice(GOLDS)
        if chance.random() < 0.5:
            yield gold, "".join(chance.choices(PIECES, k=chance.randrange(1, 25)))
            continue
        answer = chance.choice(GOLDS)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(answer) + 1)
            answer = answer[:place] + chance.choice(PIECES) + answer[place + chance.randrange(2) :]
        yield gold, answer


def main(count: int = 10_000, seed: int = 0) -> int:
    """Runs the fuzz; 0 when everything held."""
    pairs = [(gold, f"\\boxed{{{answer}}}") for gold, answer in answers(count, seed)]
    labels: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    slowest = 0.0
    memory: list[int] = []
    known = [
        ("1/3", r"\boxed{\frac{2}{6}}"),
        (r"\sqrt{8}", r"\boxed{2\sqrt{2}}"),
        ("5", r"\boxed{6}"),
    ]
    lost = 0
    with MathSettings().open() as verifier:
        verifier(known)
        began = time.monotonic()
        for start in range(0, count, 500):
            chunk = pairs[start : start + 500] + known
            before = time.monotonic()
            verdicts = verifier(chunk)
            slowest = max(slowest, time.monotonic() - before)
            lost += len(chunk) - len(verdicts)
            lost += [v.label for v in verdicts[-3:]] != ["correct", "correct", "wrong"]
            labels.update(v.label for v in verdicts[:-3])
            reasons.update(v.reason for v in verdicts[:-3] if v.label == "unverifiable")
            memory.append(psutil.Process().memory_info().rss >> 20)
        seconds = time.monotonic() - began
    print(f"{count} answers in {seconds:.0f} s, slowest 500 in {slowest:.1f} s: {dict(labels)}")
    print(f"unverifiable: {dict(reasons.most_common(12))}")
    print(f"memory of this process: {memory[0]} MB at first, {memory[-1]} MB at last; lost: {lost}")
    longest = bombs()
    return int(bool(lost) or memory[-1] - memory[0] > 100 or longest > 9)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
