"""How a change of a code reaches Redis: at once after the commit, and again by a job should that fail.

The job is enqueued on the connection of the change's own transaction, so it exists if and only if the change does.
It names the code, not the version: whoever runs it publishes what Postgres says by then, and `put_if_newer` makes
a repetition harmless. The API enqueues; the worker runs the jobs; both take the names from here.
"""

from typing import TYPE_CHECKING, cast
from uuid import UUID

import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from scanhop.stores.postgres import Connection
from scanhop.stores.routes import RouteCache, RouteTable

if TYPE_CHECKING:
    import asyncpg

PUBLISH_ROUTE = "publish_route"


class BadPublication(ValueError):
    """The payload of a job names no code."""


async def enqueue_publication(connection: Connection, qr_id: UUID) -> None:
    """Within the transaction that changes the code."""
    payload = orjson.dumps({"qr_id": str(qr_id)})
    driver = AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", connection))
    await Queries(driver).enqueue(PUBLISH_ROUTE, payload)


def parse_publication(payload: bytes | None) -> UUID:
    """The code that a job's payload names. Raises BadPublication."""
    try:
        return UUID(orjson.loads(payload or b"")["qr_id"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadPublication(f"not the payload of a {PUBLISH_ROUTE} job: {payload!r}") from error


async def publish_route(routes: RouteTable, cache: RouteCache, qr_id: UUID) -> bool:
    """Whether Redis took the route; False when it holds this version or a newer one, or the code is gone.

    Raises StoreUnavailable (try again) and UncompilableRoute (do not).
    """
    route = await routes.find_route_by_id(qr_id)
    return route is not None and await cache.put_if_newer(route)
