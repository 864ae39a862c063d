"""Problem sets by name: the built-in arithmetic, public data sets, local files."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_gen.problems.arithmetic import SPLITS, arithmetic_problems
from data_gen.problems.gold_answers import LACKING, AnswerFrom, gold_answer
from data_gen.problems.presets import BUILT_IN_COUNT, PRESETS
from data_gen.store.table_files import Row, Table, cell, plain_text, read_file, read_hub
from data_gen.types import DataError, Problem

BUILT_IN = "arithmetic"
_PROMPTS = ("prompt", "problem", "question")


class Columns(BaseModel):
    """Which column holds what; None: found by its usual name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = Field(default=None, description="None: prompt, problem or question")
    answer: str | None = Field(default=None, description="None: answer")
    solution: str | None = Field(default=None, description="None: solution, where there is one")
    id: str | None = Field(default=None, description="None: id, else source and row number")


def named_sources(value: Any) -> Any:
    """Problem sets by name as settings may give them: `math500: {}` has its name as its source,
    and a text stands for a source alone."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: {"source": name, **settings}
        if isinstance(settings, Mapping)
        else {"source": settings}
        if isinstance(settings, str)
        else settings
        for name, settings in value.items()
    }


@dataclass(frozen=True, slots=True)
class LoadedProblems:
    """Problems, and how many rows were dropped for which reason."""

    problems: list[Problem]
    dropped: dict[str, int]


class ProblemSource(BaseModel):
    """Where problems come from. A preset's name stands for its own settings; any may be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1,
        description="arithmetic, a preset, a .jsonl or .parquet file, or a data set of the hub",
    )
    split: str | None = Field(default=None, description="of the built-in task or the data set")
    config: str | None = Field(default=None, description="of a data set of the hub")
    revision: str | None = Field(default=None, description="of a data set of the hub")
    path: str | None = Field(default=None, description="a local file to read instead of the hub")
    columns: Columns = Field(default=Columns(), description="which columns hold what")
    answer_from: AnswerFrom = Field(
        default="column",
        description="the column itself, its last closed box, what follows its last ####, or the"
        " first member of its list",
    )
    strip_dollars: bool = Field(default=False, description="take $ signs out of the answer")
    incomplete: Literal["error", "drop"] = Field(
        default="error", description="what becomes of rows without a prompt or an answer"
    )
    skip: int = Field(default=0, ge=0, description="problems passed over before any is taken")
    limit: int | None = Field(default=None, ge=1, description="problems taken, at most")
    seed: int | None = Field(default=None, ge=0, description="shuffles before any is taken")

    def load(self) -> list[Problem]:
        """The problems. Raises DataError, as `read` does."""
        return self.read().problems

    def read(self) -> LoadedProblems:
        """The problems and the counts of dropped rows, rows that the limit needs not aside.

        Raises DataError for a source, split or column that does not exist, rows that cannot be
        used, ids given twice, or no problems at all.
        """
        settings = self.resolved()
        if settings.source == BUILT_IN and settings.path is None:
            return LoadedProblems(settings._arithmetic(), {})
        return _Reader(settings, self._name(), settings._table()).read()

    def resolved(self) -> "ProblemSource":
        """With a preset's own settings filled in where this one has none."""
        if self.source not in PRESETS:
            return self
        preset = ProblemSource.model_validate(PRESETS[self.source].settings)
        given = self.model_fields_set & ProblemSource.model_fields.keys() - {"source", "columns"}
        own = {name: getattr(self, name) for name in given}
        columns = preset.columns.model_copy(update=self.columns.model_dump(exclude_none=True))
        return preset.model_copy(update={**own, "columns": columns})

    @property
    def file(self) -> str | None:
        """The local file that is read; None where it is none."""
        return self.source if self.path is None and _is_file(self.source) else self.path

    def doubt(self, problems: Sequence[Problem]) -> str | None:
        """What speaks against `problems` being the published set of a preset taken whole."""
        preset = PRESETS.get(self.source)
        altered = self.model_fields_set & ProblemSource.model_fields.keys() - {"source", "path"}
        return None if preset is None or altered else preset.doubt(problems)

    def _name(self) -> str:
        """What ids made of row numbers begin with."""
        return Path(self.source).stem if _is_file(self.source) else self.source

    def _arithmetic(self) -> list[Problem]:
        if self.split is None:
            raise DataError(f"{BUILT_IN}: set split to one of {', '.join(SPLITS)}")
        count = self.skip + (self.limit or BUILT_IN_COUNT)
        return arithmetic_problems(self.split, count, self.seed or 0)[self.skip :]

    def _table(self) -> Table:
        if self.file is not None:
            return read_file(self.file)
        try:
            return read_hub(self.source, self.config, self.split, self.revision)
        except DataError as error:
            raise DataError(
                f"{error} (known by name: {BUILT_IN}, {', '.join(PRESETS)}; path reads a local"
                " .jsonl or .parquet file)"
            ) from error


