"""Hostile text in settings, labels and names is read back equal, or refused in plain text."""

import json
import re

import pytest
import yaml

from data_gen.exchange.hub import check_destination
from offline_rl.artifacts.checksums import checksummed_text
from offline_rl.config.load import load
from offline_rl.config.several_models import SeveralModels
from offline_rl.config.yaml_io import UsageError
from offline_rl.progress import printable
from tests.helpers.hostile_texts import HALF, PAYLOADS, command, inert, tree


def field(raw, path, value, key):
    place = raw
    for part in path[:-1]:
        place = place[part]
    if key:
        place[value] = place.pop(path[-1])
    else:
        place[path[-1]] = value


SETTINGS = {
    "name": "a",
    "model": "tiny",
    "revision": "b",
    "prompt": "{problem}",
    "licence": "mit",
    "problems": {"source": "p.jsonl", "split": "train", "columns": {"prompt": "c", "answer": "d"}},
    "sampler": {"kind": "vllm", "lora": "l", "quantization": "fp8", "options": {"dtype": "auto"}},
    "verifier": {"kind": "python", "function": "m.f"},
    "sampling": {"stop": ["end"]},
    "methods": {"one": {"kind": "rft"}, "two": {"kind": "dpo"}},
    "evaluation": {
        "benchmarks": {"bench": {"source": "b.jsonl"}},
        "reference": "one",
        "decodings": {"greedy": {"temperature": 0}},
    },
}
FIELDS = [
    *((path, False) for path in ("name", "model", "revision", "prompt", "licence")),
    *(
        (f"problems.{one}", False)
        for one in ("source", "split", "columns.prompt", "columns.answer")
    ),
    *((f"sampler.{one}", False) for one in ("kind", "lora", "quantization", "options.dtype")),
    *(("sampler.options.dtype", True), ("verifier.kind", False), ("verifier.function", False)),
    *(("sampling.stop", False), ("methods.one.kind", False), ("methods.one", True)),
    *(("evaluation.benchmarks.bench", True), ("evaluation.benchmarks.bench.source", False)),
    *(("evaluation.reference", False), ("evaluation.decodings.greedy", True), ("model", True)),
]


@pytest.mark.parametrize(("path", "key"), FIELDS)
def test_settings_are_read_back_equal_or_refused_in_plain_text(path, key, tmp_path, monkeypatch):
    """In the settings' own values, labels and keys; refusals name the place."""
    from offline_rl.config.dump import dump_settings

    monkeypatch.chdir(tmp_path)
    file = tmp_path.parent / f"{tmp_path.name}.yaml"
    refusals = []
    for text in (*PAYLOADS, HALF):
        raw = json.loads(json.dumps(SETTINGS))
        field(raw, path.split("."), text, key)
        file.write_text(yaml.safe_dump(raw))
        try:
            loaded = load(file, [], SeveralModels)
        except UsageError as error:
            refusals.append(printable(str(error)))
            continue
        assert HALF not in str(loaded)
        file.write_text(dump_settings(loaded))
        assert load(file, [], SeveralModels) == loaded
    assert all(map(inert, refusals))
    _, output = command("run", file, "--dry-run")
    assert inert(output)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("text", [*PAYLOADS, HALF])
def test_labels_of_a_series_and_of_evaluations_are_no_paths(text, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    raw = {**SETTINGS, "models": {text: "tiny"}, "sampler": {"kind": "transformers"}}
    del raw["model"]
    (home / "experiment.yaml").write_text(yaml.safe_dump(raw))
    one = {"common": {"model": {}, "versions": {text: text}}, "settings": {"name": text}}
    one["settings"] |= {"model": text, "evaluation": {"benchmarks": {text: {"source": text}}}}
    for known in ({text: one}, {"a": one}, {text: text}, {"a": {**one, "settings": {"name": "a"}}}):
        (home / "evaluation.json").write_text(checksummed_text({"labels": known}))
        for action in ("report", "show"):
            code, output = command(action, home)
            assert code == 1
            assert inert(output)
    (home / "evaluation.json").unlink()
    code, output = command("run", home / "experiment.yaml", "--out", home / "run")
    assert code == 1
    assert inert(output)
    assert tree(tmp_path) == ["home", "home/experiment.yaml"] or (
        tree(tmp_path) == ["home", "home/.lock", "home/experiment.yaml"]
    )


@pytest.mark.parametrize("text", [*PAYLOADS, HALF])
def test_no_hostile_name_is_one_of_the_hub(text, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    if re.fullmatch(r"[\w.-]{1,96}", text):
        return
    for name in (text, f"user/{text}", f"{text}/data"):
        with pytest.raises(ValueError, match="is no name of the hub"):
            check_destination(name)
