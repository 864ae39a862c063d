"""The stages in a run's folder: which of them hold results of its settings, and which do not."""

from collections.abc import Iterator
from pathlib import Path

from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import CurrentStages
from offline_rl.report import Samples
from offline_rl.settings.evaluation import EvaluationSettings
from offline_rl.stages.evaluate import evaluation_folder, read_evaluation


class RunStages:
    """Each stage is read, and its files are hashed, at most once, whoever asks for it.

    `stale` and `damaged` name what was asked for with `current` and cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        """Raises DamagedArtifact where the record of the run's stages is damaged."""
        self.folder = folder
        self.stale: list[str] = []
        self.damaged: list[str] = []
        self._stages: dict[Path, PublishedStage] = {}
        begun = (folder / CurrentStages.FILE).is_file()
        self._inputs = CurrentStages.read(folder).stages if begun else {}

    def at(self, place: Path) -> PublishedStage:
        """The stage in a folder, whatever state it is in."""
        return self._stages.setdefault(place, PublishedStage(place))

    def current(
        self, place: Path, *, policy: PublishedStage | None = None
    ) -> PublishedStage | None:
        """The stage in a folder where it is whole and was made with the run's settings.

        With a `policy`, also only where that is what was sampled from.
        """
        stage, name = self.at(place), str(place.relative_to(self.folder))
        if stage.damage() is not None:
            self.damaged.append(f"{name}: {stage.damage()}")
        if stage.manifest is None or stage.damage() is not None:
            return None
        model = {} if policy is None else {"model": {"policy": policy.digest()}}
        same_model = model.items() <= stage.manifest.inputs.items()
        if same_model and stage.inputs_digest() == self._inputs.get(name):
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
        policy: PublishedStage | None = None,
    ) -> Iterator[Samples]:
        """The samples of a policy, in each of its decodings on each benchmark.

        `policy` as in `current`; `model` is the base model's name in the tables.
        """
        for benchmark in settings.benchmarks:
            for decoded in settings.decoded(label, benchmark):
                place = evaluation_folder(self.folder, decoded, training_seed, benchmark)
                stage = self.current(place, policy=policy)
                if stage is not None:
                    yield Samples(read_evaluation(stage, model=model), stage.folder)