def load_problems(
    name_or_path: str | Path, split: str | None = None, **settings: Any
) -> list[Problem]:
    """The problems of a source; `settings` are further fields of ProblemSource."""
    return ProblemSource(source=str(name_or_path), split=split, **settings).load()


@dataclass(frozen=True, slots=True)
class _Reader:
    settings: ProblemSource
    name: str
    table: Table

    def read(self) -> LoadedProblems:
        if not len(self.table.rows):
            raise DataError(f"{self.table.name}: holds no rows")
        dropped: Counter[str] = Counter()
        problems: dict[str, Problem] = {}
        limit = self.settings.limit
        last = None if limit is None else self.settings.skip + limit
        for number in self._order():
            found = self._problem(number, self.table.rows[number])
            if isinstance(found, str):
                dropped[found] += 1
                continue
            if found.id in problems:
                raise DataError(
                    f"{self.table.place(number)}: the id {found.id!r} is given twice: ids must be"
                    " unique"
                )
            problems[found.id] = found
            if len(problems) == last:
                break
        if not problems:
            raise DataError(f"{self.table.name}: no row has both a prompt and an answer")
        taken = list(problems.values())[self.settings.skip :]
        if not taken:
            raise DataError(
                f"{self.table.name}: skip passes over all of its {len(problems)} problems"
            )
        return LoadedProblems(taken, dict(dropped))

    def _order(self) -> Iterator[int]:
        numbers = list(range(len(self.table.rows)))
        if self.settings.seed is not None:
            random.Random(self.settings.seed).shuffle(numbers)
        return iter(numbers)

    def _problem(self, number: int, row: Row) -> Problem | str:
        """The problem of a row, or the reason why it is dropped."""
        place = self.table.place(number)
        columns = self.settings.columns
        prompt_column = columns.prompt or next((c for c in _PROMPTS if c in row), "prompt")
        answer_column = columns.answer or "answer"
        prompt = plain_text(cell(row, prompt_column, place), f"{place}, column {prompt_column!r}")
        answer = gold_answer(
            cell(row, answer_column, place),
            self.settings.answer_from,
            self.settings.strip_dollars,
            f"{place}, column {answer_column!r}",
        )
        if prompt and answer:
            return Problem(
                id=self._id(row, number, place),
                prompt=prompt,
                answer=answer,
                solution=self._solution(row, place),
            )
        lacks = f"column {answer_column!r}: {LACKING[self.settings.answer_from]}"
        missing, lacks = ("no answer", lacks) if prompt else ("no prompt", prompt_column)
        if self.settings.incomplete == "error":
            raise DataError(f"{place}: {missing} ({lacks}): mend it, or set incomplete to drop")
        return missing

    def _id(self, row: Row, number: int, place: str) -> str:
        column = self.settings.columns.id
        if column is None and row.get("id") is None:
            return f"{self.name}-{number}"
        column = column or "id"
        given = plain_text(cell(row, column, place), f"{place}, column {column!r}")
        if not given:
            raise DataError(f"{place}: no id in column {column!r}")
        return given

    def _solution(self, row: Row, place: str) -> str:
        column = self.settings.columns.solution
        value = row.get("solution") if column is None else cell(row, column, place)
        if isinstance(value, list):
            value = value[0] if value else None
        return plain_text(value, f"{place}, column {column or 'solution'!r}")


def _is_file(source: str) -> bool:
    return source.endswith((".jsonl", ".parquet"))
