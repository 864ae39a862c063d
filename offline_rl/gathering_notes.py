"""What a reader must know of a run's problems: overlaps, omissions, doubts."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from offline_rl.evaluation_settings import BASE
from offline_rl.stages import Stage
from offline_rl.steps.context import ABOUT
from offline_rl.steps.evaluations import evaluation_folder


def data_notes(dataset: Path | None, folder: Path, benchmarks: Iterable[str]) -> Iterator[str]:
    """Sentences on each benchmark, as the base was asked it in a run's folder.

    `dataset` is the folder that methods learn from, None where nothing was trained.
    """
    trained_on = set() if dataset is None else _prompts(dataset)
    if dataset is not None and (damage := Stage(dataset, {}).damage()) is not None:
        yield f"The data set is damaged ({damage}): it was not held against the benchmarks."
    for benchmark in benchmarks:
        asked_in = evaluation_folder(folder, BASE, None, benchmark)
        yield from benchmark_notes(asked_in, benchmark)
        asked = _prompts(asked_in)
        shared = len(trained_on & asked)
        if shared:
            yield (
                f"{shared} of {len(asked)} problems of benchmark {benchmark} are among the problems"
                " of the data set: its figures tell of memory as well as of skill."
            )


def benchmark_notes(evaluation: Path, benchmark: str) -> Iterator[str]:
    """Sentences on the problems of one finished evaluation, from what lies beside its samples."""
    path = evaluation / ABOUT
    if not path.is_file() or Stage(evaluation, {}).damage() is not None:
        return
    about = json.loads(path.read_text(encoding="utf-8"))
    if about["left_out_too_long"]:
        yield (
            f"{len(about['left_out_too_long'])} problems of benchmark {benchmark} are longer than"
            " the model's context and were left out for every policy."
        )
    if about["doubt"]:
        yield f"Benchmark {benchmark} {about['doubt']}: do not set it beside published figures."


def damage_notes(damaged: Sequence[str]) -> Iterator[str]:
    """A sentence on files that a report does not use, for they changed after they were written."""
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        yield (
            f"Left out as damaged: {'; '.join(damaged[:3])}{more}. The same run makes them again."
        )


def _prompts(folder: Path) -> set[str]:
    """The prompts of a stage's rollouts; none where its files are damaged."""
    found: set[str] = set()
    if Stage(folder, {}).damage() is not None:
        return found
    for part in sorted(folder.glob("part-*.parquet")):
        column = pq.read_table(part, columns=["problem"]).column("problem")
        found.update(text.strip() for text in column.unique().to_pylist())
    return found
