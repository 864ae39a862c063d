"""Exported data sets: what TRL's trainers make of them is what was sampled."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from transformers import AutoTokenizer

from data_gen import collect, verify
from data_gen.exchange.export_trl import FORMATS, export_rollouts
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import ProblemSource
from data_gen.samplers import ModelSampler
from data_gen.selection import Selection
from data_gen.types import DataError, Sampling, Verdict
from data_gen.views import accepted, pairs
from offline_rl.tiny_base import TINY_BASE

FIELDS = {
    "prompt-completion": {"prompt", "completion"},
    "preference": {"prompt", "chosen", "rejected"},
    "unpaired-preference": {"prompt", "completion", "label"},
}
CHAT = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}reply: "


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture(scope="module")
def rollouts(transformers_engine, tokenizer):
    """Of the tiny base: right, wrong and, as some are long, truncated."""
    transformers_engine.load(ModelRef(str(TINY_BASE)))
    sampler = ModelSampler(transformers_engine, tokenizer, "raw")
    problems = ProblemSource(source="arithmetic", split="train", limit=16).read().problems
    return collect(problems, sampler, verify, Sampling(samples=8, max_tokens=40))


def rows_of(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", FORMATS)
def test_both_kinds_of_file_hold_the_selection_in_the_columns_of_the_format(
    tmp_path, rollouts, kind
):
    selection = Selection.model_validate({"unique": False, "pairs": {"per_problem": 3}})
    for suffix in ("jsonl", "parquet"):
        done = export_rollouts(
            rollouts, tmp_path / f"x.{suffix}", kind, selection=selection, seed=5
        )
        assert done.retokenised is None
    rows = rows_of(tmp_path / "x.jsonl")
    assert rows == rows_of(tmp_path / "x.parquet")
    assert len(rows) == done.rows
    assert {frozenset(row) for row in rows} == {frozenset(FIELDS[kind])}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.jsonl", "x.parquet"]
    kept = accepted(rollouts, unique=False)
    if kind == "prompt-completion":
        expected = [(r.completion.prompt, r.completion.text) for r in kept]
        assert [(row["prompt"], row["completion"]) for row in rows] == expected
    elif kind == "preference":
        assert [(row["chosen"], row["rejected"]) for row in rows] == [
            (a.completion.text, b.completion.text)
            for a, b in pairs(rollouts, per_problem=3, unique=False, seed=5)
        ]
        assert done.problems == len({row["prompt"] for row in rows}) < done.rows
    else:
        wrong = [r.completion.text for r in rollouts if r.verdict.label == "wrong"]
        assert [r["completion"] for r in rows if r["label"]] == [r.completion.text for r in kept]
        assert [r["completion"] for r in rows if not r["label"]] == wrong
        once = export_rollouts(rollouts, tmp_path / "x.jsonl", kind)
        texts = {(r.problem.id, r.completion.text, r.verdict.label) for r in rollouts}
        truncated = {r.completion.text for r in rollouts if r.completion.truncated}
        assert once.rows == len([t for t in texts if t[2] == "wrong" or t[1] not in truncated])
        assert once.rows < done.rows


def trained_on(trainer):
    """(prompt ids, trained ids) of each row that a prepared trainer has, in any order."""
    found = []
    for row in trainer.train_dataset:
        if "labels" in row:
            start = sum(label == -100 for label in row["labels"])
            assert row["labels"][start:] == row["input_ids"][start:]
            found.append((row["input_ids"][:start], row["input_ids"][start:]))
        else:
            found += [(row["prompt_ids"], row["chosen_ids"])]
            found += [(row["prompt_ids"], row["rejected_ids"])]
    return found


def prepared(kind, model, path, folder):
    """TRL's trainer of a file, with its data set tokenised."""
    import trl

    data = load_dataset(
        path.suffix[1:].replace("jsonl", "json"),
        data_files=str(path),
        split="train",
        cache_dir=str(folder / "cache"),
    )
    trainer, config = {
        "prompt-completion": (trl.SFTTrainer, trl.SFTConfig),
        "preference": (trl.DPOTrainer, trl.DPOConfig),
    }[kind]
    settings = config(output_dir=str(folder / "out"), use_cpu=True, report_to="none")
    return trainer(model=str(model), args=settings, train_dataset=data)


def sampled(rollouts):
    return [(list(r.completion.prompt_tokens), list(r.completion.tokens)) for r in rollouts]


@pytest.mark.parametrize("kind", ["prompt-completion", "preference"])
def test_trl_trains_on_the_sampled_token_ids(tmp_path, rollouts, tokenizer, kind):
    path = tmp_path / "data.parquet"
    whole = [rollout for rollout in rollouts if not rollout.completion.truncated]
    done = export_rollouts(whole, path, kind, tokenizer=tokenizer)
    assert done.retokenised == 0
    selected = accepted(whole) if kind == "prompt-completion" else sum(pairs(whole), ())
    assert trained_on(prepared(kind, TINY_BASE, path, tmp_path)) == sampled(selected)


