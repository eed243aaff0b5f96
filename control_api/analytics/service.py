"""Answers questions about the scans of one code."""

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from control_api.analytics.model import DIMENSIONS, Bucket, Period, ScanCounts, Share
from control_api.analytics.period import dates_of, hour_phase_s, hours_of, start_of_date
from control_api.analytics.repository import Counts, ScanRepository
from control_api.analytics.series import fill_series
from scanhop.wire.ids import WorkspaceId


class CodeDirectory(Protocol):
    """Knows which codes a workspace has."""

    async def get(self, workspace_id: WorkspaceId, qr_id: UUID) -> object:
        """Raises Problem if it has no such code."""


class Analytics:
    """Raises StoreUnavailable."""

    def __init__(self, repository: ScanRepository) -> None:
        self._repository = repository

    async def count_scans(
        self, workspace_id: WorkspaceId, qr_id: UUID, period: Period, *, include_bots: bool
    ) -> ScanCounts:
        (total, series), shares = await asyncio.gather(
            self._count_series(workspace_id, qr_id, period, include_bots=include_bots),
            self._repository.list_shares(workspace_id, qr_id, period, include_bots=include_bots),
        )
        return ScanCounts(*total, series, _breakdowns(shares))

    async def _count_series(
        self, workspace_id: WorkspaceId, qr_id: UUID, period: Period, *, include_bots: bool
    ) -> tuple[Counts, list[Bucket]]:
        if period.granularity == "hour":
            total, by_hour = await self._repository.count_by_hour(
                workspace_id, qr_id, period, hour_phase_s(period), include_bots=include_bots
            )
            hours = hours_of(period)
            return total, fill_series([hour.astimezone(period.zone) for hour in hours], hours, by_hour)
        total, by_date = await self._repository.count_by_date(workspace_id, qr_id, period, include_bots=include_bots)
        dates = dates_of(period)
        return total, fill_series([start_of_date(day, period.zone) for day in dates], dates, by_date)


def _breakdowns(shares: Sequence[tuple[str, str, int]]) -> dict[str, list[Share]]:
    found: dict[str, list[Share]] = {dimension: [] for dimension in DIMENSIONS}
    for dimension, value, scans in shares:
        found[dimension].append(Share(value, scans))
    return found
