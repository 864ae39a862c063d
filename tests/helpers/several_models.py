"""Settings of a series of two small models, and of one that is evaluated alone."""

from offline_rl.config.checkpoint_evaluation import CheckpointEvaluation
from offline_rl.config.load import load
from offline_rl.tiny_base import TINY_BASE

FEW = {"source": "arithmetic", "split": "test", "limit": 6}


def alone(label, *overrides):
    raw = {
        "name": label,
        "model": "tiny",
        "sampler": "transformers",
        "evaluation": {
            "benchmarks": {"near": dict(FEW), "far": {**FEW, "split": "big"}},
            "sampling": {"samples": 2, "max_tokens": 48},
            "decodings": {},
        },
    }
    return load(None, overrides, CheckpointEvaluation, raw)


SERIES = f"""
name: both
models:
  one: tiny
  two: {{model: {TINY_BASE}, sampling: {{temperature: 0.8}}}}
sampler: transformers
problems: {{source: arithmetic, split: train, limit: 12}}
sampling: {{samples: 4, max_tokens: 48}}
training: {{steps: 2, examples_per_step: 8}}
methods: {{rft: {{}}}}
behaviour_check: 0
report: {{formats: [csv]}}
evaluation:
  sampling: {{samples: 2, max_tokens: 48}}
  benchmarks: {{near: {{source: arithmetic, split: test, limit: 6}}}}
  decodings: {{}}
"""
