"""The data set of a run: made from settings alone, filtered, counted, told on its card."""

import json

import pandas as pd
import pytest
import yaml

from data_gen.filters import Filters, choose
from data_gen.store.rollouts import iterate_rollouts, load_rollouts, save_rollouts
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from data_gen.views import accepted, pairs
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import DatasetSummary
from offline_rl.cli.data_commands import load_data_settings
from offline_rl.config.dump import dump_settings
from offline_rl.config.load import UsageError
from offline_rl.report import data_table
from offline_rl.workflows.experiment import generate

FILTERS = "filters={pass_rate: [0.2, 0.9], duplicates: true, max_accepted_per_problem: 2}"


def settings(rollouts, *arguments):
    return load_data_settings(arguments, model="tiny", rollouts=str(rollouts))


def foreign(tmp_path, problems=30, samples=6):
    """A file of completions whose problems are solved more often the higher their number."""
    path = tmp_path / "foreign.jsonl"
    rows = [
        {
            "id": f"p{n}",
            "problem": f"compute {n} + {n}",
            "answer": str(2 * n),
            "completions": [
                f"so, {j // 2}: \\boxed{{{2 * n if j * problems < n * samples else j}}}"
                for j in range(samples)
            ],
        }
        for n in range(3, problems + 3)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    source = foreign(folder)
    chosen = settings(
        source,
        FILTERS,
        "licence=apache-2.0",
        "audit={verifier: exact, share: 0.5}",
        "selection.pairs.per_problem=3",
    )
    generate(chosen, folder / "run")
    return folder / "run", chosen


def test_the_data_set_is_what_the_filters_leave_of_the_rollouts(made):
    folder, chosen = made
    sampled = load_rollouts(folder / "rollouts")
    left = load_rollouts(folder / "dataset")
    choice = choose(sampled, chosen.filters)
    assert left == list(choice.of(sampled))
    assert 0 < len(left) < len(sampled) == 180
    lines = (folder / "dataset" / "dropped.jsonl").read_text().splitlines()
    dropped = [json.loads(line) for line in lines]
    assert sum(len(one["samples"]) for one in dropped) == len(sampled) - len(left)
    assert {one["filter"] for one in dropped} == set(FILTERS_ON)


FILTERS_ON = ("pass_rate", "duplicates", "max_accepted_per_problem")


def test_every_stage_is_counted(made):
    folder, _ = made
    summary = json.loads((folder / "dataset" / "summary.json").read_text())
    left = load_rollouts(folder / "dataset")
    assert summary["sampled"]["rollouts"] == 180
    assert list(summary["filters"]) == ["sampled", *FILTERS_ON]
    last = summary["filters"]["max_accepted_per_problem"]
    assert last["rollouts"] == summary["dataset"]["rollouts"] == len(left)
    assert last["accepted"] == summary["dataset"]["accepted"] == len(accepted(left, unique=False))
    assert summary["pairs"]["pairs"] == len(pairs(left, per_problem=3))
    audit = summary["audit"]
    assert 60 < audit["judged_twice"] < 120
    assert audit["share_agreed"] == 1
    table = data_table(summary, model="tiny")
    assert set(table.stage) == {"sampled", "filters", "dataset", "pairs", "audit"}
    assert table[table.stage == "sampled"].statistic.is_unique
    assert isinstance(pd.DataFrame(table), pd.DataFrame)


def test_the_card_tells_where_everything_came_from(made):
    from huggingface_hub import DatasetCard

    folder, _ = made
    text = (folder / "dataset" / "README.md").read_text()
    card = DatasetCard(text)
    assert card.data.license == "apache-2.0"
    assert yaml.safe_load(text.split("---\n")[1])["configs"][0]["data_files"]
    plain = text.replace("\\", "")
    for told in (
        "imported.sha256",
        "tokenised_for.model_sha256",
        "tokenised_for.prompt_sha256",
        "verifier.math-verify",
        "tokenised_for.versions.transformers",
        "filters.pass_rate.rollouts",
        "sampled.problems_by_pass_rate.(0.2, 0.3]",
        "sampled.share_truncated",
        "pairs.mean_length_gap_tokens",
        "audit.share_agreed",
    ):
        assert f"| {told} |" in plain, told


def test_the_same_settings_do_nothing_and_other_filters_keep_the_rollouts(made):
    folder, chosen = made
    before = (folder / "rollouts" / "stage.json").stat().st_mtime_ns
    dataset = (folder / "dataset" / "stage.json").read_bytes()
    generate(chosen, folder)
    assert (folder / "dataset" / "stage.json").read_bytes() == dataset
    other = chosen.model_copy(update={"filters": Filters(max_accepted=7)})
    generate(other, folder)
    assert len(accepted(load_rollouts(folder / "dataset"), unique=False)) == 7
    assert (folder / "rollouts" / "stage.json").stat().st_mtime_ns == before
    generate(chosen, folder)
    assert (folder / "dataset" / "stage.json").read_bytes() == dataset


def test_decontamination_names_the_problems_and_the_benchmark(tmp_path):
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps({"id": "h", "problem": "Compute 7 + 7", "answer": "14"}) + "\n")
    chosen = settings(
        foreign(tmp_path),
        f"filters.decontaminate.benchmarks.mine={held_out}",
    )
    generate(chosen, tmp_path / "run")
    (told,) = (tmp_path / "run" / "dataset" / "dropped.jsonl").read_text().splitlines()
    assert json.loads(told) == {
        "problem_id": "p7",
        "filter": "decontaminate",
        "why": "is problem h of mine",
        "samples": [0, 1, 2, 3, 4, 5],
    }
    assert "p7" not in {r.problem.id for r in iterate_rollouts(tmp_path / "run" / "dataset")}
    about = json.loads((tmp_path / "run" / "dataset" / "about.json").read_text())
    assert about["decontaminated_against"]["benchmarks"]["mine"]["count"] == 1


