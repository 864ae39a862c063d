"""What the page's browser of rollouts shows: chosen problems with every policy's samples."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from offline_rl.report.contents import Report, Samples
from offline_rl.report.figures.palette import PROPERTIES, looks
from offline_rl.report.page.page_data import BrowsedBenchmark, Cell, CutText, PageData, Shown
from offline_rl.report.page.sample_selection import (
    LONGEST_TEXT,
    SAMPLE_BYTES,
    Place,
    ShownSamples,
    select,
)
from offline_rl.report.page.sample_texts import Text, texts
from offline_rl.report.text import one_line, plain

_LONGEST_NAME = 80
_LONGEST_ANSWER = 400
_HEAD = LONGEST_TEXT * 5 // 8
# What would end the block of data, or a line of script, if it stood there as it is.
_UNSAFE = "<>&\u2028\u2029"


@dataclass(frozen=True)
class Browsed:
    """The browser's data as JSON that may stand inside a script element, and what it covers."""

    json: str
    selection: ShownSamples

    @property
    def whole(self) -> bool:
        """Whether every sample of every problem is shown."""
        chosen = self.selection
        return len(chosen.problems) == chosen.of_problems and chosen.samples == chosen.of_samples


@dataclass
class _Problem:
    """A problem with its samples: `texts` are answers, reasons and completions, each kept once."""

    text: Shown = ""
    gold: Shown = ""
    texts: list[Shown] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    bytes: int = 0
    _known: dict[tuple[str, int], int] = field(default_factory=dict)
    _bytes_of_texts: int = 0

    def add_cell(self, policy: int, rows: Sequence[Any]) -> int:
        """Adds a policy's samples, their texts not known yet (-1). Returns the bytes it takes."""
        before = self._bytes_of_texts
        cell: Cell = {
            "p": policy,
            "v": "".join(row.verdict[0] for row in rows),
            "n": [int(row.tokens) for row in rows],
            "a": [self._keep(row.answer, _LONGEST_ANSWER) for row in rows],
            "r": [self._keep(row.reason, _LONGEST_ANSWER) for row in rows],
            "t": [-1] * len(rows),
        }
        if any(row.truncated for row in rows):
            cell["x"] = "".join("1" if row.truncated else "0" for row in rows)
        self.cells.append(cell)
        return SAMPLE_BYTES * len(rows) + self._bytes_of_texts - before

    def add_text(self, place: int, text: Text) -> int:
        """Adds the text of a sample of the last policy. Returns the bytes it takes."""
        before = self._bytes_of_texts
        if not self.text:
            self.text, self.gold = shown(text.problem), shown(text.gold, _LONGEST_ANSWER)
            self._bytes_of_texts += _bytes(self.text) + _bytes(self.gold)
        self.cells[-1]["t"][place] = self._keep(text.completion, LONGEST_TEXT)
        return self._bytes_of_texts - before

    def _keep(self, text: str, longest: int) -> int:
        """The number of a text among the problem's."""
        key = (text, longest)
        if key not in self._known:
            self._known[key] = len(self.texts)
            self.texts.append(shown(text, longest))
            self._bytes_of_texts += _bytes(self.texts[-1])
        return self._known[key]


@dataclass
class _Shelf:
    """The problems shown, in the order drawn; the last are given up when there is no more room."""

    problems: dict[Place, _Problem]
    budget: int
    taken: int = 0

    def add(self, problem: _Problem, size: int) -> None:
        problem.bytes += size
        self.taken += size
        while self.taken > self.budget and len(self.problems) > 1:
            _, given_up = self.problems.popitem()
            self.taken -= given_up.bytes
            # What is still added to it counts no more.
            given_up.bytes = 0


def browse(report: Report, budget: int) -> Browsed:
    """Data of about `budget` bytes at most, of one problem at least.

    Problems of a large grid are selected as `select` says, and the last drawn are given up where
    their texts turn out to be long.
    """
    chosen = select(report.results.samples, budget)
    shelf = _Shelf({place: _Problem() for place in chosen.problems}, budget)
    for policy, one in enumerate(report.results.samples):
        _add(shelf, policy, one, chosen.samples)
    data = _page_data(report, shelf.problems)
    written = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Of millions of signs hardly any is one of these: `str.translate` looks each one up.
    for sign in _UNSAFE:
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return Browsed(written, replace(chosen, problems=tuple(shelf.problems)))


