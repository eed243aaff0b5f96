"""What concerns every workspace: prices, defaults, what is due. For platform admins and the worker."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from control_api.credits.model import NewPrice, Price
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import UserId, WorkspaceId


class PlatformRepository:
    """Reads its statements once. Each method runs on the connection it is given."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.credits", "platform.sql")

    async def is_workspace(self, connection: Connection, workspace_id: WorkspaceId) -> bool:
        return await connection.fetchval(self._sql["is_workspace"], workspace_id) is not None

    async def find_personal_workspace(self, connection: Connection, user_id: UserId) -> WorkspaceId | None:
        found: WorkspaceId | None = await connection.fetchval(self._sql["find_personal_workspace"], user_id)
        return found

    async def list_current_prices(self, connection: Connection, now: datetime) -> list[Price]:
        """Those of now, and those that are to come."""
        return [Price(**row) for row in await connection.fetch(self._sql["list_current_prices"], now)]

    async def list_prices(
        self, connection: Connection, before: int | None, limit: int
    ) -> list[tuple[Price, datetime]]:
        """Every version, newest first, each with the time at which it was set."""
        rows = await connection.fetch(self._sql["list_prices"], before, limit)
        return [_dated_price(**row) for row in rows]

    async def create_price(
        self, connection: Connection, new: NewPrice, valid_from: datetime, set_by: str, now: datetime
    ) -> Price:
        row = await connection.fetchrow(
            self._sql["create_price"],
            new.action,
            new.model,
            new.credits,
            new.completion_credits,
            valid_from,
            set_by,
            new.reason,
            now,
        )
        if row is None:
            raise RuntimeError("an INSERT that returned nothing")
        return Price(**row)

    async def get_default_monthly_grant(self, connection: Connection) -> int:
        amount: int = await connection.fetchval(self._sql["get_settings"])
        return amount

    async def set_default_monthly_grant(self, connection: Connection, amount: int) -> None:
        await connection.execute(self._sql["set_default_monthly_grant"], amount)

    async def list_grants_due(
        self, connection: Connection, after: UUID, key: str, limit: int
    ) -> list[tuple[UUID, int]]:
        rows = await connection.fetch(self._sql["list_grants_due"], after, key, limit)
        return [(row["workspace_id"], row["amount"]) for row in rows]

    async def list_due_wallets(self, connection: Connection, now: datetime | None, limit: int) -> list[UUID]:
        return [row[0] for row in await connection.fetch(self._sql["list_due_wallets"], now, limit)]

    async def get_usage_counted_to(self, connection: Connection) -> date | None:
        day: date | None = await connection.fetchval(self._sql["get_usage_counted_to"])
        return day

    async def set_usage_counted_to(self, connection: Connection, day: date) -> None:
        await connection.execute(self._sql["set_usage_counted_to"], day)

    async def reset_usage(self, connection: Connection, first: date, end: date, now: datetime) -> None:
        await connection.execute(self._sql["reset_usage"], first, end, now)

    async def set_scans_used(
        self, connection: Connection, counted: Sequence[tuple[UUID, date, int]], now: datetime
    ) -> None:
        columns = [list(column) for column in zip(*counted, strict=True)]
        await connection.execute(self._sql["set_scans_used"], *columns, now)

    async def set_qr_created(self, connection: Connection, first: date, end: date, now: datetime) -> None:
        await connection.execute(self._sql["set_qr_created"], first, end, now)

    async def list_closed_days(self, connection: Connection, before: date, limit: int) -> list[tuple[UUID, date]]:
        rows = await connection.fetch(self._sql["list_closed_days"], before, limit)
        return [(row["workspace_id"], row["date"]) for row in rows]

    async def lock_closed_day(
        self, connection: Connection, workspace_id: UUID, day: date, action: str
    ) -> tuple[int, int | None, int | None] | None:
        """Its scans, the version of the action's price at its start, and the credits; None when it was charged
        meanwhile."""
        row = await connection.fetchrow(self._sql["lock_closed_day"], workspace_id, day, action)
        return None if row is None else tuple(row)

    async def close_day(self, connection: Connection, workspace_id: UUID, day: date, *became: Any) -> None:
        """`became`: price, its version, charged, shortfall, when."""
        await connection.execute(self._sql["close_day"], workspace_id, day, *became)


def _dated_price(created_at: datetime, **fields: Any) -> tuple[Price, datetime]:
    return Price(**fields), created_at
