"""The JSON in the page that its browser of rollouts shows."""

from typing import NotRequired, TypedDict


class CutText(TypedDict):
    """The text `t` with what was left out of it: `s` characters that are not seen, `k` characters
    of the middle, in the text replaced by a line that says so."""

    t: str
    s: NotRequired[int]
    k: NotRequired[int]


Shown = str | CutText


class Cell(TypedDict):
    """One policy's samples of a problem, `p` the policy's number.

    By sample: the first letters `v` of the verdicts, tokens `n`, and the numbers among the
    problem's texts of answers `a`, reasons `r` and completions `t`, which are -1 if unknown. `x`
    has a 1 for what was truncated, and is left out where nothing was.
    """

    p: int
    v: str
    n: list[int]
    a: list[int]
    r: list[int]
    t: list[int]
    x: NotRequired[str]


class BrowsedProblem(TypedDict):
    """`q` is its text."""

    id: str
    q: Shown
    gold: Shown
    texts: list[Shown]
    cells: list[Cell]


class BrowsedBenchmark(TypedDict):
    """With those of its problems that are shown, `of` so many."""

    name: str
    of: int
    problems: list[BrowsedProblem]


class BrowsedPolicy(TypedDict):
    """Numbers among the names of models and of labels."""

    model: int
    label: int
    seed: int | None


class PageData(TypedDict):
    """`colours` are those of `labels`; `policies` has an entry for each evaluation."""

    models: list[str]
    labels: list[str]
    colours: list[str]
    policies: list[BrowsedPolicy]
    benchmarks: list[BrowsedBenchmark]
