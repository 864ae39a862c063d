"""A data set's folder on the Hugging Face hub."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from data_gen.types import DataError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = "HF_TOKEN"
_PARTS = "part-*.parquet"
_CARD = "README.md"
# Nothing else of the folder leaves it: notes on engines and left-out problems are the run's own.
_SENT = [_PARTS, _CARD, "summary.json"]


def check_destination(name: str) -> None:
    """Raises DataError where `push` is certain to fail: for the name, or without a token."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise DataError(
            f"{name!r} is no name of the hub, such as data or user/data:"
            f" letters, digits and - _ . only ({_one_line(error, '')})"
        ) from error
    _token()
    if constants.HF_HUB_OFFLINE:
        raise DataError("HF_HUB_OFFLINE is set, so nothing can be pushed: unset it")


def push(folder: Path, name: str, *, private: bool = True) -> str:
    """Uploads the parts, the card and the counts of `folder`, and returns the data set's address.

    The files are sent as they are, so that what others load is what was learnt from to the bit;
    `datasets.push_to_hub` would rewrite the parts and replace the card. Parts of an earlier
    push that are no more are deleted. A data set that does not exist yet is
    made, private by default. The token is read from the environment (HF_TOKEN) and is in no
    message. Raises DataError for a folder that is no data set with a card, for one that is public
    where `private` is asked for, and for what the hub refuses.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    check_destination(name)
    _check_folder(folder)
    token = _token()
    try:
        return _upload(HfApi(token=token), folder, name, private)
    except (HTTPError, HfHubHTTPError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} cannot be pushed: {_one_line(error, token)}") from None


def _upload(api: "HfApi", folder: Path, name: str, private: bool) -> str:
    address = api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
    held = api.dataset_info(address.repo_id)
    if private and not held.private:
        raise DataError(
            f"{address.repo_id} exists and everybody can read it: choose another name, or push it"
            " with --public"
        )
    api.upload_folder(
        repo_id=address.repo_id,
        repo_type="dataset",
        folder_path=folder,
        allow_patterns=_SENT,
        delete_patterns=[_PARTS],
        commit_message="Upload rollouts",
    )
    return str(address)


def _check_folder(folder: Path) -> None:
    from huggingface_hub import DatasetCard
    from yaml import YAMLError

    if not any(folder.glob(_PARTS)):
        raise DataError(f"{folder}: no {_PARTS} in this folder: only a data set's folder is pushed")
    card = folder / _CARD
    if not card.is_file():
        raise DataError(f"{card}: there is no card, so nobody could tell what the data set is")
    try:
        front = DatasetCard.load(card).data.to_dict()
    except (ValueError, YAMLError) as error:
        raise DataError(
            f"{card}: the hub cannot read this card ({_one_line(error, '')})"
        ) from error
    if not front:
        raise DataError(f"{card}: the card does not begin with its settings between --- lines")


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise DataError(f"no token to push with: set the environment variable {TOKEN}")
    return token


def _one_line(error: Exception, token: str) -> str:
    reason = " ".join(str(error).split())[:400] or type(error).__name__
    return reason.replace(token, "[token]") if token else reason
