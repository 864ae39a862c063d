"""The JSON files of a run that one part of the program writes and another reads, one model each."""

import json
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from offline_rl.artifacts.atomic import disk_errors_name
from offline_rl.artifacts.checksums import DamagedArtifact


class Record(BaseModel):
    """A JSON file of just these fields, by the name `FILE` in a stage's folder.

    `PublishedStage.read` gives it back.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    FILE: ClassVar[str]

    def write(self, folder: Path) -> None:
        """Writes the file inside of a stage's unpublished folder."""
        path = folder / self.FILE
        text = json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"
        with disk_errors_name(path):
            path.write_text(text, encoding="utf-8")

    @classmethod
    def parse(cls, content: bytes, where: Path) -> Self:
        """The record in a file's content. Raises DamagedArtifact naming the file and the field."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            field = ".".join(map(str, fault["loc"]))
            at = f"{where}: {field}" if field else str(where)
            raise DamagedArtifact(f"{at}: {fault['msg']}: run it again") from error
