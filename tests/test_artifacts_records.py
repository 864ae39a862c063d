"""JSON files of a run that are refused where they are not as this version writes them."""

import json

import pytest

from data_gen.cards.origin import ImportedFrom, ModelAndPrompt
from data_gen.cards.rollout_counts import RolloutCounter
from data_gen.filters.settings import Filters
from data_gen.selection import Selection
from data_gen.types import Sampling
from offline_rl.artifacts.checksums import DamagedArtifact, checksummed_text
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import (
    DatasetAbout,
    DatasetSummary,
    Environment,
    RolloutsAbout,
    RolloutsSummary,
)
from offline_rl.artifacts.stage import Stage
from tests.helpers.summaries import dataset_summary

HASH = "a" * 64
POLICY = ModelAndPrompt(
    model="tiny",
    revision=None,
    model_sha256=HASH,
    tokenizer_sha256=HASH,
    prompt="raw",
    prompt_as_sent="{problem}",
    prompt_sha256=HASH,
    versions={"torch": "2"},
)
ABOUT = RolloutsAbout(
    problems={"source": "arithmetic", "count": 2, "sha256": HASH},
    tokenised_for=POLICY,
    sampling=Sampling(),
    engine={"engine": "transformers", "dtype": "float32"},
    verifier={"kind": "exact"},
)
IMPORTED = RolloutsAbout(
    imported=ImportedFrom(without_end_token=1, name="a.jsonl", sha256=HASH, made={"any": [1.5]}),
    tokenised_for=POLICY,
    verifier="the rewards of the file",
)
CHOSEN = DatasetAbout(
    **dict(ABOUT),
    filters=Filters(truncated=True, pass_rate=(0.1, 1)),
    decontaminated_against=None,
    selection=Selection(),
    audit=None,
)
SAMPLED = RolloutsSummary(**dict(RolloutCounter().sampled(dropped={"no answer": 3})))
ENVIRONMENT = Environment(
    python="3.11",
    system="Linux",
    processor="x86_64",
    cores=2,
    memory_gib=8.0,
    gpus=[],
    packages={"torch": "2"},
    engines=[{"engine": "vllm"}],
)


@pytest.mark.parametrize("record", [SAMPLED, dataset_summary(), ABOUT, IMPORTED, CHOSEN])
def test_a_record_is_read_back_equal_and_written_the_same(record, tmp_path):
    stage = Stage(tmp_path / "stage", {})
    with stage.work() as folder:
        record.write(folder)
    read = PublishedStage(stage.folder).read(type(record))
    assert read == record
    read.write(tmp_path)
    assert (tmp_path / record.FILE).read_bytes() == (stage.folder / record.FILE).read_bytes()


def test_the_policy_is_nested_only_where_it_did_not_sample():
    flat = ABOUT.model_dump(mode="json")
    assert list(flat)[:3] == ["problems", "model", "revision"]
    assert list(flat)[-3:] == ["sampling", "engine", "verifier"]
    assert "remote_code" not in flat
    nested = IMPORTED.model_dump(mode="json")
    assert list(nested) == ["imported", "tokenised_for", "verifier"]
    assert CHOSEN.model_dump(mode="json")["filters"] == {"truncated": True, "pass_rate": [0.1, 1]}


def without(*path):
    def change(value):
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def with_value(new, *path):
    def change(value):
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return change


@pytest.mark.parametrize(
    ("record", "change", "fault"),
    [
        (SAMPLED, without("truncated"), "truncated: Field required"),
        (SAMPLED, with_value("1", "correct"), "correct: Input should be a valid integer"),
        (SAMPLED, with_value(1.5, "rows_dropped_x"), "rows_dropped.rows_dropped_x: Input should"),
        (SAMPLED, with_value(1, "accepted"), "accepted: Extra inputs"),
        (dataset_summary(), without("audit"), "audit: Field required"),
        (dataset_summary(), with_value(-1, "pairs", "pairs"), "pairs.pairs: Input should be"),
        (dataset_summary(), with_value(1, "dataset", "x"), "dataset.x: Extra inputs"),
        (ABOUT, without("model_sha256"), "tokenised_for.model_sha256: Field required"),
        (ABOUT, with_value(2, "engine", "dtype"), "engine.dtype: Input should be a valid string"),
        (ABOUT, with_value(1, "x"), "x: Extra inputs"),
        (ABOUT, with_value(0, "sampling", "samples"), "sampling.samples: Input should be greater"),
        (IMPORTED, without("imported", "sha256"), "imported.sha256: Field required"),
        (IMPORTED, with_value("b", "tokenised_for", "prompt_sha256"), "prompt_sha256: String"),
        (CHOSEN, without("selection"), "selection: Field required"),
        (CHOSEN, with_value(1, "filters", "x"), "filters.x: Extra inputs"),
        (CHOSEN, with_value({"share": 1}, "audit"), "audit.verifier: Field required"),
    ],
)
def test_a_file_of_other_fields_is_refused_by_path_and_field(record, change, fault, tmp_path):
    value = record.model_dump(mode="json")
    change(value)
    path = tmp_path / record.FILE
    with pytest.raises(DamagedArtifact) as refused:
        type(record).parse(json.dumps(value).encode(), path)
    assert str(refused.value).startswith(f"{path}: ")
    assert fault in str(refused.value)
    # As it was written it is read.
    assert type(record).parse(record.model_dump_json().encode(), path) == type(record)(
        **dict(record)
    )


def test_an_environment_carries_its_own_checksum(tmp_path):
    ENVIRONMENT.write(tmp_path)
    path = tmp_path / "environment.json"
    assert Environment.read(tmp_path) == ENVIRONMENT
    path.write_text(path.read_text().replace("vllm", "server"))
    with pytest.raises(DamagedArtifact, match="does not hold what was written"):
        Environment.read(tmp_path)
    value = ENVIRONMENT.model_dump(mode="json")
    for change, fault in (
        (without("packages"), "packages: Field required"),
        (with_value("2", "cores"), "cores: Input should be a valid integer"),
        (with_value(1, "x"), "x: Extra inputs"),
    ):
        changed = json.loads(json.dumps(value))
        change(changed)
        path.write_text(checksummed_text(changed))
        with pytest.raises(DamagedArtifact, match=rf"environment\.json: {fault}"):
            Environment.read(tmp_path)


def test_a_summary_of_a_data_set_is_not_one_of_rollouts(tmp_path):
    content = dataset_summary().model_dump_json().encode()
    assert DatasetSummary.parse(content, tmp_path) == dataset_summary()
    with pytest.raises(DamagedArtifact, match="problems: Field required"):
        RolloutsSummary.parse(content, tmp_path)
