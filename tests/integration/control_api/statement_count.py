"""How many statements a request sends to Postgres, BEGIN and COMMIT aside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import asyncpg


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The first lines of the statements that are sent within, in their order."""
    sent: list[str] = []
    execute, execute_many = asyncpg.Connection._execute, asyncpg.Connection._executemany
    prepare = asyncpg.Connection._prepare

    async def counted(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(query.partition("\n")[0])
        return await execute(self, query, *args, **kwargs)

    async def counted_many(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(query.partition("\n")[0])
        return await execute_many(self, query, *args, **kwargs)

    async def counted_prepared(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(query.partition("\n")[0])
        return await prepare(self, query, *args, **kwargs)

    with (
        patch.object(asyncpg.Connection, "_execute", counted),
        patch.object(asyncpg.Connection, "_executemany", counted_many),
        patch.object(asyncpg.Connection, "_prepare", counted_prepared),
    ):
        yield sent
