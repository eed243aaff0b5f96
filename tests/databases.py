"""Databases on the embedded stack for tests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from scanhop.devstack import StackAddresses

Result = TypeVar("Result")


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
    run_on_postgres(dsn, lambda connection: connection.execute(statement))


def run_on_postgres(dsn: str | None, act: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        connection = await asyncpg.connect(dsn)
        try:
            return await act(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def with_path(url: str | None, path: str) -> str:
    assert url is not None
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
