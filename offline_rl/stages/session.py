"""A locked run folder with what its steps need: verifier, engines, the base's fingerprint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from data_gen.remote_code import check_code
from offline_rl.artifacts.lock import locked
from offline_rl.artifacts.manifest import check_format
from offline_rl.artifacts.object_store.objects import Objects
from offline_rl.artifacts.object_store.stage_store import StageStore
from offline_rl.artifacts.provenance import model_fingerprint
from offline_rl.progress import Progress
from offline_rl.settings.data import DataSettings, ModelSettings
from offline_rl.stages.context import Run
from offline_rl.stages.engines import engines_of, opened

S = TypeVar("S", bound=ModelSettings)


@contextmanager
def at_work(
    settings: S,
    folder: Path,
    progress: Progress,
    *,
    store: StageStore | None = None,
    settings_sha256: str | None = None,
) -> Iterator[Run[S]]:
    """Verifier and engines end with the block.

    Finished stages are put into `store` as well. Raises DataError while another process works
    there, for a folder of another version's format, and for a model that is not there.
    """
    check_code(settings.base_model)
    with (
        locked(folder),
        opened(settings.verifier, settings.cluster) as verify,
        engines_of(settings, settings.sampler, progress) as engines,
    ):
        check_format(folder)
        base = model_fingerprint(settings.base_model)
        if settings.remote_code:
            progress.say(f"the code that comes with {settings.model} runs (remote_code: true)")
        yield Run(settings, folder, progress, engines, verify, base, store, settings_sha256)


def store_of(settings: DataSettings) -> StageStore | None:
    """The store that the settings name, once it has been written to. Raises OSError, DataError."""
    if settings.store is None:
        return None
    objects = Objects(settings.store)
    objects.check()
    return StageStore(objects, weights=settings.store_weights)
