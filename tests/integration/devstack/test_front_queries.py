"""Queries through clickhouse-connect's own clients, sync and async, against the front."""

import asyncio
import http.client
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from clickhouse_connect.driver.external import ExternalData

HOSTILE = "tab\t quote' \\ \n; DROP TABLE x -- é"
ENCODINGS = ["lz4", "zstd", "gzip", "deflate", False]


def _ask(
    front_url: str, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Without a client library."""
    address = urlsplit(front_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_bound_parameters_arrive_as_given(client: Client) -> None:
    given = {
        "s": HOSTILE,
        "list": ["it's", "\\"],
        "none": None,
        "at": datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        "n": -3,
    }
    query = "SELECT {s:String}, {list:Array(String)}, {none:Nullable(String)}, {at:DateTime64(3, 'UTC')}, {n:Int64}"
    row = client.query(query, parameters=given, query_tz="UTC", tz_mode="aware").result_rows[0]
    assert row == (HOSTILE, ["it's", "\\"], None, given["at"], -3)


async def test_parameters_too_long_for_a_url_arrive_in_a_form(client: Client, async_client: AsyncClient) -> None:
    given = {"s": HOSTILE * 5000}
    query = "SELECT {s:String}"
    assert client.query(query, parameters=given).result_rows == [(HOSTILE * 5000,)]
    assert (await async_client.query(query, parameters=given)).result_rows == [(HOSTILE * 5000,)]


def test_settings_hold_for_their_statement_alone(client: Client) -> None:
    read = "SELECT getSetting('max_block_size')"
    default = client.command(read)
    assert client.command(read, settings={"max_block_size": 77}) == 77
    assert client.query(read, settings={"max_block_size": 78}).result_rows == [(78,)]
    assert client.command(read) == default


def test_read_only_statement_leaves_nothing_behind(client: Client, table: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.command(f"INSERT INTO {table} VALUES (1, 'x')", settings={"readonly": 1})
    assert refused.value.code == 164
    client.command(f"INSERT INTO {table} VALUES (1, 'x')")


@pytest.mark.parametrize(
    "name", ["nosuch_setting", "max_threads = 1, readonly", "max_threads;", "a'b", "", "max_threads -- "]
)
def test_unknown_or_hostile_setting_is_refused(front_url: str, name: str) -> None:
    status, headers, _ = _ask(front_url, "POST", "/?" + urlencode({"query": "SELECT 1", name: "1"}))
    assert (status, headers["x-clickhouse-exception-code"]) == (404, "115")


def test_hostile_setting_value_is_only_a_value(client: Client) -> None:
    value = "x', readonly = '1"
    question = "SELECT getSetting('log_comment')"
    assert client.query(question, settings={"log_comment": value}).result_rows == [(value,)]


def test_database_comes_from_the_address_or_the_client(client: Client, front_url: str) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS `an``other`")
    try:
        with clickhouse_connect.get_client(dsn=front_url, database="an`other") as other:
            assert other.command("SELECT currentDatabase()") == "an`other"
        assert client.command("SELECT currentDatabase()") == "scanhop"
    finally:
        client.command("DROP DATABASE `an``other`")


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("SELECT * FROM no_such_table", 60, 404),
        ("SELECT * FROM no_such_database.t", 81, 404),
        ("SELECT no_such_column", 47, 404),
        ("SELEC 1", 62, 400),
        ("SELECT 1; SELECT 2", 62, 400),
        ("SELECT toInt8('x')", 6, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT 1 FORMAT NoSuchFormat", 73, 404),
        ("SELECT {missing:String}", 456, 500),
    ],
)
async def test_errors_carry_their_code(
    client: Client, async_client: AsyncClient, front_url: str, query: str, code: int, status: int
) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.command(query)
    assert refused.value.code == code
    with pytest.raises(DatabaseError) as refused:
        await async_client.command(query)
    assert refused.value.code == code
    answered, headers, body = _ask(front_url, "POST", "/", body=query.encode())
    assert (answered, headers["x-clickhouse-exception-code"]) == (status, str(code))
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_wrong_database_is_named(front_url: str) -> None:
    with pytest.raises(DatabaseError, match="no_such_database") as refused:
        clickhouse_connect.get_client(dsn=front_url, database="no_such_database")
    assert refused.value.code == 81


def test_ping_and_root_answer(client: Client, front_url: str) -> None:
    assert client.ping()
    assert _ask(front_url, "GET", "/ping")[::2] == (200, b"Ok.\n")
    assert _ask(front_url, "GET", "/")[::2] == (200, b"Ok.\n")
    assert _ask(front_url, "GET", "/elsewhere?query=SELECT+1")[0] == 404


def test_query_may_be_in_url_or_body_or_both(front_url: str) -> None:
    assert _ask(front_url, "GET", "/?query=SELECT+1")[2] == b"1\n"
    assert _ask(front_url, "POST", "/", body=b"SELECT 2")[2] == b"2\n"
    assert _ask(front_url, "POST", "/?query=SELECT", body=b"3")[2] == b"3\n"


def test_get_cannot_write(front_url: str, table: str) -> None:
    query = urlencode({"query": f"INSERT INTO {table} SELECT 1, 'x'"})
    assert _ask(front_url, "GET", f"/?{query}")[1]["x-clickhouse-exception-code"] == "164"


def test_answers_carry_the_headers_that_clients_read(front_url: str) -> None:
    _, headers, _ = _ask(front_url, "POST", "/?query_id=mine", body=b"SELECT 1 FORMAT JSON")
    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-format"] == "JSON"
    assert headers["x-clickhouse-timezone"] == "UTC"
    assert int(json.loads(headers["x-clickhouse-summary"])["read_rows"]) == 1


def test_formats_and_commands(client: Client) -> None:
    assert json.loads(client.raw_query("SELECT 1 AS a", fmt="JSON"))["data"] == [{"a": 1}]
    assert client.query("SELECT 1 AS a LIMIT 0").column_names == ("a",)
    assert client.query("SELECT 1 AS a WHERE 0").result_rows == []
    assert client.command("EXISTS TABLE no_such_table") == 0
    assert client.query("SHOW DATABASES LIKE 'scanhop'").result_rows == [("scanhop",)]
    assert client.query_arrow("SELECT number FROM numbers(3)").num_rows == 3


def test_external_table_is_seen_by_its_query_alone(client: Client) -> None:
    data = ExternalData(file_name="ext.csv", data=b"1,x\n2,y\n", fmt="CSV", structure=["a UInt8", "b String"])
    assert client.query("SELECT b FROM ext WHERE a > 1", external_data=data).result_rows == [("y",)]
    with pytest.raises(DatabaseError):
        client.query("SELECT b FROM ext")


@pytest.mark.parametrize("statement", ["SET max_threads = 1", "USE system", "CREATE TEMPORARY TABLE t (a Int8)"])
def test_what_would_need_a_session_is_refused(client: Client, statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.command(statement)
    assert refused.value.code == 48


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_results_arrive_whole_in_every_encoding(front_url: str, encoding: str | bool) -> None:
    query = "SELECT number, toString(number) FROM numbers(200000)"
    with clickhouse_connect.get_client(dsn=front_url, compress=encoding) as client:
        rows = client.query(query).result_columns
    async with await clickhouse_connect.get_async_client(dsn=front_url, compress=encoding) as async_client:
        async_rows = (await async_client.query(query)).result_columns
    assert list(rows[0]) == list(async_rows[0]) == list(range(200_000))
    assert rows[1][199_999] == async_rows[1][199_999] == "199999"


def test_large_result_is_streamed(client: Client) -> None:
    query = "SELECT number FROM numbers(20000000)"
    started = time.monotonic()
    with client.query_column_block_stream(query) as stream:
        first = len(next(stream)[0])
        first_after = time.monotonic() - started
        total = first + sum(len(block[0]) for block in stream)
    assert total == 20_000_000
    assert first < total / 50
    assert first_after < 1


async def test_error_in_mid_stream_is_an_error(client: Client, async_client: AsyncClient) -> None:
    query = "SELECT throwIf(number = 3000000), repeat('x', 50) FROM numbers(5000000)"
    with pytest.raises(OperationalError) as failed, client.query_column_block_stream(query) as stream:
        for _ in stream:
            pass
    assert failed.value.code == 395
    with pytest.raises(OperationalError) as failed:  # noqa: PT012
        async with await async_client.query_column_block_stream(query) as async_stream:
            async for _ in async_stream:
                pass
    assert failed.value.code == 395
    with pytest.raises(DatabaseError) as refused:
        client.query(query)
    assert refused.value.code == 395


async def test_queries_run_in_parallel_and_are_not_mixed_up(async_client: AsyncClient) -> None:
    started = time.monotonic()
    answers = await asyncio.gather(*(async_client.query(f"SELECT {n}, sleep(0.5)") for n in range(12)))
    assert time.monotonic() - started < 3
    assert [answer.result_rows[0][0] for answer in answers] == list(range(12))


async def test_open_stream_does_not_disturb_other_queries(async_client: AsyncClient) -> None:
    async with await async_client.query_row_block_stream("SELECT number FROM numbers(5000000)") as stream:
        rows = 0
        async for block in stream:
            rows += len(block)
            if rows < 400_000:
                assert (await async_client.query("SELECT 42")).result_rows == [(42,)]
    assert rows == 5_000_000


async def test_read_of_a_client_that_went_away_is_cancelled(async_client: AsyncClient) -> None:
    query = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(async_client.query(query), 0.3)
    for _ in range(50):
        running = await async_client.query(
            "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%'"
        )
        if running.result_rows == [(1,)]:  # the question itself
            return
        await asyncio.sleep(0.1)
    pytest.fail("the query still runs")


async def test_write_of_a_client_that_went_away_is_finished(async_client: AsyncClient, table: str) -> None:
    pauses = "SELECT number, toString(sleepEachRow(0.2)) FROM numbers(4) SETTINGS max_block_size = 1"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(async_client.command(f"INSERT INTO {table} {pauses}"), 0.2)
    for _ in range(50):
        if await async_client.command(f"SELECT count() FROM {table}") == 4:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the insert was not finished")


async def test_small_query_takes_a_few_milliseconds(async_client: AsyncClient) -> None:
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        await async_client.query("SELECT 1")
        taken.append(time.perf_counter() - started)
    assert sorted(taken)[len(taken) // 2] < 0.025
