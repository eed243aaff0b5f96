"""What the worker does for credits, as (name, cron in UTC, work): each may be repeated without harm."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from control_api.clock import Clock, utc_now
from control_api.credits.ledger import Ledger
from control_api.credits.monthly_grants import MonthlyGrants
from control_api.credits.platform_repository import PlatformRepository
from control_api.credits.proof import LedgerProof
from control_api.credits.run_out import RunOut
from control_api.credits.scan_billing import ScanBilling
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres

Work = Callable[[], Awaitable[Mapping[str, Any]]]


def list_credit_jobs(
    postgres: Postgres, clickhouse: ClickHouse | None, clock: Clock | None = None
) -> list[tuple[str, str, Work]]:
    """Without ClickHouse there are no scans to count. `clock`: for tests, in place of the database's and ours."""
    platform, ledger, today = PlatformRepository(), Ledger(postgres, clock), clock or utc_now
    jobs: list[tuple[str, str, Work]] = [
        ("grant_monthly_credits", "5 * * * *", MonthlyGrants(postgres, platform, ledger, today).run),
        ("expire_credits", "* * * * *", RunOut(postgres, platform, ledger, clock).run),
        ("prove_ledger", "40 3 * * *", LedgerProof(postgres).run),
    ]
    if clickhouse is not None:
        billing = ScanBilling(postgres, clickhouse, platform, ledger, today)
        jobs.append(("bill_scans", "15 * * * *", billing.run))
    return jobs