def shown(text: str, longest: int = LONGEST_TEXT) -> Shown:
    """Inert text with head and tail where it is long, and what was left out where something was."""
    inert = plain(text)
    cut: CutText = {"t": inert}
    if len(text) > len(inert):
        cut["s"] = len(text) - len(inert)
    if len(inert) > longest:
        head = min(_HEAD, longest)
        tail = longest - head
        cut["k"] = len(inert) - longest
        gap = f"\n[… {cut['k']:,} characters are not shown here …]\n"
        cut["t"] = inert[:head] + gap + (inert[-tail:] if tail else "")
    return cut if len(cut) > 1 else inert


def _add(shelf: _Shelf, policy: int, one: Samples, samples: int) -> None:
    """One evaluation's samples; its texts are read last, so that long ones can be given up."""
    benchmark = one.evaluation.benchmark
    ids = [problem for of, problem in shelf.problems if of == benchmark]
    places: dict[tuple[str, int], int] = {}
    for problem_id, rows in _rows(one.evaluation.grid, ids, samples):
        problem = shelf.problems.get((benchmark, problem_id))
        if problem is not None:
            places |= {(problem_id, row.sample): place for place, row in enumerate(rows)}
            size = problem.add_cell(policy, rows)
            shelf.add(problem, size)
    if one.folder is None:
        return
    for text in texts(one.folder, ids, {sample for _, sample in places}):
        problem = shelf.problems.get((benchmark, text.problem_id))
        place = places.get((text.problem_id, text.sample))
        if problem is not None and place is not None:
            shelf.add(problem, problem.add_text(place, text))


def _rows(grid: pd.DataFrame, ids: Sequence[str], samples: int) -> Iterator[tuple[str, list[Any]]]:
    """The first samples of each of these problems."""
    chosen = grid[grid["problem_id"].isin(ids)].sort_values(["problem_id", "sample"])
    columns = ["problem_id", "sample", "verdict", "reason", "answer", "tokens", "truncated"]
    rows = chosen[columns].itertuples(index=False)
    for problem_id, found in itertools.groupby(rows, key=lambda row: row.problem_id):
        yield str(problem_id), list(itertools.islice(found, samples))


def _page_data(report: Report, problems: Mapping[Place, _Problem]) -> PageData:
    """Names in the order of the tables."""
    models = list(dict.fromkeys(report.comparison["model"]))
    look = looks(report.comparison)
    labels = list(look)
    return {
        "models": [one_line(name, _LONGEST_NAME) for name in models],
        "labels": [one_line(name, _LONGEST_NAME) for name in labels],
        "colours": [PROPERTIES[look[name].colour] for name in labels],
        "policies": [
            {
                "model": models.index(one.evaluation.model),
                "label": labels.index(one.evaluation.label),
                "seed": one.evaluation.training_seed,
            }
            for one in report.results.samples
        ],
        "benchmarks": list(_benchmarks(report, problems)),
    }


def _benchmarks(report: Report, problems: Mapping[Place, _Problem]) -> Iterator[BrowsedBenchmark]:
    """Benchmarks in the order of the tables and their problems in that of the grids."""
    evaluations = [one.evaluation for one in report.results.samples]
    measured = {one.benchmark for one in evaluations}
    for benchmark in report.comparison["benchmark"].unique():
        if benchmark not in measured:
            continue
        grids = [one.grid for one in evaluations if one.benchmark == benchmark]
        ids = dict.fromkeys(str(one) for grid in grids for one in grid["problem_id"].unique())
        listed = [(one, problems[benchmark, one]) for one in ids if (benchmark, one) in problems]
        yield {
            "name": one_line(benchmark, _LONGEST_NAME),
            "of": len(ids),
            "problems": [
                {
                    "id": one_line(name, 200),
                    "q": problem.text,
                    "gold": problem.gold,
                    "texts": problem.texts,
                    "cells": problem.cells,
                }
                for name, problem in listed
            ],
        }


def _bytes(text: Shown) -> int:
    """Of the text in the page, with what escapes add."""
    content = text if isinstance(text, str) else text["t"]
    added = sum(5 * content.count(sign) for sign in "<>&")
    added += sum(content.count(sign) for sign in '\n\t\\"')
    return len(content.encode()) + added + 4
