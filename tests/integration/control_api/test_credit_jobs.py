"""What the worker does for credits: grants, expiry, scans of a day; how jobs are told of, retried and replayed."""

import asyncio
import contextlib
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from control_api.credits.clock_jobs import list_credit_jobs
from control_api.credits.ledger import Ledger, LotTerms
from control_api.credits.model import EntryKind, Facts
from control_api.jobs.repository import JobRepository
from control_api.jobs.schedule import ClockJob, ClockJobs
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreUnavailable
from scanhop.stores.postgres import Postgres
from tests.databases import run_clickhouse
from tests.edge_worker import EdgeWorker, running
from tests.integration.control_api.api_client import ADMIN, problem_of
from tests.integration.control_api.test_api_credits import add, balance, history, set_price

FACTS = Facts("test")


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock(datetime.now(UTC))


@pytest.fixture
async def postgres(postgres_dsn):
    opened = Postgres(postgres_dsn, max_connections=8, command_timeout_s=10)
    yield opened
    await opened.close()


@pytest.fixture
def work(postgres, clock):
    """The jobs by name, without ClickHouse."""
    return {name: run for name, _, run in list_credit_jobs(postgres, None, clock)}


async def set_grant(api, amount):
    answer = await api.client.patch("/v1/admin/credits/settings", headers=ADMIN, json={"monthly_grant": amount})
    assert answer.status_code == 200, answer.text


# --- grants and expiry ---


async def test_each_workspace_is_granted_once_a_month_also_by_two_workers_at_once(api, postgres_dsn, clock):
    accounts = [await api.create_account() for _ in range(3)]
    await set_grant(api, 50)
    wallet = f"/v1/admin/credits/wallets/{accounts[2].workspace_id}"
    await api.client.patch(wallet, headers=ADMIN, json={"monthly_grant": 0})
    workers = [Postgres(postgres_dsn, max_connections=4, command_timeout_s=10) for _ in range(2)]
    runs = [{name: run for name, _, run in list_credit_jobs(each, None, clock)} for each in workers]
    done = await asyncio.gather(*(each["grant_monthly_credits"]() for each in runs))
    assert sum(each["workspaces"] for each in done) == 2
    assert await runs[0]["grant_monthly_credits"]() == {"workspaces": 0, "credits": 0}
    assert [(await balance(api, account))["balance"] for account in accounts] == [50, 50, 0]
    for each in workers:
        await each.close()


async def test_a_grant_ends_with_its_month_and_the_next_one_follows(api, account, work, clock, postgres):
    clock.now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    await set_grant(api, 50)
    await work["grant_monthly_credits"]()
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert await work["expire_credits"]() == {"wallets": 1}
    await work["grant_monthly_credits"]()
    async with postgres.connection() as connection:
        rows = await connection.fetch("SELECT kind, amount, reference FROM credit_entries ORDER BY seq")
    assert [tuple(row) for row in rows] == [
        ("grant", 50, "2026-12"),
        ("expiry", -50, "lot:1"),
        ("grant", 50, "2027-01"),
    ]


async def test_stale_reservations_and_expired_lots_go_also_when_nobody_asks(account, work, clock, postgres):
    ledger, workspace = Ledger(postgres, clock), UUID(account.workspace_id)
    await ledger.credit(workspace, EntryKind.GRANT, 10, FACTS, LotTerms(expires_at=clock.now + timedelta(hours=1)))
    await ledger.reserve(workspace, 4, FACTS, timedelta(minutes=5))
    assert await work["expire_credits"]() == {"wallets": 0}
    clock.now += timedelta(minutes=6)
    assert await work["expire_credits"]() == {"wallets": 1}
    async with postgres.connection() as connection:
        assert await connection.fetchval("SELECT reserved FROM wallets") == 0
    clock.now += timedelta(hours=1)
    await work["expire_credits"]()
    async with postgres.connection() as connection:
        assert await connection.fetchval("SELECT balance FROM wallets") == 0


# --- scans ---


