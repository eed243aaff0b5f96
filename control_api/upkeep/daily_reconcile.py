"""Once a day, on one worker: what was accepted, what is raw and what is rolled up, held against each other.

The clock enqueues a job, at most one; whichever worker gets it runs it. Findings go to the log: `reconcile_agrees`,
or `reconcile_differs` (error) and a `reconcile_difference` (error) for each. Nothing is mended here. When ClickHouse
is away the job is tried again every AGAIN, for as long as it takes.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pgqueuer.queries import Queries

from scanhop.rollups.day_range import last_days
from scanhop.rollups.reconciliation import Reconciliation, Report
from scanhop.telemetry.logs import get_logger

RECONCILE = "reconcile"
AT = "20 3 * * *"
AGAIN = timedelta(minutes=10)
DAYS = 8
MOST_LOGGED = 50

_log = get_logger()


async def enqueue_reconcile(queries: Queries) -> None:
    """Nothing where one waits or runs already."""
    await queries.enqueue(RECONCILE, None, dedupe_key=RECONCILE, on_conflict="skip")


class DailyReconcile:
    def __init__(
        self, reconciliation: Reconciliation, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._reconciliation = reconciliation
        self._clock = clock

    async def run(self) -> None:
        """Raises StoreError."""
        now = self._clock()
        days = last_days(DAYS, now)
        _tell(await self._reconciliation.run(days, now), str(days))


def _tell(report: Report, days: str) -> None:
    rows = sum(day.raw_rows for day in report.days)
    if report.agrees:
        _log.info("reconcile_agrees", days=days, rows=rows, unsettled_codes=report.unsettled)
        return
    _log.error(
        "reconcile_differs",
        days=days,
        rows=rows,
        differences=len(report.differences),
        is_cut=report.is_cut,
        remedy="scanhop reconcile tells them, scanhop rebuild-rollups mends the rollups",
    )
    for difference in report.differences[:MOST_LOGGED]:
        _log.error("reconcile_difference", kind=difference.kind, difference=str(difference))
