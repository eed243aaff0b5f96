"""Batches in ClickHouse for tests: what ingest leaves there, step by step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import orjson

WORKSPACE = UUID(int=0xA)
DAY = datetime(2026, 3, 10, tzinfo=UTC)
FROZEN_AT = DAY + timedelta(days=60)


@dataclass(frozen=True)
class Row:
    """A scan of one code at a moment."""

    qr_id: UUID
    at: datetime = DAY + timedelta(hours=9)
    device: str = "mobile"
    is_bot: bool = False
    event_id: UUID = field(default_factory=uuid4)


class Warehouse:
    """One ClickHouse database, by HTTP."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._client = httpx.Client(base_url=f"http://{parts.netloc}", timeout=60)
        self._database = parts.path.strip("/")

    def close(self) -> None:
        self._client.close()

    def run(self, statement: str, **settings: object) -> list[list[Any]]:
        """The rows of the answer."""
        asked = {"database": self._database, "default_format": "JSONCompactEachRow", **settings}
        answer = self._client.post("/", params=asked, content=statement)
        assert answer.status_code == 200, answer.text
        return [orjson.loads(line) for line in answer.content.splitlines()]

    def accept(self, rows: Sequence[Row], frozen_at: datetime = FROZEN_AT, batch: UUID | None = None) -> UUID:
        """A whole batch: inserted, and its line written."""
        batch = batch or uuid4()
        self.insert(batch, rows, frozen_at)
        self.record(batch, rows, frozen_at)
        return batch

    def insert(self, batch: UUID, rows: Sequence[Row], frozen_at: datetime = FROZEN_AT) -> None:
        """Its rows only, under its token."""
        lines = [
            {
                "event_id": str(row.event_id),
                "batch_id": str(batch),
                "workspace_id": str(WORKSPACE),
                "qr_id": str(row.qr_id),
                "scanned_at": row.at.timestamp(),
                "received_at": frozen_at.timestamp(),
                "outcome": "redirect",
                "device_type": row.device,
                "is_bot": row.is_bot,
            }
            for row in rows
        ]
        self._insert("qr_scan_events", lines, insert_deduplication_token=str(batch))

    def record(self, batch: UUID, rows: Sequence[Row], frozen_at: datetime = FROZEN_AT) -> None:
        """Its line only."""
        line = {
            "batch_id": str(batch),
            "rows": len(rows),
            "scans": sum(not row.is_bot for row in rows),
            "first_scan_at": min(row.at for row in rows).timestamp(),
            "last_scan_at": max(row.at for row in rows).timestamp(),
            "frozen_at": frozen_at.timestamp(),
        }
        self._insert("scan_batches", [line], insert_deduplication_token=str(batch))

    def roll_up(self, qr_id: UUID, events: int, day: datetime = DAY) -> None:
        """Add to the rollup alone; a negative number takes away."""
        line = {
            "workspace_id": str(WORKSPACE),
            "qr_id": str(qr_id),
            "date": day.date().isoformat(),
            "events": events % 2**64,
            "scans": events % 2**64,
            "devices": {"mobile": events % 2**64},
            "os": {"": events % 2**64},
            "browsers": {"": events % 2**64},
            "countries": {"": events % 2**64},
        }
        self._insert("daily_aggregates", [line])

    def delete_raw(self, row: Row) -> None:
        self.run(f"ALTER TABLE qr_scan_events DELETE WHERE event_id = '{row.event_id}'", mutations_sync=2)

    @contextmanager
    def without_rollup(self) -> Iterator[None]:
        """As if the server died between the raw table and its view."""
        self.run("DETACH TABLE daily_aggregates_mv")
        try:
            yield
        finally:
            self.run("ATTACH TABLE daily_aggregates_mv")

    def rolled_up(self, qr_id: UUID) -> int:
        [[events]] = self.run(f"SELECT sum(events) FROM daily_aggregates WHERE qr_id = '{qr_id}'")
        return int(events)

    def _insert(self, table: str, lines: Sequence[dict[str, Any]], **settings: object) -> None:
        settings |= {"async_insert": 0, "deduplicate_blocks_in_dependent_materialized_views": 1}
        body = f"INSERT INTO {table} FORMAT JSONEachRow\n".encode() + b"\n".join(map(orjson.dumps, lines))
        answer = self._client.post("/", params={"database": self._database, **settings}, content=body)
        assert answer.status_code == 200, answer.text
