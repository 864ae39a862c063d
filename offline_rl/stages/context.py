"""What every step of a run is given."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from data_gen.problems.sources import LoadedProblems, ProblemSource
from data_gen.types import DataError, Problem, Verifier
from offline_rl.artifacts.atomic import write_atomically
from offline_rl.artifacts.checksums import DamagedArtifact, digest
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.provenance import Fingerprint
from offline_rl.artifacts.records import CurrentStages
from offline_rl.artifacts.stage import Stage
from offline_rl.progress import Progress
from offline_rl.settings.data import ModelSettings
from offline_rl.stages.engines import Engines

Settings = TypeVar("Settings", bound=ModelSettings, covariant=True)


@dataclass(frozen=True)
class Run(Generic[Settings]):
    """An experiment, a data set alone, or an evaluation alone, at work in a folder."""

    settings: Settings
    folder: Path
    progress: Progress
    engines: Engines
    verify: Verifier
    base: Fingerprint
    """The base model's fingerprint."""
    store: StageStore | None = None
    """Where finished stages are put as well, and taken from."""
    settings_sha256: str | None = None
    """Hash of the settings by which `expect` records stages; None: it records nothing."""
    _loaded: dict[ProblemSource, LoadedProblems] = field(default_factory=dict)
    _expected: dict[str, str] = field(default_factory=dict)

    def load(self, source: ProblemSource) -> LoadedProblems:
        """The problems of a source, read once."""
        if source not in self._loaded:
            self._loaded[source] = source.read()
        return self._loaded[source]

    def problems(self, source: ProblemSource) -> tuple[Problem, ...]:
        return tuple(self.load(source).problems)

    def recall_expected(self) -> None:
        """Keeps what an earlier run of the same settings has recorded by `expect`."""
        # A damaged record is one of nothing: the run writes it again as it goes.
        with suppress(FileNotFoundError, DamagedArtifact):
            record = CurrentStages.read(self.folder)
            if record.settings == self.settings_sha256:
                self._expected.update(record.stages)

    def expect(self, *stages: Stage) -> None:
        """Records what these stages are made from, by which the report knows them as the run's."""
        if self.settings_sha256 is None:
            return
        expected = {self._name(stage): digest(stage.inputs) for stage in stages}
        if not expected.items() <= self._expected.items():
            self._expected.update(expected)
            record = CurrentStages(settings=self.settings_sha256, stages=self._expected)
            record.write(self.folder)

    def is_needed(self, stage: Stage) -> bool:
        """Whether a stage must be done; says so where that is not plain."""
        self.expect(stage)
        stage.recover()
        reason = stage.why_not_finished()
        name = self._name(stage)
        if reason is None:
            self.progress.say(f"{name}: finished and unchanged, skipped")
            self._put(stage)
            return False
        try:
            if self._take(stage):
                return False
        except DamagedArtifact as error:
            reason = str(error)
        if reason != "not done yet":
            self.progress.say(f"{name}: done again, since {reason}")
        elif conflict := stage.conflict():
            self.progress.say(f"{name}: begun again from nothing, since {conflict}")
        return True

    def finished(self, stage: Stage) -> bool:
        """Whether a stage is finished here, or was elsewhere and has been taken from the store."""
        try:
            return stage.finished() or self._take(stage)
        except DamagedArtifact:
            return False

    @contextmanager
    def work(self, stage: Stage) -> Iterator[Path]:
        """As `Stage.work`; what is finished is put into the store as well."""
        with stage.work() as folder:
            yield folder
        self._put(stage)

    def _put(self, stage: Stage) -> None:
        if self.store is not None:
            self.store.put(stage, self._name(stage))

    def _take(self, stage: Stage) -> bool:
        """Whether a stage was in the store. Raises DamagedArtifact."""
        if self.store is None or not self.store.take(stage, self._name(stage)):
            return False
        self.progress.say(f"{self._name(stage)}: taken from {self.store.objects.address}")
        return True

    def _name(self, stage: Stage) -> str:
        return str(stage.folder.relative_to(self.folder))


def sampled_with(engine: Mapping[str, str], folder: Path) -> None:
    """Notes the engine in a partial folder, and empties it of what another engine had left there.

    With `sampler: auto` a run may go on with another engine than it began with. Raises DataError
    where only the number of threads differs: it changes the last bits of what is sampled, and the
    same number goes on where the run was.
    """
    note = folder / "engine.json"
    text = json.dumps(dict(engine), indent=1) + "\n"
    before = _engine_before(note)
    if before != engine and {**before, "threads": engine["threads"]} == engine:
        raise DataError(
            f"{folder}: begun with {before['threads']} threads, and now there are"
            f" {engine['threads']}: set the sampler's threads back, or delete the folder"
        )
    if before != engine:
        for part in folder.glob("part-*.parquet"):
            part.unlink()
        write_atomically(note, text)


def _engine_before(note: Path) -> dict[str, str]:
    """Empty where nothing was sampled yet, or the note is damaged: then all is sampled again."""
    try:
        before = json.loads(note.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return before if isinstance(before, dict) and "threads" in before else {}
