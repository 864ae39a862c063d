"""The stages in a run's folder: which of them hold results of its settings, and which do not."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import CurrentStages
from offline_rl.report import Samples
from offline_rl.settings.evaluation import EvaluationSettings
from offline_rl.stages.evaluate import evaluation_folder, read_evaluation

MadeFrom = Callable[[Mapping[str, JsonValue]], bool]


class RunStages:
    """Each stage is read, and its files are hashed, at most once, whoever asks for it.

    `stale` and `damaged` name what was asked for with `current` and cannot be used.
    """

    def __init__(self, folder: Path, settings_sha256: str | None = None) -> None:
        """With a hash of settings, only stages that a run recorded for these are current.

        Raises DamagedArtifact where that record is damaged.
        """
        self.folder = folder
        self.stale: list[str] = []
        self.damaged: list[str] = []
        self._stages: dict[Path, PublishedStage] = {}
        self._inputs: dict[str, str] | None = None
        if settings_sha256 is not None:
            begun = (folder / CurrentStages.FILE).is_file()
            record = CurrentStages.read(folder) if begun else None
            known = record is not None and record.settings == settings_sha256
            self._inputs = dict(record.stages) if record is not None and known else {}

    def at(self, place: Path) -> PublishedStage:
        """The stage in a folder, whatever state it is in."""
        return self._stages.setdefault(place, PublishedStage(place))

    def current(self, place: Path, made_from: MadeFrom | None = None) -> PublishedStage | None:
        """The stage in a folder where it is whole and was made with the run's settings.

        With `made_from`, also only where that holds of its inputs.
        """
        stage, name = self.at(place), str(place.relative_to(self.folder))
        if stage.damage() is not None:
            self.damaged.append(f"{name}: {stage.damage()}")
        if stage.manifest is None or stage.damage() is not None:
            return None
        known = self._inputs is None or stage.inputs_digest() == self._inputs.get(name)
        if known and (made_from is None or made_from(stage.manifest.inputs)):
            return stage
        self.stale.append(name)
        return None

    def evaluations(
        self,
        settings: EvaluationSettings,
        label: str,
        training_seed: int | None,
        *,
        model: str,
        made_from: MadeFrom | None = None,
    ) -> Iterator[Samples]:
        """The samples of a policy, in each of its decodings on each benchmark.

        `made_from` as in `current`; `model` is the base model's name in the tables.
        """
        for benchmark in settings.benchmarks:
            for decoded in settings.decoded(label, benchmark):
                place = evaluation_folder(self.folder, decoded, training_seed, benchmark)
                stage = self.current(place, made_from)
                if stage is not None:
                    yield Samples(read_evaluation(stage, model=model), stage.folder)
