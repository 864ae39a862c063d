"""The methods: one file each, joined in one union by `kind`."""

from typing import Annotated, get_args

from pydantic import Field

from offline_rl.methods.base import Method
from offline_rl.methods.dft import Dft
from offline_rl.methods.dpo import Dpo
from offline_rl.methods.iw_sft import IwSft
from offline_rl.methods.rft import Rft

AnyMethod = Annotated[Rft | Dft | IwSft | Dpo, Field(discriminator="kind")]

METHODS: dict[str, type[Method]] = {
    cls.model_fields["kind"].default: cls for cls in get_args(get_args(AnyMethod)[0])
}

__all__ = ["METHODS", "AnyMethod", "Dft", "Dpo", "IwSft", "Method", "Rft"]
