"""Trained and failed policies as a run leaves them on record, without training."""

from offline_rl.artifacts.records import (
    FinishedTrial,
    TrainedPolicy,
    TrainingFailure,
    TrainingReport,
)
from offline_rl.settings.training import TrainingSettings

SETTINGS = TrainingSettings(examples_per_step=16, lr=1e-4, warmup=0.1, max_tokens=256)


def trained(label, seed=0, *, settings=SETTINGS, method=(), **changes):
    """With `changes` to what training counted; `method` are its own settings."""
    report = TrainingReport(
        code={},
        method={"kind": label, **dict(method), "training": {}},
        training=settings.resolved(),
        seed=seed,
        examples=320,
        examples_too_long=2,
        rollouts_per_example=1,
        packed=True,
        attention="sdpa",
        trained_tokens_per_epoch=1000,
        steps=60,
        epochs=3.0,
        examples_seen=960,
        trained_tokens_seen=1000,
        flops=1.5e12,
        seconds=12.5 + seed,
        peak_memory_gib=1.25,
        validation=None,
        history=[],
        update_kept_in_bfloat16=None,
    )
    # Through the file's own text, so that no test is on what a run cannot have written.
    text = report.model_copy(update=changes).text().encode()
    return TrainedPolicy(label, seed, TrainingReport.parse(text, "test"))


def failed(label, seed, reason):
    return TrainedPolicy(label, seed, TrainingFailure(reason=reason, code={}))


def trial(policy, number, score):
    return FinishedTrial(policy, number, score)


def read_training(folder):
    path = folder / TrainingReport.FILE
    return TrainingReport.parse(path.read_bytes(), path)
