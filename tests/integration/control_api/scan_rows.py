"""Scans in ClickHouse as ingest would write them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from scanhop.stores.clickhouse import ClickHouse
from tests.integration.control_api.api_client import Account

NOBODY = UUID(int=0)


class ScanRows:
    """One ClickHouse database. What a scan does not say is empty; it is a counted one, of a visitor of its own."""

    def __init__(self, url: str) -> None:
        self._clickhouse = ClickHouse(url, timeout_s=10)

    async def add(
        self, account: Account, code: dict[str, Any] | None, *moments: str | datetime, **fields: Any
    ) -> list[UUID]:
        """A scan of `code` (None: of none) at each of the moments, as one batch. Gives their event_ids."""
        return await self.add_batch(account, [{"code": code, "at": at, **fields} for at in moments])

    async def add_batch(self, account: Account, scans: Sequence[dict[str, Any]]) -> list[UUID]:
        batch = uuid4()
        rows = [_row(account, batch, scan) for scan in scans]
        names = sorted({name for row in rows for name in row})
        client = await self._clickhouse.client()
        blank = {"is_bot": False, "visitor": 0, "route_version": 0}
        values = [[row.get(name, blank.get(name, "")) for name in names] for row in rows]
        await client.insert("qr_scan_events", values, column_names=names)
        return [row["event_id"] for row in rows]

    async def run(self, statement: str) -> list[tuple[Any, ...]]:
        client = await self._clickhouse.client()
        return list((await client.query(statement)).result_rows)

    async def close(self) -> None:
        await self._clickhouse.close()


def _row(account: Account, batch: UUID, scan: dict[str, Any]) -> dict[str, Any]:
    code, at = scan["code"], scan["at"]
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    event_id = uuid4()
    usual = {
        "event_id": event_id,
        "batch_id": batch,
        "workspace_id": UUID(account.workspace_id),
        "qr_id": NOBODY if code is None else UUID(code["id"]),
        "project_id": NOBODY,
        "scanned_at": at,
        "received_at": datetime.now(UTC),
        "outcome": "redirect",
        "visitor": event_id.int % 2**64,
    }
    return usual | {name: value for name, value in scan.items() if name not in ("code", "at")}
