"""A POST with an Idempotency-Key: one effect, one answer, whatever happens meanwhile."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from control_api.analytics.question import Statement
from control_api.clock import utc_now
from control_api.idempotency.repository import delete_old_records
from scanhop.stores.postgres import Postgres
from tests.api_process import ApiProcess
from tests.integration.control_api.api_client import ADMIN, ADMIN_KEY, TARGET, bad_names, problem_of
from tests.silent_proxy import SilentProxy

KEY = {"Idempotency-Key": "order-1"}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
BODY = {"name": "Menu", "target_url": TARGET}
QUESTION = {"select": ["count"], "from": "2026-11-01", "to": "2026-12-01"}


async def post(api, account, headers=KEY, path="/v1/qr-codes", **body):
    return await api.client.post(path, headers=account.headers | headers, json=BODY | body)


async def count_codes(api, account):
    answer = await api.client.get("/v1/qr-codes?limit=200", headers=account.headers)
    return len(answer.json()["data"])


@pytest.fixture
async def connection(postgres_dsn):
    opened = await asyncpg.connect(postgres_dsn)
    yield opened
    await opened.close()


async def test_the_same_request_again_is_answered_as_before_and_does_nothing(api, account):
    first = await post(api, account)
    again = await api.client.post(
        "/v1/qr-codes",
        headers=account.headers | KEY | {"Content-Type": "application/json"},
        content=b'{ "target_url": "%s",\n"name": "Menu" }' % TARGET.encode(),
    )
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    for name in ("etag", "location", "content-type", "content-length"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count_codes(api, account) == 1


async def test_the_key_with_another_request_is_refused(api, account, code):
    await post(api, account)
    problem_of(await post(api, account, name="Other"), 422, "idempotency_key_reused")
    answer = await api.client.post("/v1/domains", headers=account.headers | KEY, json={"host": "qr.example.org"})
    problem_of(answer, 422, "idempotency_key_reused")
    assert await count_codes(api, account) == 2


async def test_the_key_with_another_path_and_the_same_body_is_refused(api, account, code):
    other = await api.create_code(account)
    answers = [
        await api.client.post(f"/v1/qr-codes/{each['id']}/pause", headers=account.headers | KEY)
        for each in (code, other)
    ]
    assert answers[0].json()["status"] == "paused"
    problem_of(answers[1], 422, "idempotency_key_reused")
    answer = await api.client.get(f"/v1/qr-codes/{other['id']}", headers=account.headers)
    assert answer.json()["status"] == "active"


async def test_another_workspace_and_the_admin_have_keys_of_their_own(api, account):
    other = await api.create_account()
    answers = [await post(api, each) for each in (account, other)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    answer = await api.client.post("/v1/admin/users", headers=ADMIN | KEY, json={"email": "eve@example.com"})
    assert answer.status_code == 201


async def test_an_error_is_not_kept_and_leaves_nothing_behind(api, account):
    await api.create_code(account, short_code="menu")
    problem_of(await post(api, account, short_code="menu"), 409, "short_code_taken")
    problem_of(await post(api, account, target_url="nowhere"), 422, "invalid_parameters")
    assert (await post(api, account)).status_code == 201
    assert await count_codes(api, account) == 2


@pytest.mark.parametrize("key", ["", "two words", "ä", "x" * 256])
async def test_a_key_that_is_none_is_refused(api, account, key):
    answer = await post(api, account, {"Idempotency-Key": key.encode("latin-1")})
    assert bad_names(answer) == {"Idempotency-Key"}


async def test_a_key_without_a_valid_credential_is_401_and_other_methods_ignore_it(api, account, code):
    problem_of(await api.client.post("/v1/qr-codes", headers=KEY, json=BODY), 401, "unauthenticated")
    url = f"/v1/qr-codes/{code['id']}"
    for name in ("A", "B"):
        answer = await api.client.patch(url, headers=account.headers | KEY, json={"name": name})
        assert answer.json()["name"] == name


async def test_while_the_first_runs_others_are_told_so(api, account, connection, database):
    """The row lock of another transaction holds the first request up."""
    domain = await api.create_verified_domain(account, "qr.example.org")
    async with connection.transaction():
        await connection.execute("SELECT FROM domains WHERE id = $1 FOR UPDATE", domain["id"])
        first = asyncio.create_task(post(api, account, domain="qr.example.org"))
        while not await database.fetchval(WAITING):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        answer = await post(api, account, domain="qr.example.org")
        problem_of(answer, 409, "idempotency_key_in_use")
        assert answer.headers["retry-after"] == "1"
    assert (await first).status_code == 201
    assert (await post(api, account, domain="qr.example.org")).headers["idempotency-replayed"] == "true"


async def test_after_a_day_the_key_is_free_again(open_api):
    now = datetime(2026, 11, 1, tzinfo=UTC)
    async with open_api(clock=lambda: now) as api:
        account = await api.create_account()
        first = await post(api, account)
        now += timedelta(hours=23, minutes=59)
        assert (await post(api, account)).json() == first.json()
        now += timedelta(minutes=1)
        later = await post(api, account)
        assert later.json()["id"] != first.json()["id"]
        assert (await post(api, account)).json() == later.json()


async def test_old_records_are_deleted(api, account, connection, postgres_dsn):
    await post(api, account)
    postgres = Postgres(postgres_dsn, max_connections=1, command_timeout_s=10)
    await delete_old_records(postgres, utc_now)
    assert await connection.fetchval("SELECT count(*) FROM idempotency_records") == 1
    await delete_old_records(postgres, lambda: utc_now() + timedelta(hours=25))
    assert await connection.fetchval("SELECT count(*) FROM idempotency_records") == 0
    await postgres.close()


async def test_no_secret_and_no_key_stands_in_the_table(api, connection):
    answer = await api.client.post("/v1/admin/users", headers=ADMIN | KEY, json={"email": "ada@example.com"})
    secret = answer.json()["api_key"]
    again = await api.client.post("/v1/admin/users", headers=ADMIN | KEY, json={"email": "ada@example.com"})
    assert again.json()["api_key"] == secret
    [row] = await connection.fetch("SELECT * FROM idempotency_records")
    stored = b"".join(value for value in row.values() if isinstance(value, bytes))
    for word in (secret, secret.rpartition("_")[2], "ada@example.com", KEY["Idempotency-Key"]):
        assert word.encode() not in stored


async def test_a_newer_secret_key_reads_older_answers_and_a_foreign_one_says_that_it_cannot(open_api):
    async with open_api(seal_keys=(b"1" * 32,)) as api:
        account = await api.create_account()
        first = await post(api, account)
    async with open_api(seal_keys=(b"2" * 32, b"1" * 32)) as api:
        assert (await post(api, account)).json() == first.json()
    async with open_api(seal_keys=(b"3" * 32,)) as api:
        problem_of(await post(api, account), 409, "answer_unreadable")
        assert await count_codes(api, account) == 1


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_an_export_is_whole_each_time_it_is_asked_for(open_api, clickhouse_url, scans, form):
    async with open_api(clickhouse_url=clickhouse_url) as api:
        account = await api.create_account()
        [scan] = await scans.add(account, None, "2026-11-10T10:00:00Z")
        for _ in range(2):
            answer = await api.client.post(
                f"/v1/query?format={form}", headers=account.headers | KEY, json=QUESTION | {"select": ["rows"]}
            )
            assert (answer.status_code, answer.text.count(str(scan))) == (200, 1)
            assert "idempotency-replayed" not in answer.headers


async def test_a_question_holds_neither_a_connection_nor_the_wallet_while_it_is_answered(
    open_api, clickhouse_url, monkeypatch, scans
):
    """The only connection there is serves others meanwhile; the same question is told that it runs."""
    slow = Statement("SELECT count() AS count, 'so slow' AS mark, sleep(1.5) AS slept", {})
    monkeypatch.setattr("control_api.analytics.query_service.page_statement", lambda *_: slow)
    async with open_api(clickhouse_url=clickhouse_url, postgres_connections=1) as api:
        account = await api.create_account()
        price = {"action": "api.query", "credits": 2}
        assert (await api.client.post("/v1/admin/credits/prices", headers=ADMIN, json=price)).status_code == 201
        body = {"workspace_id": account.workspace_id, "amount": 10, "reason": "test"}
        await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)

        async def ask():
            return await api.client.post("/v1/query", headers=account.headers | KEY, json=QUESTION)

        first = asyncio.create_task(ask())
        while not any("so slow" in query for (query,) in await scans.run("SELECT query FROM system.processes")):
            assert not first.done()
            await asyncio.sleep(0.01)
        assert (await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)).json()["balance"] == 20
        problem_of(await ask(), 409, "idempotency_key_in_use")
        assert not first.done()
        assert (await first).status_code == 200
        assert (await ask()).headers["idempotency-replayed"] == "true"
        assert (await api.client.get("/v1/credits", headers=account.headers)).json()["balance"] == 18


@pytest.mark.parametrize("price", [0, 1])
async def test_who_waits_for_a_hash_holds_no_connection(open_api, monkeypatch, price):
    """Two codes with passwords, each with a key, while nothing is hashed; a third request has the one connection."""
    hashing, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_self, passwords):
        hashing.set()
        await go_on.wait()
        return passwords

    monkeypatch.setattr("control_api.qr_codes.password.PasswordMill.hash_many", wait)
    async with open_api(postgres_connections=1) as api:
        account = await api.create_account()
        await api.client.post(
            "/v1/admin/credits/prices", headers=ADMIN, json={"action": "qr_code.created", "credits": price}
        )
        body = {"workspace_id": account.workspace_id, "amount": 10, "reason": "test"}
        await api.client.post("/v1/admin/credits/add", headers=ADMIN, json=body)
        making = [asyncio.create_task(post(api, account, {"Idempotency-Key": name})) for name in "ab"]
        await hashing.wait()
        assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*making)] == [201, 201]


async def test_requests_with_keys_leave_connections_to_the_others(open_api, connection, database):
    """Of two, while three of them wait for a row."""
    async with open_api(postgres_connections=2, postgres_timeout_s=20) as api:
        account = await api.create_account()
        domain = await api.create_verified_domain(account, "qr.example.org")
        async with connection.transaction():
            await connection.execute("SELECT FROM domains WHERE id = $1 FOR UPDATE", domain["id"])
            making = [
                asyncio.create_task(post(api, account, {"Idempotency-Key": name}, domain="qr.example.org"))
                for name in "abc"
            ]
            while not await database.fetchval(WAITING):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # the others would be there by now
            assert (await api.client.get("/v1/qr-codes", headers=account.headers)).status_code == 200
            assert await database.fetchval(WAITING) == 1
        assert [answer.status_code for answer in await asyncio.gather(*making)] == [201] * 3


NUMBERS = itertools.count()
STEPS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["Menu", "Card"])), min_size=2, max_size=8)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_concurrent_repeats_have_one_effect_and_one_answer(api, account, steps):
    number = next(NUMBERS)

    async def send(key, name):
        while True:
            answer = await post(api, account, {"Idempotency-Key": f"{key}-{number}"}, name=name)
            if answer.status_code != 409:
                return key, name, answer
            await asyncio.sleep(0.01)

    before = await count_codes(api, account)
    answers = await asyncio.gather(*(send(*step) for step in steps))
    assert await count_codes(api, account) == before + len({key for key, _ in steps})
    for key in {key for key, _ in steps}:
        done = [(name, answer) for each, name, answer in answers if each == key and answer.status_code == 201]
        refused = [(name, answer) for each, name, answer in answers if each == key and answer.status_code == 422]
        assert len({answer.content for _, answer in done}) == 1
        assert sum("idempotency-replayed" not in answer.headers for _, answer in done) == 1
        assert len({name for name, _ in done}) == 1
        assert all(answer.json()["code"] == "idempotency_key_reused" for _, answer in refused)
        assert len(done) + len(refused) == sum(each == key for each, _ in steps)


@pytest.mark.parametrize(
    "trigger",
    [
        "CREATE TRIGGER fail BEFORE INSERT ON idempotency_records FOR EACH ROW EXECUTE FUNCTION fail()",
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON qr_codes DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION fail()",
    ],
    ids=["record", "commit"],
)
async def test_neither_the_effect_nor_its_record_is_there_without_the_other(api, account, connection, trigger):
    """The record cannot be written, or the effect's transaction fails at its very end."""
    await connection.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no more'; END $$"
    )
    await connection.execute(trigger)
    with capture_logs():  # of a fault that is meant
        assert (await post(api, account)).status_code >= 500
    assert await count_codes(api, account) == 0
    assert await connection.fetchval("SELECT count(*) FROM idempotency_records") == 0
    await connection.execute("DROP FUNCTION fail CASCADE")
    answer = await post(api, account)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    assert await count_codes(api, account) == 1


