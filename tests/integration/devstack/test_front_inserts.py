"""Inserts through clickhouse-connect: encodings, formats, blocks, tokens, and a kill in the middle."""

import http.client
import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import lz4.frame
import pyarrow
import pytest
from clickhouse_connect.driver import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from scanhop.devstack import EmbeddedStack

MILLION = 1_000_000
KILLED_ROWS = 300_000
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
# Blocks of fixed size, each committed by itself: what a kill can tear apart.
SMALL_BLOCKS = {
    "max_insert_block_size": 20_000,
    "min_insert_block_size_rows": 20_000,
    "min_insert_block_size_bytes": 0,
}


def _ids(client: Client, table: str) -> tuple[int, int, int]:
    return tuple(client.query(f"SELECT count(), uniqExact(id), sum(id) FROM {table}").result_rows[0])


def _sum(count: int) -> int:
    return count * (count - 1) // 2


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", False])
async def test_insert_of_many_blocks_arrives_whole_in_every_encoding(
    front_url: str, client: Client, table: str, encoding: str | bool
) -> None:
    columns = [list(range(150_000)), [f"name {n}" for n in range(150_000)]]
    with clickhouse_connect.get_client(dsn=front_url, compress=encoding) as sender:
        summary = sender.insert(table, columns, column_names=["id", "name"], column_oriented=True)
    assert summary.written_rows == 150_000
    columns[0] = list(range(150_000, 300_000))
    async with await clickhouse_connect.get_async_client(dsn=front_url, compress=encoding) as async_sender:
        await async_sender.insert(table, columns, column_names=["id", "name"], column_oriented=True)
    assert _ids(client, table) == (300_000, 300_000, _sum(300_000))
    assert client.command(f"SELECT countIf(name != concat('name ', toString(id % 150000))) FROM {table}") == 0