def scan(url, workspace, day, count, *, is_bot=False, outcome="redirect"):
    """So many scans in the last millisecond of the day."""
    columns = "event_id, workspace_id, qr_id, scanned_at, outcome, is_bot"
    at = f"toDateTime64('{day} 23:59:59.999', 3, 'UTC')"
    row = f"generateUUIDv4(), toUUID('{workspace}'), generateUUIDv4(), {at}, '{outcome}', {int(is_bot)}"
    table = f"{url.rpartition('/')[2]}.qr_scan_events"
    run_clickhouse(url, f"INSERT INTO {table} ({columns}) SELECT {row} FROM numbers({count})")


@pytest.fixture
async def billing(postgres, clickhouse_url, clock):
    clickhouse = ClickHouse(clickhouse_url, timeout_s=15)
    jobs = {name: run for name, _, run in list_credit_jobs(postgres, clickhouse, clock)}
    yield jobs["bill_scans"]
    await clickhouse.close()


async def price_scans(postgres, price, since=datetime(2026, 1, 1, tzinfo=UTC)):
    async with postgres.connection() as connection:
        await connection.execute(
            "INSERT INTO credit_prices (action, credits, valid_from, set_by) VALUES ('scan.counted', $1, $2, 'test')",
            price,
            since,
        )


async def usage_rows(postgres):
    async with postgres.connection() as connection:
        rows = await connection.fetch("SELECT date, scans_used, charged, shortfall FROM billing_usage ORDER BY date")
    return [tuple(row) for row in rows]


async def test_scans_are_set_while_a_day_is_open_and_charged_once_when_it_has_closed(
    api, account, billing, clock, clickhouse_url, postgres
):
    await price_scans(postgres, 2)
    await add(api, account, 100)
    day = date(2026, 12, 1)
    clock.now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    scan(clickhouse_url, account.workspace_id, day, 5)
    scan(clickhouse_url, account.workspace_id, day, 7, is_bot=True)
    scan(clickhouse_url, account.workspace_id, day, 9, outcome="paused")
    for _ in range(2):
        await billing()
    assert await usage_rows(postgres) == [(day, 5, None, None)]
    scan(clickhouse_url, account.workspace_id, day, 3)
    clock.now += timedelta(days=2)
    await billing()
    assert await usage_rows(postgres) == [(day, 8, None, None)]
    clock.now += timedelta(days=1)
    for _ in range(2):
        await billing()
    assert await usage_rows(postgres) == [(day, 8, 16, 0)]
    assert [each["amount"] for each in (await history(api, account, kind="usage"))["data"]] == [-16]
    scan(clickhouse_url, account.workspace_id, day, 1)
    await billing()
    assert await usage_rows(postgres) == [(day, 8, 16, 0)]


async def test_days_that_were_missed_are_counted_and_charged_and_a_shortfall_is_kept(
    api, account, billing, clock, clickhouse_url, postgres
):
    await price_scans(postgres, 1)
    await add(api, account, 12)
    clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    await billing()
    days = [date(2026, 12, 1) + timedelta(days=number) for number in range(8)]
    for day in days:
        scan(clickhouse_url, account.workspace_id, day, 5)
    clock.now = datetime(2026, 12, 8, 1, tzinfo=UTC)
    await asyncio.gather(billing(), billing())
    charged = [(5, 0), (5, 0), (2, 3), (0, 5), (0, 5), (None, None), (None, None), (None, None)]
    assert await usage_rows(postgres) == [(day, 5, *each) for day, each in zip(days, charged, strict=True)]
    assert (await balance(api, account))["balance"] == 0


async def test_a_day_is_charged_at_the_price_with_which_it_began(
    api, account, billing, clock, clickhouse_url, postgres
):
    await add(api, account, 100)
    days = [date(2026, 12, 1), date(2026, 12, 2)]
    clock.now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    await price_scans(postgres, 2)
    await price_scans(postgres, 5, since=clock.now)
    await billing()
    for day in days:
        scan(clickhouse_url, account.workspace_id, day, 3)
    clock.now = datetime(2026, 12, 8, tzinfo=UTC)
    await price_scans(postgres, 9, since=clock.now)
    await billing()
    assert await usage_rows(postgres) == [(days[0], 3, 6, 0), (days[1], 3, 15, 0)]
    async with postgres.connection() as connection:
        rows = await connection.fetch(
            "SELECT u.price_version = p.version, p.credits FROM billing_usage u "
            "JOIN credit_prices p ON p.version = u.price_version ORDER BY u.date"
        )
    assert [tuple(row) for row in rows] == [(True, 2), (True, 5)]


