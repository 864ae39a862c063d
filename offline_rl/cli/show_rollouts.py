"""Rollouts to read in a terminal, the correct ones beside the others."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Literal, get_args

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from data_gen.store.rollouts import iterate_rollouts
from data_gen.types import DataError, Rollout
from data_gen.views import problem_groups
from offline_rl.report.text import one_line, plain

Only = Literal["mixed", "correct", "wrong", "unverifiable"]
ONLY: tuple[Only, ...] = get_args(Only)

_COLOUR = {"correct": "green", "wrong": "red", "unverifiable": "yellow"}
_ABREAST_COLUMNS = 100
# Of a text longer than the first, so many characters are shown from its beginning and its end.
_LONGEST, _BEGINNING, _END = 1500, 800, 500


def print_rollouts(
    path: Path,
    console: Console,
    *,
    most: int | None = None,
    problem: str | None = None,
    only: Only | None = None,
    full: bool = False,
    untrusted: bool = False,
) -> None:
    """Rollouts to read, problem by problem: the correct ones beside the others.

    At most `most` in all, and then one of each side for a problem; those of one `problem`, by its
    id; with `only`, those of one verdict, or of problems that have right and wrong ones ("mixed").
    Long texts are shortened in their middle unless `full` is set. Nothing in `untrusted` files is
    taken at its word. Raises DataError where there is
    none to show.
    """
    shown = 0
    for group in problem_groups(iterate_rollouts(path, untrusted=untrusted)):
        if problem is not None and group[0].problem.id != problem:
            continue
        left, right = _sides(group, only)
        if most is not None and problem is None:
            left, right = left[:1], right[:1]
        if most is not None:
            left = left[: most - shown]
            right = right[: most - shown - len(left)]
        if left or right:
            _print_problem(group, left, right, console, full)
            shown += len(left) + len(right)
        if shown == most or problem is not None:
            break
    if not shown:
        raise DataError(f"{path}: no such rollout{_asked(problem, only)}")


def _asked(problem: str | None, only: Only | None) -> str:
    verdict = f" that is {only}" if only in _COLOUR else ""
    place = "" if problem is None else f" of problem {problem!r}"
    mixed = " of a problem with right and wrong ones" if only == "mixed" else ""
    return f"{verdict}{place}{mixed}"


def _sides(group: Sequence[Rollout], only: Only | None) -> tuple[list[Rollout], list[Rollout]]:
    """What of a problem's rollouts is shown: the correct ones, and the others."""
    labels = {rollout.verdict.label for rollout in group}
    if only == "mixed" and not {"correct", "wrong"} <= labels:
        return [], []
    wanted = [only] if only in _COLOUR else list(_COLOUR)
    shown = [rollout for rollout in group if rollout.verdict.label in wanted]
    correct = [rollout for rollout in shown if rollout.verdict.label == "correct"]
    return correct, [rollout for rollout in shown if rollout.verdict.label != "correct"]


def _print_problem(
    group: Sequence[Rollout],
    left: Sequence[Rollout],
    right: Sequence[Rollout],
    console: Console,
    full: bool,
) -> None:
    problem = group[0].problem
    right_ones = sum(rollout.verdict.label == "correct" for rollout in group)
    console.print(Rule(Text(one_line(problem.id, 60)), style="dim"))
    console.print(Text(_shortened(problem.prompt.strip(), full)))
    gold = one_line(problem.answer)
    console.print(Text(f"gold: {gold}    correct: {right_ones} of {len(group)}\n", style="bold"))
    if console.width >= _ABREAST_COLUMNS and left and right:
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in range(2):
            table.add_column(ratio=1, overflow="fold")
        for a, b in zip_longest(left, right):
            table.add_row(*("" if one is None else _told(one, full) for one in (a, b)))
        console.print(table)
        return
    for rollout in (*left, *right):
        console.print(_told(rollout, full), overflow="fold")


def _told(rollout: Rollout, full: bool) -> Text:
    """A rollout as inert text: what was judged of it, then what the model wrote."""
    completion, verdict = rollout.completion, rollout.verdict
    facts = [f"sample {completion.sample}", f"{len(completion.tokens)} tokens"]
    if completion.truncated:
        facts.append("truncated")
    if completion.logps:
        facts.append(f"mean logp {fmean(completion.logps):.3f}")
    if verdict.reward not in (0.0, 1.0):
        facts.append(f"reward {verdict.reward:.4g}")
    why = f": {one_line(verdict.reason)}" if verdict.reason else ""
    text = Text(f"{verdict.label}{why}", style=f"bold {_COLOUR[verdict.label]}")
    text.append(f"\n{', '.join(facts)}", style="not bold dim")
    if verdict.answer:
        text.append(f"\nanswer: {one_line(verdict.answer)}", style="not bold default")
    text.append(f"\n{_shortened(completion.text.strip(), full)}\n", style="not bold default")
    return text


def _shortened(text: str, full: bool) -> str:
    shown = plain(text)
    if full or len(shown) <= _LONGEST:
        return shown
    left_out = len(shown) - _BEGINNING - _END
    return f"{shown[:_BEGINNING]}\n[... {left_out:,} characters, see --full ...]\n{shown[-_END:]}"
