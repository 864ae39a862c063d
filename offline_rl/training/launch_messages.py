"""What a launch hands to its workers, and the lines they print for it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from data_gen.model_ref import ModelRef
from data_gen.selection import Selection
from offline_rl.methods.registry import AnyMethod
from offline_rl.settings.training import TrainingSettings
from offline_rl.settings.validation import ValidationSetup


class TrainingJob(BaseModel):
    """The arguments of offline_rl.training.train.train; the rollouts are in a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: AnyMethod
    rollouts: Path
    folder: Path
    model: ModelRef
    training: TrainingSettings
    selection: Selection
    seed: int
    setup: ValidationSetup | None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.model_dump(mode="json")), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class StepDone:
    """As `on_log` of a training is called."""

    step: int
    steps: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """Why a worker ends; `is_disk` where it could not read or write."""

    reason: str
    is_disk: bool


Message = StepDone | WorkerFailed
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


def message_line(message: Message) -> str:
    return f"{json.dumps(asdict(message))}\n"


def parse_line(line: str) -> Message | None:
    """The message in a line; None for one that a library has printed."""
    try:
        return _MESSAGE.validate_json(line)
    except ValidationError:
        return None
