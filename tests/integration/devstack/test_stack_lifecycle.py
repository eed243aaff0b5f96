"""Start, stop, kill and restart of the stack and each engine."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import clickhouse_connect
import psycopg
import pytest
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError

from scanhop.devstack import EmbeddedStack, StackAddresses, StackFailed

ENGINES = ["postgres", "redis", "clickhouse"]
START_AND_WAIT = """
import sys, time
from pathlib import Path
from scanhop.devstack import EmbeddedStack
stack = EmbeddedStack(Path(sys.argv[1]))
stack.start()
print(stack.addresses.postgres_dsn, flush=True)
time.sleep(60)
"""
START_AND_STOP = """
import sys
from pathlib import Path
from scanhop.devstack import EmbeddedStack
for _ in range(2):
    with EmbeddedStack(Path(sys.argv[1])):
        pass
print("done")
"""


def _write(addresses: StackAddresses) -> None:
    assert addresses.postgres_dsn
    assert addresses.redis_url
    with psycopg.connect(addresses.postgres_dsn) as postgres:
        postgres.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        postgres.execute("INSERT INTO kept VALUES (1)")
    with redis.Redis.from_url(addresses.redis_url) as store:
        store.incr("kept")
    with clickhouse_connect.get_client(dsn=addresses.clickhouse_url) as clickhouse:
        clickhouse.command("CREATE TABLE IF NOT EXISTS kept (n UInt8) ENGINE = MergeTree ORDER BY n")
        clickhouse.command("INSERT INTO kept VALUES (1)")


def _read(addresses: StackAddresses) -> tuple[int, int, int]:
    assert addresses.postgres_dsn
    assert addresses.redis_url
    with psycopg.connect(addresses.postgres_dsn) as postgres:
        rows = postgres.execute("SELECT count(*) FROM kept").fetchone()
    with redis.Redis.from_url(addresses.redis_url) as store:
        value = store.get("kept")
    with clickhouse_connect.get_client(dsn=addresses.clickhouse_url) as clickhouse:
        count = clickhouse.command("SELECT count() FROM kept")
    assert rows is not None
    return rows[0], int(value or 0), int(count)


def test_data_survives_a_restart_on_other_ports(directory: Path) -> None:
    with EmbeddedStack(directory) as first:
        _write(first.addresses)
    with EmbeddedStack(directory) as second:
        assert set(astuple(second.addresses)).isdisjoint(astuple(first.addresses))
        assert _read(second.addresses) == (1, 1, 1)
        _write(second.addresses)
        assert _read(second.addresses) == (2, 2, 2)


def test_stack_starts_at_once_after_its_owner_was_killed(directory: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    dsn = owner.stdout.readline().strip()
    with psycopg.connect(dsn) as postgres:
        postgres.execute("CREATE TABLE committed (n int)")
    owner.kill()
    owner.wait()
    owner.stdout.close()
    started = time.monotonic()
    with EmbeddedStack(directory) as stack:
        assert time.monotonic() - started < 15
        assert stack.addresses.postgres_dsn is not None
        with psycopg.connect(stack.addresses.postgres_dsn) as postgres:
            assert postgres.execute("SELECT count(*) FROM committed").fetchone() == (0,)


def test_engines_that_outlived_their_owner_are_ended(directory: Path) -> None:
    abandoned = EmbeddedStack(directory)
    specs = abandoned.prepare()
    old = [subprocess.Popen(spec.argv, env=spec.env, stderr=subprocess.DEVNULL) for spec in specs]
    deadline = time.monotonic() + 20
    while not all(spec.is_ready is not None and spec.is_ready() for spec in specs) and time.monotonic() < deadline:
        time.sleep(0.05)
    _write(abandoned.addresses)
    abandoned.stop()  # it started none of them, and only gives the directory free
    reaper = threading.Thread(target=lambda: [process.wait() for process in old])
    reaper.start()
    with EmbeddedStack(directory) as stack:
        reaper.join(5)
        assert all(process.poll() is not None for process in old)
        assert _read(stack.addresses) == (1, 1, 1)


def test_leftovers_whose_pids_belong_to_others_do_not_stop_a_start(directory: Path) -> None:
    with EmbeddedStack(directory):
        pass
    us = f"{os.getpid()}\n"
    (directory / "redis" / "redis.pid").write_text(us)
    (directory / "clickhouse" / "front.pid").write_text(us)
    (directory / "redis" / "temp-1.rdb").write_bytes(b"REDIS")
    lock = directory / "postgres" / "postmaster.pid"
    lock.write_text(us + f"{directory}/postgres\n0\n5432\n\n127.0.0.1\n0 0\nready\n")
    os.chown(lock, (directory / "postgres").stat().st_uid, -1)
    (directory / "postgres.new").mkdir()
    with EmbeddedStack(directory):
        assert not (directory / "redis" / "temp-1.rdb").exists()


def test_engine_that_was_killed_is_revived_on_its_port_with_its_data(directory: Path) -> None:
    with EmbeddedStack(directory) as stack:
        _write(stack.addresses)
        dead = [child.pid for child in stack.supervisor.children]
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not _all_ready(stack) and time.monotonic() < deadline:
            stack.supervisor.revive()
            time.sleep(0.05)
        assert _read(stack.addresses) == (1, 1, 1)


def _all_ready(stack: EmbeddedStack) -> bool:
    running = [child for child in stack.supervisor.children if child.exit_code() is None]
    return len(running) == len(ENGINES) and all(child.is_ready() for child in running)


def test_stacks_run_side_by_side(embedded: EmbeddedStack, directory: Path) -> None:
    with EmbeddedStack(directory, clickhouse=False) as other:
        assert other.addresses.clickhouse_url is None
        assert embedded.addresses.postgres_dsn != other.addresses.postgres_dsn
        for stack in (embedded, other):
            assert stack.addresses.postgres_dsn is not None
            with psycopg.connect(stack.addresses.postgres_dsn) as postgres:
                database = postgres.execute("SELECT current_database(), current_user").fetchone()
            assert database == ("scanhop", "scanhop")


def test_directory_in_use_is_refused_and_its_engines_are_left_alone(embedded: EmbeddedStack) -> None:
    pids = [child.pid for child in embedded.supervisor.children]
    directory = Path(embedded.supervisor.children[0].spec.log_path or "").parents[1]
    with pytest.raises(StackFailed, match="in use"):
        EmbeddedStack(directory).start()
    assert [child.pid for child in embedded.supervisor.children if child.exit_code() is None] == pids


def test_engines_that_are_not_wanted_are_not_started(directory: Path) -> None:
    stack = EmbeddedStack(directory, postgres=False, clickhouse=False)
    assert (stack.addresses.postgres_dsn, stack.addresses.clickhouse_url) == (None, None)
    assert [spec.name for spec in stack.prepare()] == ["redis"]
    stack.stop()


def test_stop_ends_every_process_cleanly_within_seconds(directory: Path) -> None:
    stack = EmbeddedStack(directory)
    stack.start()
    children = stack.supervisor.children
    with clickhouse_connect.get_client(dsn=stack.addresses.clickhouse_url):  # an idle connection stays open
        started = time.monotonic()
        stack.stop()
        assert time.monotonic() - started < 10
    assert [child.exit_code() for child in children] == [0, 0, 0]
    assert not (directory / "clickhouse" / "front.pid").exists()
    assert not (directory / "postgres" / "postmaster.pid").exists()


def test_stop_does_not_wait_for_a_long_query(directory: Path) -> None:
    stack = EmbeddedStack(directory, postgres=False, redis=False)
    stack.start()
    query = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    asking = threading.Thread(target=_ask_and_fail, args=(stack.addresses.clickhouse_url, query))
    asking.start()
    time.sleep(0.5)
    child = stack.supervisor.children[0]
    started = time.monotonic()
    stack.stop()
    assert time.monotonic() - started < 8
    assert child.exit_code() == 0
    asking.join()


def _ask_and_fail(url: str | None, query: str) -> None:
    with clickhouse_connect.get_client(dsn=url) as client, pytest.raises(ClickHouseError):
        client.query(query)


def test_cluster_of_another_version_is_refused(directory: Path) -> None:
    (directory / "postgres").mkdir(parents=True)
    (directory / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StackFailed, match="Postgres 12"):
        EmbeddedStack(directory, redis=False, clickhouse=False).start()


def test_postgres_keeps_what_was_committed(embedded: EmbeddedStack) -> None:
    assert embedded.addresses.postgres_dsn is not None
    with psycopg.connect(embedded.addresses.postgres_dsn) as postgres:
        settings = {
            name: postgres.execute(f"SHOW {name}").fetchone() for name in ("fsync", "listen_addresses", "timezone")
        }
    assert settings == {"fsync": ("on",), "listen_addresses": ("127.0.0.1",), "timezone": ("UTC",)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be refused it")
def test_root_runs_postgres_as_another_user_below_a_closed_folder(directory: Path) -> None:
    directory.parent.chmod(0o700)
    with EmbeddedStack(directory, redis=False, clickhouse=False) as stack:
        pid = stack.supervisor.children[0].pid
        assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert directory.parent.stat().st_uid == 0


@pytest.fixture
def nobodys_home() -> Iterator[Path]:
    """Not below pytest's own folder, which is closed to others."""
    with tempfile.TemporaryDirectory(prefix="devstack-") as home:
        os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
        yield Path(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_ordinary_user_runs_the_stack(nobodys_home: Path) -> None:
    try:
        output = _run_as_nobody(nobodys_home, "import scanhop.devstack; print('can')")
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("this interpreter or this code lies below a folder closed to other users")
    assert output == "can\n"
    assert _run_as_nobody(nobodys_home, START_AND_STOP, str(nobodys_home / "data")) == "done\n"


def _run_as_nobody(home: Path, code: str, *arguments: str) -> str:
    entry = pwd.getpwnam("nobody")
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        cwd=home,
        env=os.environ | {"HOME": str(home)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
