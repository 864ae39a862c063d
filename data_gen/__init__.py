"""Problems in, verified rollouts out."""

from data_gen.collection import collect
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import load_problems
from data_gen.store.rollouts import load_rollouts, save_rollouts
from data_gen.types import Completion, Problem, Rollout, Sampling, Verdict
from data_gen.verifiers import verify
from data_gen.views import accepted, groups, pairs

__all__ = [
    "Completion",
    "ModelRef",
    "Problem",
    "Rollout",
    "Sampling",
    "Verdict",
    "accepted",
    "collect",
    "groups",
    "load_problems",
    "load_rollouts",
    "pairs",
    "save_rollouts",
    "verify",
]
