"""Codes in Postgres for tests."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from tests.routes import new_id


async def insert_codes(dsn: str, codes: Sequence[str], **columns: object) -> list[UUID]:
    """Their ids, in order; each code is of one new workspace. `columns` replace what the rows say."""
    usual = {"target_url": "https://example.com/", "name": "n"} | columns
    names = ", ".join(["id", "workspace_id", "domain_id", "short_code", *usual])
    places = ", ".join(f"${place}" for place in range(1, 5 + len(usual)))
    workspace, ids = new_id(), [new_id() for _ in codes]
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
        await connection.executemany(
            f"INSERT INTO qr_codes ({names}) VALUES ({places})",
            [
                (qr_id, workspace, DEFAULT_DOMAIN_ID, code, *usual.values())
                for qr_id, code in zip(ids, codes, strict=True)
            ],
        )
    finally:
        await connection.close()
    return ids


async def run(dsn: str, statement: str, *values: object) -> list[asyncpg.Record]:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()
