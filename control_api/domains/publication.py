"""How a change of the verified domains reaches Redis: at once after the commit, and again by a job should that fail.

The job is enqueued on the connection of the change's own transaction, so it exists if and only if the change does.
It has no payload: whoever runs it publishes the set as Postgres has it by then. The set carries a version that is
read with it and compared inside Redis (`scanhop.stores.domains`), so neither a repetition nor a late write harms.
"""

from typing import TYPE_CHECKING, cast

from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.postgres import Connection

if TYPE_CHECKING:
    import asyncpg

PUBLISH_DOMAINS = "publish_domains"


async def enqueue_domains(connection: Connection) -> None:
    """Within the transaction that changes the set."""
    driver = AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", connection))
    await Queries(driver).enqueue(PUBLISH_DOMAINS, None)


async def publish_domains(table: DomainTable, cache: DomainCache) -> bool:
    """Whether Redis took the set; False when it holds this one or a newer one. Raises StoreError."""
    return await cache.put_domains(*await table.list_domains_with_version())
