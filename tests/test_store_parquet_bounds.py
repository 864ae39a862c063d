"""A small Parquet file that stands for a lot is refused in bounded memory; honest ones are read."""

import gc
import json
import subprocess
import sys
from array import array

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_gen.exchange.import_rows import foreign_rows
from data_gen.store.rollouts import load_rollouts, save_rollouts
from data_gen.store.schema import COLUMNS
from data_gen.store.table_files import parquet_rows, read_file
from data_gen.store.untrusted_parquet import decoded
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from tests.helpers.parquet_bombs import list_of_nothing, rows_of_nothing

READERS = {
    "file": "from data_gen.store.table_files import read_file as read",
    "foreign": (
        "from data_gen.exchange.import_rows import foreign_rows\n"
        "def read(path):\n"
        "    for _ in foreign_rows(path): pass"
    ),
    "load": (
        "from data_gen.store.rollouts import load_rollouts\n"
        "read = lambda path: load_rollouts(path, untrusted=True)"
    ),
    "import": (
        "from data_gen.exchange.import_rollouts import import_rollouts\n"
        # Nothing gets as far as a tokenizer, which takes seconds to load.
        "how = {'tokenizer': None, 'style': 'raw', 'verify': None}\n"
        "read = lambda path: import_rollouts(path.parent, **how)"
    ),
    "show": (
        "from offline_rl.cli.data_commands import show\n"
        "read = lambda path: show(path.parent, None, None, None, False)"
    ),
    "export": (
        "from offline_rl.cli.data_commands import export\n"
        "def read(path):\n"
        "    export(path.parent, 'prompt-completion', path.parent / 'out.jsonl', None, None, 0)"
    ),
}
# Loads a reader when it is first asked for, and reads in a fork. What the fork and the process that
# decodes for it print, in one line: the error, the most memory of each in MB.
MEASURE = """
import json, os, resource, sys
from pathlib import Path
from data_gen.types import DataError
readers = {}
for line in sys.stdin:
    code, path = json.loads(line)
    if code not in readers:
        exec(code, readers.setdefault(code, {}))
    if os.fork():
        if os.wait()[1]:
            sys.exit("the reader broke")
        continue
    told = None
    sys.stdout = sys.stderr
    try:
        readers[code]["read"](Path(path))
    except DataError as error:
        told = str(error)
    peaks = [resource.getrusage(who).ru_maxrss >> 10
             for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([told, *peaks]), file=sys.__stdout__, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def measured():
    """Of a path and a reader: the error's message, None without one, and both peaks in MB."""
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def measure(path, reader):
            process.stdin.write(json.dumps([READERS[reader], str(path)]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, "the reader broke"
            return json.loads(answer)

        yield measure


def one_long_text(rows):
    """Rollouts, each with the same solution of a megabyte."""
    columns = {"string": "q", "int32": 1, "int64": 1, "float64": 1.0}
    table = {
        name: pa.array([[1]] * rows, pa.list_(pa.type_for_alias(kind.removeprefix("list:"))))
        if kind.startswith("list:")
        else pa.array([columns[kind]] * rows, pa.type_for_alias(kind))
        for name, kind in COLUMNS.items()
    }
    where = pa.array([0] * rows, pa.int32())
    table["solution"] = pa.DictionaryArray.from_arrays(where, pa.array(["x" * (1 << 20)]))
    table["finish_reason"] = pa.array(["stop"] * rows)
    table["verdict"] = pa.array(["correct"] * rows)
    return pa.table(table)


def in_a_file(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue().to_pybytes()


BOMBS = {
    "a page of many rows": (rows_of_nothing(2**28), "file", "unpacks to more than 2 GB"),
    "a page of one row of as many elements as a number can tell": (
        list_of_nothing(2**31 - 1),
        "foreign",
        "of memory to decode",
    ),
    "a page of one row of many elements": (list_of_nothing(2**28), "file", "of memory to decode"),
    "a row that becomes large in Python": (
        list_of_nothing(2**25),
        "foreign",
        "a row unpacks to more than 1 GB",
    ),
    "one long text in each rollout": (
        in_a_file(one_long_text(5000)),
        "load",
        "of memory to decode",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_stands_for_a_lot_is_refused_in_bounded_memory(name, measured, tmp_path):
    content, reader, expected = BOMBS[name]
    path = tmp_path / "bomb.parquet"
    path.write_bytes(content)
    told, reading, decoding = measured(path, reader)
    assert max(reading, decoding) < 2600
    assert told is not None
    assert told.startswith(f"{path}: ")
    assert expected in told
    assert "\n" not in told


@pytest.mark.parametrize("reader", ["import", "show", "export"])
def test_a_foreign_file_with_our_columns_is_under_the_limit_too(reader, measured, tmp_path):
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(in_a_file(one_long_text(5000)))
    told, reading, decoding = measured(path, reader)
    assert told is not None
    assert "of memory to decode" in told
    assert max(reading, decoding) < 2600


def test_columns_come_in_any_order(tmp_path):
    rollout = Rollout(
        Problem("p", "q", "1", "s"),
        Completion("p", 0, 5, "q", (1, 2), "t", (3,), array("f", [-1.0]), "stop"),
        Verdict.correct("1"),
    )
    save_rollouts([rollout], tmp_path / "ours.parquet")
    table = pq.read_table(tmp_path / "ours.parquet")
    turned = table.select(table.column_names[::-1]).replace_schema_metadata()
    pq.write_table(turned, tmp_path / "theirs.parquet")
    assert load_rollouts(tmp_path / "theirs.parquet") == [rollout]


def test_a_file_that_is_held_whole_is_no_larger_than_was_allowed(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": range(10_000)}), path)
    assert len(list(parquet_rows(path, most=1 << 28))) == 10_000
    with pytest.raises(DataError, match="is too much to be held at once"):
        list(parquet_rows(path, most=1 << 20))


def test_what_a_bomb_is_made_by_is_read_where_it_is_small(tmp_path):
    path = tmp_path / "small.parquet"
    path.write_bytes(rows_of_nothing(3))
    assert read_file(path).rows == [{"reward": None}] * 3
    path.write_bytes(list_of_nothing(5))
    assert [row for _, row in foreign_rows(path)] == [{"rewards": [None] * 5}]
    path.write_bytes(in_a_file(one_long_text(2)))
    assert [len(one.problem.solution) for one in load_rollouts(path)] == [1 << 20] * 2


def test_rows_that_repeat_one_another_and_long_ones_are_read_whole(tmp_path):
    path = tmp_path / "alike.parquet"
    prompt = "Think step by step. " * 200
    rows = 30_000
    alike = {"problem": [prompt] * rows, "answer": ["1"] * rows, "rewards": [[1.0]] * rows}
    pq.write_table(pa.table(alike), path, compression="zstd")
    assert path.stat().st_size < rows
    found = list(foreign_rows(path))
    assert len(found) == rows
    expected = {"problem": prompt, "answer": "1", "rewards": [1.0]}
    assert found[0] == (f"{path} row 1", expected)
    assert found[-1] == (f"{path} row {rows}", expected)

    tokens = pa.array(np.repeat(np.arange(10), 1_000_000))
    lists = pa.ListArray.from_arrays(np.arange(11) * 1_000_000, tokens)
    pq.write_table(pa.table({"tokens": lists}), path, compression="zstd")
    assert sum(batch.num_rows > 0 for batch in decoded(path, 512)) > 1
    assert [row["tokens"][-1] for row in parquet_rows(path)] == list(range(10))


@pytest.mark.parametrize("rows", [0, 2])
def test_every_kind_of_column_comes_as_pyarrow_reads_it(rows, tmp_path):
    texts = pa.array(["a", None])
    columns = [
        texts.dictionary_encode(),
        texts.cast(pa.string_view()),
        pa.array([["a", "b"], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        pa.array([{"role": "user", "content": ["a"]}, None]),
        pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
        pa.array([[None], []], pa.list_(pa.null())),
        pa.nulls(2),
    ]
    table = pa.table(columns, [str(column.type) for column in columns])
    path = tmp_path / "kinds.parquet"
    pq.write_table(table.slice(0, rows), path)
    found = list(parquet_rows(path))
    assert len(found) == rows
    assert found == pq.read_table(path).to_pylist()


def test_a_file_without_rows_tells_which_columns_it_lacks(tmp_path):
    path = tmp_path / "none.parquet"
    pq.write_table(pa.table({"problem": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match=r"none\.parquet: no column problem_id, sample"):
        load_rollouts(path)


def test_the_process_that_decodes_ends_with_the_reading(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 20_000}), path)
    before = set(psutil.Process().children())
    rows = parquet_rows(path)
    next(rows)
    [process] = set(psutil.Process().children()) - before
    del rows
    gc.collect()
    assert not process.is_running()

    rows = parquet_rows(path)
    next(rows)
    [process] = set(psutil.Process().children()) - before
    process.kill()
    with pytest.raises(DataError, match=r"rows\.parquet: .* ended with exit code -9"):
        list(rows)
