"""The JSON files of a run that one part of the program writes and another reads, one model each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from data_gen.cards.counts import FilterCounts
from data_gen.cards.origin import Audited, Decontaminated, ImportedFrom, ModelAndPrompt, Sha256
from data_gen.cards.pair_stats import PairCounts
from data_gen.cards.rollout_counts import DatasetCounts, SampledCounts
from data_gen.filters.settings import Filters
from data_gen.selection import Selection
from data_gen.types import Sampling
from data_gen.verifiers.agreement import Agreement
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import DamagedArtifact, checksummed_text, parse_checksummed


class StrictModel(BaseModel):
    """JSON of just these fields; no type is converted into another."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Record(StrictModel):
    """A JSON file called `FILE`. In a stage's folder, `PublishedStage.read` gives it back."""

    FILE: ClassVar[str]

    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    def write(self, folder: Path) -> None:
        """Writes the file into `folder`, whole or not at all."""
        write_atomically(folder / self.FILE, self.text())

    @classmethod
    def parse(cls, content: bytes, where: object) -> Self:
        """The record in a file's content. Raises DamagedArtifact naming the file and the field."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise DamagedArtifact(f"{where}: {first_fault(error)}: run it again") from error


def first_fault(error: ValidationError) -> str:
    """The first field that is not as it should be, and why."""
    fault = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))


class ChecksummedRecord(Record):
    """A record with a checksum of itself, for files that no stage.json lists."""

    def text(self) -> str:
        return checksummed_text(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, content: bytes, where: object) -> Self:
        value = parse_checksummed(content)
        if value is None:
            raise DamagedArtifact(
                f"{where} is damaged: it does not hold what was written: run it again"
            )
        return super().parse(json.dumps(value).encode(), where)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record in `folder`. Raises DamagedArtifact; OSError where there is none."""
        return cls.parse((folder / cls.FILE).read_bytes(), folder / cls.FILE)


class RolloutsSummary(SampledCounts, Record):
    """What was counted in the rollouts of a run."""

    FILE = "summary.json"


class DatasetSummary(Record):
    """What was counted of a data set: in the rollouts it was chosen from, after each filter, in
    what is left, in the pairs of the first training seed, and by a second verifier if there is
    one."""

    FILE = RolloutsSummary.FILE

    sampled: SampledCounts
    filters: dict[str, FilterCounts]
    dataset: DatasetCounts
    pairs: PairCounts
    audit: Agreement | None


_OPTIONAL = Field(default=None, exclude_if=lambda value: value is None)


