"""Health as JSON."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from control_api.system.service import StoreState


class StoreAnswer(BaseModel):
    """One store."""

    status: Literal["ok", "down"]
    latency_ms: float | None


class HealthAnswer(BaseModel):
    """The API is alive; `degraded` says that a store does not answer."""

    status: Literal["ok", "degraded"]
    stores: dict[str, StoreAnswer] = Field(description="By name: postgres, redis, clickhouse")
    version: str

    @classmethod
    def of(cls, states: Mapping[str, StoreState], version: str) -> "HealthAnswer":
        return cls(
            status="ok" if all(state.is_up for state in states.values()) else "degraded",
            stores={
                name: StoreAnswer(status="ok" if state.is_up else "down", latency_ms=state.latency_ms)
                for name, state in states.items()
            },
            version=version,
        )