async def test_a_code_whose_owner_has_balance_zero_still_redirects(api, account, redis_url, postgres_dsn, spool_root):
    await set_price(api, "scan.counted", 1000)
    await add(api, account, 1)
    code = await api.create_code(account, short_code="broke-7")
    await api.client.post(
        "/v1/admin/credits/deduct",
        headers=ADMIN,
        json={"workspace_id": account.workspace_id, "amount": 1, "reason": "x"},
    )
    await set_price(api, "qr_code.created", 5)
    body = {"name": "Menu", "target_url": "https://example.com/"}
    answer = await api.client.post("/v1/qr-codes", headers=account.headers, json=body)
    problem_of(answer, 402, "insufficient_credits")
    async with running(EdgeWorker(redis_url, postgres_dsn, spool_root)) as worker:
        answer = await worker.get("/r/broke-7")
        assert (answer.status, answer.location) == (302, code["target_url"])
        assert worker.outcomes() == ["redirect"]


# --- how jobs are told of, retried and replayed ---


@contextlib.asynccontextmanager
async def worker_of(dsn, jobs):
    """A queue that runs `jobs`, until the end of the block."""
    connection = await asyncpg.connect(dsn)
    queue = PgQueuer.from_asyncpg_connection(connection)
    jobs.register(queue)
    await jobs.enqueue_all(Queries(queue.connection))
    running = asyncio.create_task(
        queue.run(dequeue_timeout=timedelta(seconds=0.1), heartbeat_timeout=timedelta(seconds=10))
    )
    try:
        yield
    finally:
        queue.shutdown.set()
        await running
        await connection.close()


async def until(probe):
    async with asyncio.timeout(20):
        while not await probe():  # noqa: ASYNC110 - what is awaited takes place in the database
            await asyncio.sleep(0.05)


