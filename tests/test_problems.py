"""Problem sets: the right gold from every shape of row, and one clear line for a bad one."""

import json
import os

import pytest
from pydantic import ValidationError

from data_gen import load_problems, verify
from data_gen.problems.arithmetic import SPLITS
from data_gen.problems.presets import PRESETS, text_sha256
from data_gen.problems.sources import ProblemSource
from data_gen.types import DataError, Problem

pytestmark = pytest.mark.xdist_group("verifiers")

# Preset -> its local file, and how many problems that has.
LOCAL = {
    "gsm8k": ("gsm8k", 1319),
    "math500": ("math_oai", 500),
    "minerva": ("minerva_math", 272),
    "olympiadbench": ("olympiadbench", 675),
    "aime24": ("aime24", 30),
    "aime25": ("aime24", 30),
    "amc23": ("amc23", 40),
    "numina_math_cot": ("math_oai", 500),
}


def write(path, rows):
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def rows(tmp_path):
    return lambda *rows: write(tmp_path / "set.jsonl", rows)


@pytest.mark.parametrize("name", [n for n in PRESETS if not n.startswith("arithmetic-")])
def test_presets_read_local_files_and_the_verifier_accepts_their_golds(name, real_data):
    file, count = LOCAL[name]
    problems = load_problems(name, path=str(real_data / "benchmarks" / f"{file}.jsonl"))
    if "OFFLINE_RL_REAL_DATA" in os.environ:
        assert len(problems) == count
    assert len({problem.id for problem in problems}) == len(problems)
    assert all(problem.prompt and problem.answer for problem in problems)
    sample = problems[:: max(1, len(problems) // 40)]
    # Set in another style, so that the golds are compared as mathematics and not as text.
    verdicts = verify([(p.answer, f"\\boxed{{\\displaystyle {p.answer}}}") for p in sample])
    wrong = [p.id for p, v in zip(sample, verdicts, strict=True) if v.label != "correct"]
    assert wrong == []


def test_presets_take_their_golds_from_the_right_place(tmp_path):
    shapes = {
        "gsm8k": {"question": "q", "answer": "2+2=<<2+2=4>>4 #### 5\n#### 1,234"},
        "math500": {"problem": "q", "solution": "s", "answer": "1,234", "unique_id": "a/1.json"},
        "minerva": {"problem": "q", "solution": r"\boxed{7} or rather \boxed{1,234} m"},
        "olympiadbench": {"question": "q", "solution": ["s"], "final_answer": ["$1,234$"], "id": 9},
        "aime24": {"problem": "q", "solution": "s", "answer": "025", "id": 60},
        "aime25": {"problem": "q", "answer": "70", "id": "0"},
        "amc23": {"question": "q", "answer": 27.0, "id": 0},
        "numina_math_cot": {"source": "x", "problem": "q", "solution": r"so \boxed{1,234}"},
    }
    found = {}
    for name, row in shapes.items():
        [problem] = load_problems(name, path=write(tmp_path / f"{name}.jsonl", [row]))
        found[name] = (problem.id, problem.answer)
    assert found == {
        "gsm8k": ("gsm8k-0", "1,234"),
        "math500": ("a/1.json", "1,234"),
        "minerva": ("minerva-0", "1,234"),
        "olympiadbench": ("9", "1,234"),
        "aime24": ("60", "025"),
        "aime25": ("0", "70"),
        "amc23": ("0", "27"),
        "numina_math_cot": ("numina_math_cot-0", "1,234"),
    }


def test_a_setting_changes_a_preset_and_leaves_the_rest(rows):
    path = rows({"problem": "q", "gold": "a", "solution": "s", "unique_id": "u"})
    changed = ProblemSource(source="math500", path=path, columns={"answer": "gold"})
    assert changed.load()[0].answer == "a"
    assert changed.load()[0].id == "u"
    resolved = ProblemSource(source="gsm8k", split="train").resolved()
    assert (resolved.split, resolved.config, resolved.source) == ("train", "main", "openai/gsm8k")


def test_a_preset_knows_its_published_text_whatever_its_order_and_white_space(tmp_path, real_data):
    if "OFFLINE_RL_REAL_DATA" not in os.environ:
        pytest.skip("needs the whole published files: OFFLINE_RL_REAL_DATA names their folder")
    for name in ("gsm8k", "math500", "minerva", "olympiadbench", "aime24", "amc23"):
        file = real_data / "benchmarks" / f"{LOCAL[name][0]}.jsonl"
        source = ProblemSource(source=name, path=str(file))
        assert source.doubt(source.load()) is None
        assert source.doubt(source.load()[::-1]) is None


def test_a_preset_tells_of_another_text_and_another_number():
    problems = [Problem(f"{n}", f"q{n}", f"{n}") for n in range(30)]
    source = ProblemSource(source="aime24")
    assert (
        source.doubt(problems) == "has as many problems as expected, but not the text that is known"
    )
    assert source.doubt(problems[1:]) == "holds 29 problems where 30 are known"
    assert ProblemSource(source="aime24", limit=29).doubt(problems[1:]) is None
    assert ProblemSource(source="own.jsonl").doubt(problems) is None
    reordered = [Problem("x", f"  q{n}\n", f" {n}") for n in reversed(range(30))]
    assert text_sha256(problems) == text_sha256(reordered) != text_sha256(problems[1:])


def test_training_rows_without_a_box_are_dropped_and_counted(rows):
    path = rows(
        {"problem": "a", "solution": r"\boxed{1}"},
        {"problem": "b", "solution": "a proof"},
        {"problem": "c", "solution": r"cut off \boxed{1"},
        {"problem": "", "solution": r"\boxed{1}"},
        {"problem": "d", "solution": r"\boxed{2}"},
    )
    source = ProblemSource(source="numina_math_cot", path=path)
    loaded = source.read()
    assert [p.id for p in loaded.problems] == ["numina_math_cot-0", "numina_math_cot-4"]
    assert loaded.dropped == {"no answer": 2, "no prompt": 1}
    strict = ProblemSource(**source.model_dump(exclude_unset=True), incomplete="error")
    with pytest.raises(DataError, match=r"set\.jsonl:2: no answer \(column 'solution': no closed"):
        strict.load()


@pytest.mark.parametrize("name", ["prompt", "problem", "question"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_local_files_find_their_columns(tmp_path, name, kind):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{name: "1+1?", "answer": "2", "solution": "s"}, {name: "né\u2028\0", "answer": "3"}]
    path = tmp_path / f"own.{kind}"
    if kind == "jsonl":
        write(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    first, second = load_problems(path)
    assert (first.id, first.prompt, first.answer, first.solution) == ("own-0", "1+1?", "2", "s")
    assert (second.id, second.prompt, second.answer, second.solution) == (
        "own-1",
        "né\u2028\0",
        "3",
        "",
    )


@pytest.mark.parametrize(
    ("value", "answer"), [(27.0, "27"), (-1, "-1"), (0.5, "0.5"), (1e300, "1e+300"), (" 2 ", "2")]
)
def test_numbers_are_written_as_by_hand(rows, value, answer):
    assert load_problems(rows({"prompt": "q", "answer": value}))[0].answer == answer


def test_limit_and_seed_choose_reproducibly_and_keep_ids(rows):
    path = rows(*({"prompt": f"q{n}", "answer": n} for n in range(50)))
    every = {problem.id: problem for problem in load_problems(path)}
    shuffled = load_problems(path, seed=1, limit=10)
    assert load_problems(path, limit=10) == list(every.values())[:10]
    assert shuffled == load_problems(path, seed=1, limit=10) == load_problems(path, seed=1)[:10]
    assert shuffled != load_problems(path, seed=2, limit=10)
    assert all(every[problem.id] == problem for problem in shuffled)


def test_skip_begins_where_a_limit_ends(rows):
    path = rows(*({"prompt": f"q{n}", "answer": n} for n in range(50)))
    for source, more in ((path, {}), (path, {"seed": 1}), ("arithmetic", {"split": "train"})):
        first = load_problems(source, limit=20, **more)
        then = load_problems(source, skip=20, limit=30, **more)
        assert [*first, *then] == load_problems(source, limit=50, **more)
    with pytest.raises(DataError, match="skip passes over all of its 50 problems"):
        load_problems(path, skip=50)


@pytest.mark.parametrize("split", SPLITS)
def test_the_built_in_set(split):
    problems = load_problems("arithmetic", split, limit=20)
    assert len({problem.id for problem in problems}) == 20
    assert problems != load_problems("arithmetic", split, limit=20, seed=1)


@pytest.fixture
def data_set(tmp_path):
    """A local data-set folder, which goes the same way through `datasets` as the hub's."""
    folder = tmp_path / "data_set"
    folder.mkdir()
    for split in ("train", "test"):
        write(folder / f"{split}.jsonl", [{"question": f"{split}?", "final": [f"${split}$", "x"]}])
    return str(folder)


def test_data_sets_come_through_load_dataset(data_set):
    settings = {
        "columns": {"answer": "final"},
        "answer_from": "first",
        "strip_dollars": True,
    }
    [problem] = load_problems(data_set, "test", **settings)
    assert (problem.prompt, problem.answer, problem.id) == ("test?", "test", f"{data_set}-0")
    with pytest.raises(DataError, match="set split to one of"):
        load_problems(data_set, **settings)
    with pytest.raises(DataError, match="Unknown split"):
        load_problems(data_set, "validation", **settings)
    with pytest.raises(DataError, match="'nope' not found"):
        load_problems(data_set, "test", config="nope", **settings)


@pytest.mark.parametrize("name", ["gms8k", "gsm8k", "no-such/data-set", "..//x y"])
def test_a_data_set_that_cannot_be_reached_is_one_clear_line(name):
    expected = r"^no problems can be loaded[^\n]*known by name: arithmetic[^\n]*$"
    with pytest.raises(DataError, match=expected):
        load_problems(name)


GOOD = '{"prompt": "q", "answer": "1"}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no rows"),
        ([GOOD, "{"], r"set\.jsonl:2: not JSON"),
        ([GOOD, "", "[1]"], r"set\.jsonl:3: not a JSON object"),
        (["[" * 100_000], r"set\.jsonl:1: not JSON"),
        ([GOOD, '{"answer": "1"}'], r"set\.jsonl:2: no column 'prompt', the row has answer"),
        ([GOOD, '{"prompt": "q"}'], r"set\.jsonl:2: no column 'answer'"),
        (['{"prompt": "q", "answer": null}'], r"set\.jsonl:1: no answer"),
        (['{"prompt": " ", "answer": " "}'], r"set\.jsonl:1: no answer"),
        (['{"prompt": null, "answer": "1"}'], r"set\.jsonl:1: no prompt"),
        (['{"prompt": "q", "answer": NaN}'], "nan is no number"),
        (['{"prompt": "q", "answer": true}'], "bool is neither text nor a number"),
        (['{"prompt": "q", "answer": ["1"]}'], "list is neither text nor a number"),
        (['{"prompt": ["q"], "answer": "1"}'], "list is neither text nor a number"),
        (['{"prompt": "\\ud800", "answer": "1"}'], "half of a surrogate pair"),
        (
            ['{"id": 1, "prompt": "q", "answer": "1"}', '{"id": "1", "prompt": "r", "answer": 2}'],
            r"set\.jsonl:2: the id '1' is given twice",
        ),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(rows, lines, message):
    with pytest.raises(DataError, match=message):
        load_problems(rows(*lines))


def test_bad_files_are_named(tmp_path):
    (tmp_path / "bytes.jsonl").write_bytes(b'{"prompt": "\xff"}\n')
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"bytes\.jsonl:1: not JSON"):
        load_problems(tmp_path / "bytes.jsonl")
    with pytest.raises(DataError, match=r"torn\.parquet: not a whole Parquet file"):
        load_problems(tmp_path / "torn.parquet")
    with pytest.raises(DataError, match=r"absent\.jsonl: no such file"):
        load_problems(tmp_path / "absent.jsonl")
    (tmp_path / "table.csv").write_text("prompt,answer")
    with pytest.raises(DataError, match=r"only \.jsonl and \.parquet"):
        load_problems("mine", path=str(tmp_path / "table.csv"))


def test_all_rows_dropped_is_an_error(rows):
    with pytest.raises(DataError, match="no row has both"):
        load_problems(rows({"prompt": "q", "answer": ""}), incomplete="drop")


def test_misspelt_settings_are_refused():
    with pytest.raises(ValidationError, match="answr_from"):
        ProblemSource(source="gsm8k", answr_from="column")
    with pytest.raises(ValidationError, match="anser"):
        ProblemSource(source="gsm8k", columns={"anser": "x"})


def test_sources_can_be_compared_and_used_as_keys():
    assert len({ProblemSource(source="gsm8k"), ProblemSource(source="gsm8k")}) == 1
