"""Every method by its `kind`: those in this folder, and those that installed packages bring."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from offline_rl.methods.asft import Asft
from offline_rl.methods.asymre import Asymre
from offline_rl.methods.base import Method
from offline_rl.methods.dft import Dft
from offline_rl.methods.dpo import Dpo
from offline_rl.methods.ipo import Ipo
from offline_rl.methods.iw_sft import IwSft
from offline_rl.methods.kto import Kto
from offline_rl.methods.offline_grpo import OfflineGrpo
from offline_rl.methods.plugins import installed_methods
from offline_rl.methods.power import Power
from offline_rl.methods.psft import Psft
from offline_rl.methods.rft import Rft
from offline_rl.methods.rift import Rift
from offline_rl.methods.sft import Sft
from offline_rl.methods.simpo import Simpo
from offline_rl.methods.topr import Topr

_IMITATION = (Rft, Dft, IwSft, Power, Asft, Psft, Sft)
_GRADED = (OfflineGrpo, Topr, Asymre, Rift, Kto)
_PREFERENCE = (Dpo, Ipo, Simpo)

BUILT_IN: dict[str, type[Method]] = {
    cls.model_fields["kind"].default: cls for cls in (*_IMITATION, *_GRADED, *_PREFERENCE)
}
ADDED, FAULTS = installed_methods(BUILT_IN)
"""Those of other packages by kind, and why others are unavailable."""
METHODS: dict[str, type[Method]] = {
    **BUILT_IN,
    **{kind: added.method for kind, added in ADDED.items()},
}

if TYPE_CHECKING:
    AnyMethod = Method
else:
    AnyMethod = Annotated[reduce(or_, METHODS.values()), Field(discriminator="kind")]


def code_of(method: Method) -> dict[str, str]:
    """The package of a method that is not one of ours: its results depend on it too."""
    added = ADDED.get(method.kind)
    return {} if added is None else added.code
