"""Every method by its `kind`."""

from typing import Annotated, get_args

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
from offline_rl.methods.power import Power
from offline_rl.methods.psft import Psft
from offline_rl.methods.rft import Rft
from offline_rl.methods.rift import Rift
from offline_rl.methods.sft import Sft
from offline_rl.methods.simpo import Simpo
from offline_rl.methods.topr import Topr

_Imitation = Rft | Dft | IwSft | Power | Asft | Psft | Sft
_Graded = OfflineGrpo | Topr | Asymre | Rift | Kto
_Preference = Dpo | Ipo | Simpo
AnyMethod = Annotated[_Imitation | _Graded | _Preference, Field(discriminator="kind")]

METHODS: dict[str, type[Method]] = {
    cls.model_fields["kind"].default: cls for cls in get_args(get_args(AnyMethod)[0])
}

__all__ = ["METHODS", "AnyMethod"]
