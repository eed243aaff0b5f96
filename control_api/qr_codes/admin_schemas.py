"""Bans as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from control_api.web.text import Line


class BanWanted(BaseModel):
    """Why a code is banned."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["abuse", "legal"] = Field(description="legal answers scans with 451, abuse with 403")
    note: Line | None = Field(default=None, description="Its owner reads this")
