"""What a policy is measured on."""

from dataclasses import dataclass

from data_gen.types import Problem, Sampling, Verifier


@dataclass(frozen=True)
class Benchmark:
    """Held-out problems, how completions for them are drawn, and who judges these."""

    name: str
    problems: tuple[Problem, ...]
    verify: Verifier
    sampling: Sampling
