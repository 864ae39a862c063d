"""Rollouts in, numbers with their uncertainty out."""

from eval.benchmarks import Benchmark
from eval.bootstrap import paired_bootstrap
from eval.comparison import Comparison, compare
from eval.evaluation import Evaluation, evaluate, load_evaluation
from eval.metrics import avg_at_k, maj_at_k, pass_at_k

__all__ = [
    "Benchmark",
    "Comparison",
    "Evaluation",
    "avg_at_k",
    "compare",
    "evaluate",
    "load_evaluation",
    "maj_at_k",
    "paired_bootstrap",
    "pass_at_k",
]