async def test_postgres_cut_in_the_middle_leaves_all_or_nothing(open_api, postgres_dsn):
    async with SilentProxy(postgres_dsn) as proxy, open_api(postgres_dsn=proxy.url) as api:
        account = await api.create_account()
        for number in range(6):
            sending = asyncio.create_task(post(api, account, {"Idempotency-Key": f"key-{number}"}))
            await asyncio.sleep(0.004 * number)
            proxy.cut()
            answer = await sending
            assert answer.status_code in (201, 503)
            again = await post(api, account, {"Idempotency-Key": f"key-{number}"})
            while again.status_code in (409, 503):  # the server has not noticed the cut yet
                await asyncio.sleep(0.05)
                again = await post(api, account, {"Idempotency-Key": f"key-{number}"})
            if answer.status_code == 201:
                assert again.json() == answer.json()
        assert await count_codes(api, account) == 6


@pytest.mark.parametrize("after_s", [0.004, 0.012])
async def test_a_process_killed_in_the_middle_leaves_the_effect_with_its_record_or_neither(
    postgres_dsn, redis_url, tmp_path, connection, after_s
):
    api = ApiProcess(postgres_dsn, redis_url, tmp_path, SCANHOP_ADMIN_KEY=ADMIN_KEY)
    api.start()
    try:
        async with httpx.AsyncClient(base_url=api.url, timeout=20) as client:
            wanted = {"email": "ada@example.com"}
            account = (await client.post("/v1/admin/users", headers=ADMIN, json=wanted)).json()
            headers = {"X-API-Key": account["api_key"]}
            requests = [
                asyncio.create_task(
                    client.post("/v1/qr-codes", headers=headers | {"Idempotency-Key": f"{n}"}, json=BODY)
                )
                for n in range(12)
            ]
            await asyncio.sleep(after_s)
            api.kill()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            [(codes, records)] = await connection.fetch(
                "SELECT (SELECT count(*) FROM qr_codes), (SELECT count(*) FROM idempotency_records)"
            )
            assert codes == records
        api.start()
        async with httpx.AsyncClient(base_url=api.url, timeout=20, headers=headers) as client:
            for number, answer in enumerate(answers):
                again = await client.post("/v1/qr-codes", headers={"Idempotency-Key": f"{number}"}, json=BODY)
                assert again.status_code == 201
                if isinstance(answer, httpx.Response):
                    assert again.json() == answer.json()
        assert await connection.fetchval("SELECT count(*) FROM qr_codes") == 12
    finally:
        api.kill()