def test_rows_that_trl_reads_otherwise_are_counted(tmp_path, rollouts, tokenizer):
    """Cut into other tokens than the tokenizer would cut, or truncated: TRL ends these as well."""
    some = accepted(rollouts)[:6]
    truncated = [r for r in rollouts if r.completion.truncated and r.verdict.label == "wrong"]
    letters = [
        token
        for letter in some[0].completion.text
        for token in tokenizer.encode(letter, add_special_tokens=False)
    ]
    spelt = replace(some[0].completion, tokens=[*letters, tokenizer.eos_token_id], logps=())
    mixed = [replace(some[0], completion=spelt), *some[1:], *truncated[:1]]
    path = tmp_path / "data.jsonl"
    done = export_rollouts(mixed, path, "prompt-completion", tokenizer=tokenizer)
    assert (done.rows, done.retokenised) == (6, 1)
    read = trained_on(prepared("prompt-completion", TINY_BASE, path, tmp_path))
    assert [a == b for a, b in zip(read, sampled(mixed), strict=False)] == [False] + [True] * 5
    winner = next(r for r in some if r.problem.id != truncated[0].problem.id)
    loser = replace(truncated[0], problem=winner.problem)
    done = export_rollouts([winner, loser], path, "preference", tokenizer=tokenizer)
    assert done.retokenised == 1


def test_the_first_token_of_a_chat_is_not_doubled(tmp_path, random_model):
    """TRL's trainers let the tokenizer put its first token before a prompt, template or not."""
    from tokenizers import processors

    tokenizer = AutoTokenizer.from_pretrained(random_model)
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    tokenizer.chat_template = CHAT
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    from transformers import AutoModelForCausalLM

    from data_gen.exchange.import_rollouts import import_rollouts

    model = AutoModelForCausalLM.from_pretrained(random_model)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text(json.dumps({"problem": "1+1?", "completion": "2", "reward": 1}))
    for style in ("chat", "raw"):
        brought = import_rollouts(foreign, tokenizer=tokenizer, style=style, verify=None)
        assert list(brought[0].completion.prompt_tokens).count(tokenizer.bos_token_id) == 1
        path = tmp_path / f"{style}.jsonl"
        done = export_rollouts(brought, path, "prompt-completion", tokenizer=tokenizer)
        assert done.retokenised == 0
        read = trained_on(prepared("prompt-completion", tmp_path / "model", path, tmp_path))
        assert read == sampled(brought)


# TRL's commands, without accelerate's launcher: their imports, most of their time, are shared.
TRL = """
import os, runpy, sys
from trl import DPOTrainer, KTOTrainer, SFTTrainer

children = {}
for name in ("sft", "dpo", "kto"):
    child = os.fork()
    if child == 0:
        os.chdir(name)
        sys.argv = [name, "--dataset_name", "data", "--output_dir", "out", *sys.argv[1:]]
        runpy.run_module(f"trl.scripts.{name}", run_name="__main__")
        os._exit(0)
    children[child] = name
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
KINDS = {
    "sft": ("prompt-completion", "jsonl"),
    "dpo": ("preference", "parquet"),
    "kto": ("unpaired-preference", "jsonl"),
}


@pytest.fixture(scope="module")
def trained_by_trl(tmp_path_factory, rollouts):
    folder = tmp_path_factory.mktemp("trl")
    for name, (kind, suffix) in KINDS.items():
        (folder / name / "data").mkdir(parents=True)
        export_rollouts(rollouts, folder / name / "data" / f"train.{suffix}", kind)
    run = subprocess.run(
        [
            *(sys.executable, "-c", TRL, "--model_name_or_path", str(TINY_BASE)),
            *("--max_steps", "2", "--use_cpu"),
            *("--per_device_train_batch_size", "2", "--report_to", "none"),
        ],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_trls_own_scripts_train_on_an_exported_file(trained_by_trl, name):
    out = trained_by_trl / name / "out"
    assert (out / "model.safetensors").is_file()
    state = json.loads((out / "checkpoint-2" / "trainer_state.json").read_text())
    assert state["global_step"] == 2


def test_nothing_to_export_is_told_and_leaves_the_old_file(tmp_path, rollouts):
    path = tmp_path / "x.jsonl"
    path.write_text("old\n")
    wrong = [replace(r, verdict=Verdict.wrong("different")) for r in rollouts]
    with pytest.raises(DataError, match="no problem has an accepted rollout"):
        export_rollouts(wrong, path, "prompt-completion")
    with pytest.raises(DataError, match="no problem has an accepted rollout"):
        export_rollouts(wrong, path, "unpaired-preference")
    with pytest.raises(DataError, match="no problem has both an accepted and a wrong rollout"):
        export_rollouts(accepted(rollouts), path, "preference")
    with pytest.raises(DataError, match=r"exported as \.jsonl or \.parquet"):
        export_rollouts(rollouts, tmp_path / "x.csv", "preference")
    broken = replace(accepted(rollouts)[0].completion, text="\ud800")
    with pytest.raises(DataError, match=r"x\.jsonl: a rollout holds half of a surrogate pair"):
        export_rollouts([replace(accepted(rollouts)[0], completion=broken)], path, FORMATS[0])
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.jsonl"]