class RolloutsAbout(Record):
    """How the rollouts of a run came about.

    What was sampled has problems, `sampling`, `engine` and `verifier`; demonstrations have problems
    alone; what was imported has `imported` and where its verdicts come from. `problems` are the
    settings of their source with their count and hash. In JSON the fields of `tokenised_for` stand
    in its place, but for imported rollouts, which that model has not sampled.
    """

    FILE = "about.json"

    imported: ImportedFrom | None = _OPTIONAL
    problems: dict[str, JsonValue] | None = _OPTIONAL
    tokenised_for: ModelAndPrompt
    sampling: Sampling | None = _OPTIONAL
    engine: dict[str, str] | None = _OPTIONAL
    verifier: dict[str, str] | str | None = _OPTIONAL

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: JsonValue) -> JsonValue:
        if not isinstance(value, dict) or "tokenised_for" in value:
            return value
        policy = {key: one for key, one in value.items() if key in ModelAndPrompt.model_fields}
        others = {key: one for key, one in value.items() if key not in policy}
        return {"tokenised_for": policy, **others}

    @model_serializer(mode="wrap")
    def _spread(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        nested: dict[str, JsonValue] = handler(self)
        if self.imported is not None:
            return nested
        policy = self.tokenised_for.model_dump(mode="json")
        head = {"problems": nested.pop("problems")} if "problems" in nested else {}
        del nested["tokenised_for"]
        return {**head, **policy, **nested}


class DatasetAbout(RolloutsAbout):
    """How a data set came about: the rollouts, and what was chosen of them.

    `filters` are written without their defaults.
    """

    filters: Annotated[
        Filters, PlainSerializer(lambda one: one.model_dump(mode="json", exclude_defaults=True))
    ]
    decontaminated_against: Decontaminated | None
    selection: Selection
    audit: Audited | None


class Environment(ChecksummedRecord):
    """Versions, hardware, and the engines that the finished stages of a run were sampled with."""

    FILE = "environment.json"

    python: str
    system: str
    processor: str
    cores: int | None
    memory_gib: float
    gpus: list[str]
    packages: dict[str, str]
    engines: list[dict[str, str]]


class ValidationScore(StrictModel):
    """avg@k of the policy in training on the validation problems, a share, after a step."""

    step: int
    avg_at_k: float


class ValidationReport(StrictModel):
    """How the best weights were chosen; numbers of problems are of those asked and left out."""

    best_step: int
    best_avg_at_k: float
    stopped_early: bool
    problems: int
    problems_too_long: int
    scores: list[ValidationScore]


class TrainingReport(Record):
    """How a policy was trained, with its learning curve; beside its weights.

    `method` and `training` are resolved settings. `history` has an entry per logged step, with what
    was logged there by name; `flops` are the library's estimate, and `update_kept_in_bfloat16` is
    the share of moved weights that still differ from the base's in bfloat16. `code` identifies a
    method of another package, and is empty for one of this.
    """

    FILE = "training.json"

    code: dict[str, str]
    method: dict[str, JsonValue]
    training: dict[str, JsonValue]
    seed: int
    examples: int
    examples_too_long: int
    rollouts_per_example: int
    packed: bool
    attention: str
    trained_tokens_per_epoch: int
    steps: int
    epochs: float
    examples_seen: int
    trained_tokens_seen: int
    flops: int | float
    seconds: float
    peak_memory_gib: float
    validation: ValidationReport | None
    history: list[dict[str, int | float]]
    update_kept_in_bfloat16: float | None


class TrainingFailure(Record):
    """Why a policy's stage holds nothing else."""

    FILE = "failure.json"

    reason: str
    code: dict[str, str]


@dataclass(frozen=True)
class TrainedPolicy:
    """What became of a method trained with a seed."""

    label: str
    training_seed: int
    outcome: TrainingReport | TrainingFailure


@dataclass(frozen=True)
class FinishedTrial:
    """A variant that a sweep tried: its place in the grid, and avg@k on the validation problems."""

    policy: TrainedPolicy
    number: int
    score: float | None


class TrialScore(StrictModel):
    """avg@k of one trial, a share; None where its training failed."""

    label: str
    number: int
    score: float | None


class Trials(ChecksummedRecord):
    """Every trial of a sweep with its score, and the settings of the sweep."""

    FILE = "trials.json"

    sweep: dict[str, JsonValue]
    trials: list[TrialScore]


class MeasuredBudget(Record):
    """What the first method of a comparison takes, in the unit that the budget names."""

    FILE = "budget.json"

    amount: int


class LogprobGap(Record):
    """Trainer less sampler over all tokens of some rollouts, in nats; None without any tokens."""

    FILE = "gap.json"

    rollouts: int
    tokens: int
    mean_difference_nats: float | None = None
    mean_absolute_difference_nats: float | None = None
    largest_absolute_difference_nats: float | None = None
    share_of_tokens_with_ratio_off_by_a_tenth: float | None = None


class EvaluationInfo(Record):
    """How the samples of a policy on a benchmark were drawn and judged; beside them.

    `doubt` speaks against the benchmark's problems.
    """

    FILE = "about.json"

    label: str
    training_seed: int | None
    benchmark: str
    sampling: Sampling
    engine: dict[str, str]
    verifier: dict[str, str]
    left_out_too_long: list[str]
    doubt: str | None


class LabelInputs(TypedDict):
    """What the samples of every benchmark under a label depend on."""

    model: dict[str, str | bool | None]
    prompt: str
    sampling: dict[str, JsonValue]
    sampler: dict[str, JsonValue]
    verifier: dict[str, str]
    versions: dict[str, str]


class StoredLabel(StrictModel):
    """A label with its settings as they were written, each benchmark's among them."""

    common: LabelInputs
    settings: dict[str, JsonValue]


class EvaluatedLabels(ChecksummedRecord):
    """The models that were evaluated into a folder without an experiment, by label."""

    FILE = "evaluation.json"

    labels: dict[str, StoredLabel]


class Overlap(Record):
    """How many problems each benchmark has, and how many of them the data set has too."""

    FILE = "overlap.json"

    class Counts(StrictModel):
        problems: int
        shared: int

    benchmarks: dict[str, Counts]


class CurrentStages(ChecksummedRecord):
    """The hash of the inputs that each stage of a run has with the run's settings; in its folder.

    `settings` is the hash of these settings. A stage whose stage.json has other inputs was made
    with others. Stages whose inputs are not known yet are not listed.
    """

    FILE = "stages.json"

    settings: Sha256
    stages: dict[str, Sha256]
