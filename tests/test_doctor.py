"""Every check of the doctor passes on what is right, and fails on what was broken on purpose."""

import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from data_gen.types import DataError
from offline_rl.batch import collate
from offline_rl.cli.app import app
from offline_rl.doctor import distributed_checks, gradient_checks, sampling_checks
from offline_rl.doctor.diagnose import print_findings, run_check
from offline_rl.doctor.known_bad_versions import known_bad
from offline_rl.doctor.subject import CheckResult
from offline_rl.training import packing
from offline_rl.training.train import train
from offline_rl.training.trainer import OfflineTrainer, TrainingError

KINDS = ("rft", "dft", "iw_sft", "dpo")


class EarlyMean(OfflineTrainer):
    """Averages within every micro-batch, as other trainers did."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        rows = len(inputs.mask) / inputs.rows_per_example
        own = rows if self._method.per == "example" else inputs.mask.sum()
        return super().compute_loss(model, inputs, num_items_in_batch=own)


class Louder(OfflineTrainer):
    """Takes a larger loss than the method's in low precision, or everywhere."""

    everywhere = False

    def compute_loss(self, *args, **kwargs):
        louder = self.everywhere or self.args.bf16
        return super().compute_loss(*args, **kwargs) * (1.2 if louder else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_accumulation_is_checked(kind, patient):
    method = patient.experiment.methods[kind]
    assert gradient_checks.accumulation(patient, method).result == "pass"
    broken = replace(patient, trainer=EarlyMean)
    found = gradient_checks.accumulation(broken, method)
    assert found.result == "fail"
    assert found.check == f"1 x 8 = 8 x 1, {kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_is_checked(kind, patient):
    method = patient.experiment.methods[kind]
    assert gradient_checks.precision(patient, method).result == "pass"
    assert gradient_checks.precision(replace(patient, trainer=Louder), method).result == "fail"


def test_dfts_gradient_is_checked(patient):
    class Always(Louder):
        everywhere = True

    assert gradient_checks.dft_raises_p(patient).result == "pass"
    assert gradient_checks.dft_raises_p(replace(patient, trainer=Always)).result == "fail"


def test_padding_is_checked(patient, monkeypatch):
    def leaking(examples, device):
        batch = collate(examples, device)
        if len(examples) > 1:
            batch.tokens[:, 0] = 1
        return batch

    assert gradient_checks.padding(patient).result == "pass"
    monkeypatch.setattr(gradient_checks, "collate", leaking)
    assert gradient_checks.padding(patient).result == "fail"


def test_layouts_of_batches_are_checked(patient, monkeypatch):
    found = gradient_checks.layouts(patient)
    assert [(one.check, one.result) for one in found] == [
        ("padded = bucketed = packed, rft", "pass"),
        ("padded = bucketed = packed, dpo", "pass"),
    ]
    broken = gradient_checks.layouts(replace(patient, trainer=EarlyMean))
    assert [one.result for one in broken] == ["fail", "fail"]
    monkeypatch.setattr(packing, "leak", lambda _: "")
    apart = packing._inputs

    def as_one_text(tokens, attention, layout):
        packed, positions = apart(tokens, attention, layout)
        return packed, torch.arange(positions.shape[1]).expand_as(positions)

    monkeypatch.setattr(packing, "_inputs", as_one_text)
    assert [one.result for one in gradient_checks.layouts(patient)] == ["fail", "fail"]


def test_a_model_that_cannot_be_packed_skips_that_check(patient, monkeypatch):
    monkeypatch.setattr(packing, "leak", lambda _: "texts leak")
    [found] = run_check("layouts", gradient_checks.layouts, patient)
    assert (found.result, found.figure) == (
        "skipped",
        "training.packing: texts leak: set it to auto or false",
    )


@pytest.mark.parametrize(("louder", "result"), [(1, "pass"), (2, "fail")])
def test_processes_that_take_another_step_than_one_are_found(patient, monkeypatch, louder, result):
    def in_this_one(launch, *given, training, **told):
        assert launch.processes == 2
        train(*given, training=training.model_copy(update={"lr": louder * training.lr}), **told)

    monkeypatch.setattr(distributed_checks, "launch_training", in_this_one)
    found = distributed_checks.first_step(patient, distributed_checks.IW_SFT)
    assert [one.result for one in found] == ["pass", result], found


def test_a_packed_dpo_that_starts_at_6_ln_2_fails():
    assert distributed_checks.starts_at("DPO", math.log(2), math.log(2)).result == "pass"
    assert distributed_checks.starts_at("DPO", 6 * math.log(2), math.log(2)).result == "fail"
    assert distributed_checks.starts_at("DPO", math.nan, math.log(2)).result == "fail"


def test_processes_that_change_weights_otherwise_fail():
    base, one = {"w": torch.ones(4)}, {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    half = {"w": (base["w"] + one["w"]) / 2}
    assert distributed_checks.same_change("", base, one, one).result == "pass"
    assert distributed_checks.same_change("", base, one, half).result == "fail"
    assert distributed_checks.same_change("", base, base, base).result == "fail"


def test_the_samplers_log_probabilities_are_checked(patient):
    assert sampling_checks.log_probabilities(patient).result == "pass"
    others = [replace(one, logps=[-1.0] * len(one.tokens)) for one in patient.completions]
    assert sampling_checks.log_probabilities(replace(patient, completions=others)).result == "fail"
    unknown = [replace(one, logps=()) for one in patient.completions]
    found = sampling_checks.log_probabilities(replace(patient, completions=unknown))
    assert (found.result, found.figure) == ("skipped", "the sampler gives no log-probabilities")


def test_the_round_trip_is_checked(patient):
    class Lossy:
        eos_token_id = patient.tokenizer.eos_token_id
        encode = staticmethod(patient.tokenizer.encode)

        def decode(self, tokens, *, skip_special_tokens):
            whole = patient.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
            return whole.replace("1", "").replace("2", "").replace("+", "")

    assert sampling_checks.round_trip(patient).result == "pass"
    assert sampling_checks.round_trip(replace(patient, tokenizer=Lossy())).result == "fail"


def test_truncated_completions_are_checked(patient):
    ended, cut = (
        replace(patient, completions=[replace(o, finish_reason=how) for o in patient.completions])
        for how in ("stop", "length")
    )
    assert sampling_checks.truncated(ended).result == "pass"
    found = sampling_checks.truncated(cut)
    assert (found.result, found.figure) == ("fail", "100.0% of 32 at 64 tokens")


@pytest.mark.parametrize(
    ("package", "good", "bad"),
    [
        ("deepspeed", ("0.15.1", "0.19.0"), ("0.15.2", "0.16.4", "0.18.9")),
        ("transformers", ("4.45.2", "4.48.0", "5.17.0"), ("4.46.0", "4.46.3", "4.47.1")),
    ],
)
def test_versions_with_known_errors_are_named(package, good, bad):
    for version in good:
        assert result_of({package: version}, package).result == "pass"
    for version in bad:
        found = result_of({package: version}, package)
        assert found.result == "fail"
        assert found.figure.startswith(f"{version}: ")
        assert "#" in found.figure
    assert result_of({}, package).result == "skipped"


def result_of(installed, package):
    return next(one for one in known_bad(installed) if one.check.startswith(package))


def test_a_training_that_fails_is_a_finding(patient):
    def diverges(patient):
        raise TrainingError("the loss is nan\nat step 1")

    def empty(patient):
        raise DataError("no pair")

    assert run_check("one", diverges, patient) == [
        CheckResult("one", "fail", "the loss is nan at step 1")
    ]
    assert run_check("one", empty, patient) == [CheckResult("one", "skipped", "no pair")]


def test_findings_are_a_table_without_escapes():
    console = Console(record=True, width=100)
    found = [
        CheckResult("a", "pass", "1e-7", "1e-3"),
        CheckResult("b\x1b[31m", "fail", "[bold]x", ""),
    ]
    print_findings(found, console)
    text = console.export_text()
    assert "1 passed, 1 failed, 0 skipped" in text
    assert "[bold]x" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("named", [["--model", "/nowhere/at all"], ["model=/nowhere/at all"]])
def test_a_model_that_does_not_load_is_one_line(named):
    outcome = CliRunner().invoke(app, ["doctor", *named])
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(("result", "code"), [("pass", 0), ("skipped", 0), ("fail", 1)])
def test_the_exit_code_tells_whether_a_check_failed(result, code, monkeypatch):
    found = [CheckResult("a", result, "1e-7", "1e-3")]
    monkeypatch.setattr("offline_rl.doctor.diagnose.diagnose", lambda *_: found)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == code
