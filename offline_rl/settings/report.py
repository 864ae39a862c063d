"""Settings of the report."""

from typing import Literal, get_args

from pydantic import Field

from offline_rl.settings.base import Frozen

Format = Literal["csv", "html", "markdown", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)
CSV_AND_PAGE: tuple[Format, ...] = ("csv", "html")


class ReportSettings(Frozen):
    """What a run writes at its end; `offline-rl report` writes any of it later."""

    formats: tuple[Format, ...] = Field(
        default=CSV_AND_PAGE, min_length=1, description="files of the report"
    )
