"""How a change of a code reaches Redis: at once after the commit, and again by a job should that fail.

The job is enqueued on the connection of the change's own transaction, so it exists if and only if the change does.
It names the code, not the version: whoever runs it publishes what Postgres says by then, and `put_if_newer` makes
a repetition harmless. Of many codes that change together one job names up to CODES_PER_JOB. The API enqueues; the
worker runs the jobs; both take the names from here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from uuid import UUID

import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from scanhop.stores.postgres import Connection
from scanhop.stores.routes import CompiledRows, RouteCache, RouteTable

if TYPE_CHECKING:
    import asyncpg

PUBLISH_ROUTE = "publish_route"
PUBLISH_ROUTES = "publish_routes"
CODES_PER_JOB = 500


class BadPublication(ValueError):
    """The payload of a job names no code."""


async def enqueue_publication(connection: Connection, qr_id: UUID) -> None:
    """Within the transaction that changes the code."""
    payload = orjson.dumps({"qr_id": str(qr_id)})
    driver = AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", connection))
    await Queries(driver).enqueue(PUBLISH_ROUTE, payload)


async def enqueue_publications(connection: Connection, ids: Sequence[UUID]) -> None:
    """The same of many codes: one statement, whatever their number."""
    if len(ids) == 1:
        await enqueue_publication(connection, ids[0])
        return
    parts = [ids[at : at + CODES_PER_JOB] for at in range(0, len(ids), CODES_PER_JOB)]
    payloads: list[bytes | None] = [orjson.dumps({"qr_ids": [str(qr_id) for qr_id in part]}) for part in parts]
    driver = AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", connection))
    await Queries(driver).enqueue([PUBLISH_ROUTES] * len(payloads), payloads, [0] * len(payloads))


def parse_publications(payload: bytes | None) -> list[UUID]:
    """The codes that a job's payload names. Raises BadPublication."""
    try:
        return [UUID(qr_id) for qr_id in orjson.loads(payload or b"")["qr_ids"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadPublication(f"not the payload of a {PUBLISH_ROUTES} job: {payload!r}") from error


def parse_publication(payload: bytes | None) -> UUID:
    """The code that a job's payload names. Raises BadPublication."""
    try:
        return UUID(orjson.loads(payload or b"")["qr_id"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadPublication(f"not the payload of a {PUBLISH_ROUTE} job: {payload!r}") from error


async def publish_routes(routes: RouteTable, cache: RouteCache, ids: Sequence[UUID]) -> CompiledRows:
    """What was there to publish; rows that cannot be routes are marked so. Raises StoreUnavailable (try again)."""
    rows = await routes.list_routes_by_id(ids)
    if rows.routes:
        await cache.put_many_if_newer(rows.routes)
    if rows.unreadable:
        await cache.mark_unreadable(rows.unreadable)
    return rows


async def publish_route(routes: RouteTable, cache: RouteCache, qr_id: UUID) -> bool:
    """Whether Redis took the route; False when it holds this version or a newer one, or the code is gone.

    Raises StoreUnavailable (try again) and UncompilableRoute (do not).
    """
    route = await routes.find_route_by_id(qr_id)
    return route is not None and await cache.put_if_newer(route)