async def jobs_of(api):
    answer = await api.client.get("/v1/admin/jobs", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_job_that_fails_for_good_is_listed_and_can_be_replayed(
    api, postgres, postgres_dsn, clock, monkeypatch
):
    monkeypatch.setattr("control_api.jobs.schedule.LONGEST_PAUSE_S", 0.01)
    broken = [True]

    async def fragile():
        if broken[0]:
            raise ValueError("the books are gone")
        return {"done": 1}

    async def starved():
        if broken[0]:
            raise StoreUnavailable("clickhouse: away")
        return {"rows": 3}

    jobs = [ClockJob("fragile", "0 0 1 1 *", fragile), ClockJob("starved", "0 0 1 1 *", starved)]
    async with worker_of(postgres_dsn, ClockJobs(postgres, JobRepository(), clock, jobs)):

        async def is_dead():
            return (await jobs_of(api))["dead"]

        await until(is_dead)
        found = await jobs_of(api)
        [dead] = found["dead"]
        assert (dead["name"], dead["error"]) == ("fragile", "the books are gone")
        by_name = {each["name"]: each for each in found["scheduled"]}
        assert by_name["fragile"]["last_outcome"] == "failed"
        assert by_name["fragile"]["last_error"] == "ValueError: the books are gone"
        assert by_name["fragile"]["failures_in_row"] == 5
        assert by_name["fragile"]["schedule"] == "0 0 1 1 *"
        assert by_name["fragile"]["next_at"] is not None
        broken[0] = False
        replay = f"/v1/admin/jobs/{dead['id']}/replay"
        assert (await api.client.post(replay, headers=ADMIN)).json() == {"id": dead["id"], "status": "queued"}

        async def is_well():
            last = {each["name"]: each["last_outcome"] for each in (await jobs_of(api))["scheduled"]}
            return (last["fragile"], last["starved"]) == ("succeeded", "succeeded")

        await until(is_well)
        assert (await jobs_of(api))["dead"] == []
    problem_of(await api.client.post("/v1/admin/jobs/999999/replay", headers=ADMIN), 404, "not_found")


async def test_an_outage_is_no_try(api, postgres, postgres_dsn, clock, monkeypatch):
    monkeypatch.setattr("control_api.jobs.schedule.LONGEST_PAUSE_S", 0.001)
    away, broken = StoreUnavailable("clickhouse: away"), ValueError("broken")
    trouble = [*[away] * 6, broken, *[away] * 6, *[broken] * 3]

    async def unlucky():
        if trouble:
            raise trouble.pop(0)
        return {}

    jobs = ClockJobs(postgres, JobRepository(), clock, [ClockJob("unlucky", "0 0 1 1 *", unlucky)])
    async with worker_of(postgres_dsn, jobs):

        async def has_ended():
            found = await jobs_of(api)
            return found["dead"] or [each for each in found["scheduled"] if each["last_outcome"] == "succeeded"]

        await until(has_ended)
    found = await jobs_of(api)
    assert (found["dead"], trouble) == ([], [])
    [told] = [each for each in found["scheduled"] if each["name"] == "unlucky"]
    assert (told["runs"], told["failures"], told["failures_in_row"]) == (17, 16, 0)


async def test_a_job_that_dies_again_and_again_is_listed_once(api, postgres, postgres_dsn, clock, monkeypatch):
    monkeypatch.setattr("control_api.jobs.schedule.LONGEST_PAUSE_S", 0.001)

    async def broken():
        raise ValueError("broken")

    seen = set()
    for _ in range(3):
        jobs = ClockJobs(postgres, JobRepository(), clock, [ClockJob("broken", "0 0 1 1 *", broken)])
        async with worker_of(postgres_dsn, jobs):

            async def has_died():
                return {each["id"] for each in (await jobs_of(api))["dead"]} - seen

            await until(has_died)
            [dead] = (await jobs_of(api))["dead"]
            seen.add(dead["id"])
    [told] = [each for each in (await jobs_of(api))["scheduled"] if each["name"] == "broken"]
    assert told["failures"] == 15


async def test_books_that_disagree_are_a_dead_job_that_names_the_first_entry(
    api, account, postgres, postgres_dsn, clock, monkeypatch
):
    monkeypatch.setattr("control_api.jobs.schedule.LONGEST_PAUSE_S", 0.001)
    for amount in (5, 6, 7):
        await add(api, account, amount)
    entry = (await history(api, account))["data"][1]
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE credit_entries SET balance_after = balance_after + 1 WHERE seq > 1")
    await connection.close()
    jobs = [ClockJob(*job) for job in list_credit_jobs(postgres, None, clock) if job[0] == "prove_ledger"]
    async with worker_of(postgres_dsn, ClockJobs(postgres, JobRepository(), clock, jobs)):

        async def is_dead():
            return (await jobs_of(api))["dead"]

        await until(is_dead)
    found = await jobs_of(api)
    told = f"wallet {account.workspace_id}: entry 2 ({entry['id']}) says that 12 were left, the replay says 11"
    assert [(each["name"], each["error"]) for each in found["dead"]] == [("prove_ledger", told)]
    [proof] = [each for each in found["scheduled"] if each["name"] == "prove_ledger"]
    assert (proof["last_outcome"], proof["last_error"]) == ("failed", f"BooksDisagree: {told}")


async def test_two_workers_that_start_at_once_run_a_job_once_in_effect(api, account, postgres, postgres_dsn, clock):
    await set_grant(api, 50)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            jobs = [ClockJob(*job) for job in list_credit_jobs(postgres, None, clock)]
            await stack.enter_async_context(
                worker_of(postgres_dsn, ClockJobs(postgres, JobRepository(), clock, jobs))
            )

        async def all_ran():
            last = {each["name"]: each["last_outcome"] for each in (await jobs_of(api))["scheduled"]}
            return [last.get(job.name) for job in jobs] == ["succeeded"] * 3

        await until(all_ran)
    assert [each["amount"] for each in (await history(api, account))["data"]] == [50]


async def test_a_job_that_waits_cannot_be_replayed(api, postgres_dsn):
    connection = await asyncpg.connect(postgres_dsn)
    await Queries(AsyncpgDriver(connection)).enqueue("fragile", None)
    job_id = await connection.fetchval("SELECT id FROM pgqueuer")
    await connection.close()
    problem_of(await api.client.post(f"/v1/admin/jobs/{job_id}/replay", headers=ADMIN), 409, "job_not_dead")
