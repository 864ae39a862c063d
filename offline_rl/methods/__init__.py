"""The methods: one file each; what a new one is made of is exported here."""

from data_gen.selection import Selection
from data_gen.types import Rollout
from data_gen.views import Example
from offline_rl.batch import Batch
from offline_rl.methods.base import Method, Origin, Requires, StepStatistic
from offline_rl.methods.families import Baselined, Graded, Imitation, Preference

__all__ = [
    "Baselined",
    "Batch",
    "Example",
    "Graded",
    "Imitation",
    "Method",
    "Origin",
    "Preference",
    "Requires",
    "Rollout",
    "Selection",
    "StepStatistic",
]
