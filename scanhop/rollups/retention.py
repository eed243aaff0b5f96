"""Which days raw still holds whole: its table's TTL says so."""

import re
from datetime import UTC, date, datetime, timedelta

from scanhop.rollups.statements import Statements
from scanhop.stores.errors import StoreRejected

_TTL = re.compile(r"\bTTL .*?scanned_at\b.*?\+ toInterval(Hour|Day|Week|Month|Quarter|Year)\((\d+)\)")
# The shortest that each can be: a day too few is harmless, a day too many is not.
_SHORTEST = {"Hour": 1 / 24, "Day": 1, "Week": 7, "Month": 28, "Quarter": 90, "Year": 365}


async def find_oldest_whole_day(statements: Statements, now: datetime) -> date | None:
    """None: raw scans are kept for ever. Raises StoreError."""
    rows = await statements.list("find_raw_ttl", {})
    if not rows or " TTL " not in rows[0][0]:
        return None
    found = _TTL.search(rows[0][0])
    if found is None:
        raise StoreRejected("the TTL of qr_scan_events is not of the form scanned_at + INTERVAL n DAY")
    kept = timedelta(days=_SHORTEST[found[1]] * int(found[2]))
    return (now - kept).astimezone(UTC).date() + timedelta(days=1)
