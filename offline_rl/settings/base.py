"""What the sections of an experiment file are made of: their base class, labels, sources."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from data_gen.problems.sources import ProblemSource
from data_gen.samplers import SamplerSettings
from data_gen.verifiers import VerifierSettings
from data_gen.verifiers import named as named_verifier
from offline_rl.artifacts.object_store.objects import ADDRESS

# Labels become folder names and table rows, so they hold nothing that either could read otherwise.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]{0,63}")
_MISSING = {"NA", "NULL", "NaN", "None", "nan", "null"}


def _label(text: Any) -> str:
    fits = isinstance(text, str) and _LABEL.fullmatch(text)
    if not fits or text.endswith((".old", ".partial", ".taken")):
        raise ValueError(
            f"{text!r} is no label: letters, digits and _ . = - only, 64 at most, the first a"
            " letter or digit; it does not end in .old, .partial or .taken"
        )
    if text in _MISSING:
        raise ValueError(f"{text!r} is no label: tables are read with it as a missing value")
    return str(text)


def named(field: str, default: str | None = None) -> BeforeValidator:
    """Lets `verifier: math` stand for `verifier: {kind: math}`, and fills in the usual kind."""

    def spell_out(value: Any) -> Any:
        if isinstance(value, str):
            return {field: value}
        if default is not None and isinstance(value, Mapping):
            return {field: default, **value}
        return value

    return BeforeValidator(spell_out)


Label = Annotated[str, BeforeValidator(_label)]
Source = Annotated[ProblemSource, named("source")]
Store = Annotated[str, Field(pattern=f"^{ADDRESS}$")] | None
AnySampler = Annotated[SamplerSettings, named("kind", "auto")]
AnyVerifier = Annotated[VerifierSettings, named("kind", "math"), BeforeValidator(named_verifier)]


def label_of(name: str) -> str:
    """A label made of a name that may hold anything."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-_.=")[:64] or "unnamed"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