def test_filters_that_leave_nothing_say_which_one_and_why(tmp_path):
    chosen = settings(foreign(tmp_path), "filters.min_tokens=500")
    with pytest.raises(DataError, match=r"filters\.min_tokens leaves no rollout at all.*tokens"):
        generate(chosen, tmp_path / "run")
    with pytest.raises(DataError, match="name the benchmarks to stay clear of"):
        generate(
            settings(foreign(tmp_path), "filters.decontaminate={}"),
            tmp_path / "run",
        )


def test_a_data_set_of_many_parts_keeps_its_order(tmp_path):
    rollouts = [
        Rollout(
            Problem(f"p{n}", f"{n}+0=", str(n)),
            Completion(f"p{n}", 0, 0, f"{n}+0=", (1,), "", (), (), "stop"),
            Verdict.correct(str(n)),
        )
        for n in range(1300)
    ]
    save_rollouts(rollouts, tmp_path / "own.parquet")
    generate(settings(tmp_path / "own.parquet"), tmp_path / "run")
    assert len(list((tmp_path / "run" / "dataset").glob("part-*.parquet"))) == 3
    assert load_rollouts(tmp_path / "run" / "dataset") == rollouts
    counts = PublishedStage(tmp_path / "run" / "dataset").read(DatasetSummary).dataset
    assert counts.problems == counts.rollouts == counts.accepted_distinct == 1300


def test_settings_of_a_data_set_need_no_methods_and_read_back_equal(tmp_path):
    chosen = load_data_settings(
        ["sampling.samples=2", "filters.decontaminate.benchmarks={math500: {}}"],
        model="tiny",
        problems="some/where/My problems.jsonl",
    )
    assert chosen.name == "My-problems"
    path = tmp_path / "again.yaml"
    path.write_text(dump_settings(chosen))
    assert load_data_settings([str(path)]) == chosen
    assert load_data_settings(["demo", "seeds=[5]"]).seeds == (5,)
    odd = path.rename(tmp_path / "a=b.yaml")
    assert load_data_settings([str(odd), "sampling.samples=3"]).sampling.samples == 3
    with pytest.raises(UsageError, match="give --model and --problems"):
        load_data_settings([], model="tiny")
    with pytest.raises(UsageError, match=r"'two\.yaml' is no override"):
        load_data_settings(["demo", "two.yaml"])


def test_no_path_of_this_machine_gets_onto_a_card(made):
    folder, _ = made
    for name in ("README.md", "about.json", "summary.json"):
        for kind in ("rollouts", "dataset"):
            assert str(folder.parent) not in (folder / kind / name).read_text()


def test_another_first_seed_makes_other_pairs_and_other_figures(tmp_path):
    plain = [f"rollouts={foreign(tmp_path)}", "problems=null", "selection.pairs.per_problem=2"]
    found = []
    for seeds in ("[0]", "[5]"):
        generate(load_data_settings(["demo", *plain, f"seeds={seeds}"]), tmp_path / "run")
        manifest = json.loads((tmp_path / "run" / "dataset" / "stage.json").read_text())
        found.append(manifest["inputs"]["pair_seed"])
    assert found == [0, 5]


def test_rollouts_of_a_run_are_taken_from_its_folder_with_how_they_were_made(made, tmp_path):
    folder, _ = made
    generate(settings(folder, "verifier=exact"), tmp_path / "run")
    assert load_rollouts(tmp_path / "run" / "rollouts") == load_rollouts(folder / "rollouts")
    about = json.loads((tmp_path / "run" / "dataset" / "about.json").read_text())
    assert about["verifier"] == "the verdicts they came with"
    before = json.loads((folder / "rollouts" / "about.json").read_text())
    assert about["imported"]["made"] == before


def test_joined_files_of_our_own_lose_nothing_to_equal_sample_numbers(tmp_path):
    def one(sample, finish, text):
        completion = Completion("p", sample, 0, "1+0=", (1,), text, (), (), finish)
        return Rollout(Problem("p", "1+0=", "1"), completion, Verdict.correct("1"))

    joined = [one(0, "stop", ""), one(1, "length", ""), one(0, "length", ""), one(1, "stop", "")]
    save_rollouts(joined, tmp_path / "joined.parquet")
    generate(settings(tmp_path / "joined.parquet", "filters.truncated=true"), tmp_path / "run")
    left = load_rollouts(tmp_path / "run" / "dataset")
    assert [(r.completion.sample, r.completion.truncated) for r in left] == [(0, False), (3, False)]


def test_the_pass_rate_goes_by_the_reward_that_is_asked_for(tmp_path):
    rows = [
        {"id": f"p{n}", "problem": f"q{n}", "answer": "1", "completions": ["a", "b"], "rewards": r}
        for n, r in enumerate(([0.5, 0.2], [0.1, 0.2], [0.6, 0.9]))
    ]
    path = tmp_path / "rewarded.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    chosen = settings(
        path, "rollouts.verify=false", "selection.min_reward=0.4", "filters.pass_rate=[0.3, 0.7]"
    )
    generate(chosen, tmp_path / "run")
    assert {r.problem.id for r in iterate_rollouts(tmp_path / "run" / "dataset")} == {"p0"}
