"""Databases on the embedded stack for tests."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from scanhop.devstack import StackAddresses


def new_databases(stack: StackAddresses, name: str) -> tuple[str, str]:
    """An empty Postgres and an empty ClickHouse database: (DSN, URL)."""
    run_postgres(stack.postgres_dsn, f"CREATE DATABASE {name}")
    return with_path(stack.postgres_dsn, name), new_clickhouse_database(stack, name)


def new_clickhouse_database(stack: StackAddresses, name: str) -> str:
    run_clickhouse(stack.clickhouse_url, f"CREATE DATABASE {name}")
    return with_path(stack.clickhouse_url, name)


def run_clickhouse(url: str | None, statement: str) -> None:
    httpx.post(with_path(url, ""), content=statement).raise_for_status()


def run_postgres(dsn: str | None, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def with_path(url: str | None, path: str) -> str:
    assert url is not None
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