async def test_million_rows_take_seconds(async_client: AsyncClient, client: Client, front_url: str) -> None:
    client.command(
        "CREATE TABLE million (id UInt64, at DateTime64(3, 'UTC'), code LowCardinality(String), agent String, "
        "score Nullable(Int32), tags Map(String, UInt64)) ENGINE = MergeTree ORDER BY (code, at)"
    )
    columns = [
        list(range(MILLION)),
        [AT] * MILLION,
        ["abc", "def"] * (MILLION // 2),
        [f"agent {n % 1000}" for n in range(MILLION)],
        [None, 5] * (MILLION // 2),
        [{"a": 1}] * MILLION,
    ]
    started = time.monotonic()
    await async_client.insert(
        "million",
        columns,
        ["id", "at", "code", "agent", "score", "tags"],
        column_oriented=True,
        settings={"async_insert": 0},
    )
    taken = time.monotonic() - started
    question = (
        "SELECT count(), uniqExact(id), uniqExact(agent), countIf(score = 5), min(at), sum(tags['a']) FROM million"
    )
    found = client.query(question, query_tz="UTC", tz_mode="aware").result_rows
    client.command("DROP TABLE million")
    assert found == [(MILLION, MILLION, 1000, MILLION // 2, AT, MILLION)]
    assert taken < 15


@pytest.mark.parametrize(
    ("fmt", "block"),
    [
        ("CSV", b'1,"a"\n2,b\n'),
        ("TSV", "1\ta\n2\tb\n"),
        ("JSONEachRow", b'{"id":1,"name":"a"}\n{"id":2,"name":"b"}'),
        ("RowBinary", b"\x01\0\0\0\0\0\0\0\x01a\x02\0\0\0\0\0\0\0\x01b"),
        ("Values", "(1, 'a'), (2, lower('B'));"),
    ],
)
def test_raw_insert_takes_other_formats(client: Client, table: str, fmt: str, block: str | bytes) -> None:
    client.raw_insert(table, ["id", "name"], block, fmt=fmt)
    assert client.query(f"SELECT * FROM {table} ORDER BY id").result_rows == [(1, "a"), (2, "b")]


def test_raw_insert_takes_files_generators_and_compressed_bytes(client: Client, table: str) -> None:
    client.raw_insert(table, ["id", "name"], io.BytesIO(b"1,a\n"), fmt="CSV")
    client.raw_insert(table, ["id", "name"], (part for part in (b"2,", b"b\n")), fmt="CSV")
    frames = lz4.frame.compress(b"3,c\n") + lz4.frame.compress(b"4,d\n")
    client.raw_insert(table, ["id", "name"], frames, fmt="CSV", compression="lz4")
    client.insert_arrow(table, pyarrow.table({"id": pyarrow.array([5], pyarrow.uint64()), "name": ["e"]}))
    assert client.query(f"SELECT groupArray(name) FROM (SELECT name FROM {table} ORDER BY id)").result_rows == [
        (["a", "b", "c", "d", "e"],)
    ]


def test_values_insert_takes_parameters(client: Client, table: str) -> None:
    client.command(
        f"INSERT INTO {table} VALUES ({{id:UInt64}}, {{name:String}})", parameters={"id": 7, "name": "it's\t"}
    )
    assert client.query(f"SELECT * FROM {table}").result_rows == [(7, "it's\t")]


def test_text_after_the_values_is_never_a_statement(client: Client, table: str) -> None:
    client.command(f"INSERT INTO {table} VALUES (1, 'a'); DROP TABLE {table}")
    assert client.command(f"SELECT count() FROM {table}") == 1


def test_broken_data_is_refused_and_nothing_is_stored(client: Client, table: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        client.raw_insert(table, ["id", "name"], b"\x02\x03\x02id\x06UInt64\x01", fmt="Native")
    assert refused.value.code == 33
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_insert_cut_off_in_transit_stores_nothing(front_url: str, client: Client, table: str) -> None:
    address = urlsplit(front_url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(f"INSERT INTO {table} FORMAT CSV\n1,a\n".encode())
    connection.close()
    time.sleep(0.2)
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_body_of_several_blocks_is_squashed_into_one_part(client: Client, table: str) -> None:
    client.insert(table, [list(range(50_000)), ["x"] * 50_000], column_names=["id", "name"], column_oriented=True)
    question = f"SELECT count(), sum(rows) FROM system.parts WHERE table = '{table}' AND active"
    assert client.query(question).result_rows == [(1, 50_000)]


def test_block_settings_take_effect(client: Client, table: str) -> None:
    rows = b"".join(b"%d,x\n" % number for number in range(100_000))
    client.raw_insert(table, ["id", "name"], rows, fmt="CSV", settings=SMALL_BLOCKS)
    # All parts that ever were: merges may already have made fewer of them.
    question = f"SELECT max(max_block_number) FROM system.parts WHERE table = '{table}'"
    assert client.command(question) >= 5


class Rollup:
    """A source table, a materialised view and its target."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.client = clickhouse_connect.get_client(dsn=url)
        window = "SETTINGS non_replicated_deduplication_window = 10000"
        # The pause, one per block, leaves time for a kill between two of them.
        pause = "sleep(0.05) = 0"
        for statement in (
            f"CREATE TABLE source (id UInt64, code String) ENGINE = MergeTree ORDER BY id {window}",
            "CREATE TABLE target (code String, scans SimpleAggregateFunction(sum, UInt64)) "
            f"ENGINE = AggregatingMergeTree ORDER BY code {window}",
            "CREATE MATERIALIZED VIEW rollup TO target AS "
            f"SELECT code, count() AS scans FROM source WHERE {pause} GROUP BY code",
        ):
            self.client.command(statement)

    def insert(self, token: str, rows: int, settings: dict[str, int] | None = None) -> None:
        lines = b"".join(b"%d,code %d\n" % (number, number % 100) for number in range(rows))
        with clickhouse_connect.get_client(dsn=self._url) as sender:
            sender.raw_insert(
                "source",
                ["id", "code"],
                lines,
                fmt="CSV",
                settings={
                    "insert_deduplication_token": token,
                    "async_insert": 0,
                    "deduplicate_blocks_in_dependent_materialized_views": 1,
                    **(settings or {}),
                },
            )

    def counts(self) -> tuple[int, int]:
        """Rows in the source, scans in the target."""
        return tuple(
            self.client.query("SELECT (SELECT count() FROM source), (SELECT sum(scans) FROM target)").result_rows[0]
        )


@pytest.fixture
def rollup(front_url: str) -> Iterator[Rollup]:
    made = Rollup(front_url)
    yield made
    for statement in ("DROP TABLE rollup", "DROP TABLE source", "DROP TABLE target"):
        made.client.command(statement)
    made.client.close()


@pytest.mark.parametrize("settings", [None, SMALL_BLOCKS])
def test_insert_with_the_same_token_counts_once_in_source_and_view(
    rollup: Rollup, settings: dict[str, int] | None
) -> None:
    for token in ("first", "first", "second", "first", "second"):
        rollup.insert(token, 100_000, settings)
    assert rollup.counts() == (200_000, 200_000)


def test_native_body_of_several_blocks_with_the_same_token_counts_once(rollup: Rollup, client: Client) -> None:
    columns = [list(range(700_000)), ["x"] * 700_000]
    settings = {"insert_deduplication_token": "native", "async_insert": 0, "min_insert_block_size_bytes": 0}
    for block_size in (1_000_000, 1_000_000):
        client.insert(
            "source",
            columns,
            column_names=["id", "code"],
            column_oriented=True,
            settings=settings | {"min_insert_block_size_rows": block_size},
        )
    assert rollup.counts() == (700_000, 700_000)


def test_insert_killed_in_the_middle_and_repeated_counts_once(directory: Path) -> None:
    with EmbeddedStack(directory, postgres=False, redis=False) as stack:
        assert stack.addresses.clickhouse_url is not None
        rollup = Rollup(stack.addresses.clickhouse_url)
        outcome: list[str] = []
        thread = threading.Thread(target=_insert_and_note, args=(rollup, outcome))
        thread.start()
        while rollup.counts()[0] == 0 and thread.is_alive():
            time.sleep(0.01)
        os.kill(stack.supervisor.children[0].pid, signal.SIGKILL)
        thread.join()
        _revive(stack)
        assert outcome == ["lost"]
        assert 0 < rollup.counts()[0] < KILLED_ROWS
        for _ in range(2):
            rollup.insert("token", KILLED_ROWS, SMALL_BLOCKS)
            assert rollup.counts() == (KILLED_ROWS, KILLED_ROWS)
        rollup.client.close()


def _insert_and_note(rollup: Rollup, outcome: list[str]) -> None:
    try:
        rollup.insert("token", KILLED_ROWS, SMALL_BLOCKS)
    except ClickHouseError:
        outcome.append("lost")
    else:
        outcome.append("stored")


def _revive(stack: EmbeddedStack) -> None:
    dead = stack.supervisor.children[0].pid
    while stack.supervisor.children[0].pid == dead:
        stack.supervisor.revive()
    stack.supervisor.children[0].wait_ready()
