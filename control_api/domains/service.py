"""What can be done with custom domains.

A domain begins unverified: it takes no codes and no edge knows of it. The platform admin verifies it; of all who
claim a host one workspace can have it. Each change is recorded in the audit log, in its own transaction; a change of
the verified set is one transaction with the job that publishes it, too. After the commit the set goes to Redis at
once; should that fail, the change stands and the job publishes it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.domains.host import InvalidHost, host_of, parse_host
from control_api.domains.model import Change, Domain, NewDomain
from control_api.domains.publication import enqueue_domains, publish_domains
from control_api.domains.repository import DomainRepository, HostIsAnothers
from control_api.web.authentication import Caller, Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Connection, Postgres
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import WorkspaceId

PUBLISH_TIMEOUT_S = 1.0


class Domains:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: DomainRepository,
        table: DomainTable,
        cache: DomainCache,
        trail: AuditTrail,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._table = table
        self._cache = cache
        self._trail = trail
        self._clock = clock
        self._default_host = host_of(public_url)

    async def create(self, caller: Member, new: NewDomain) -> Domain:
        if new.host == self._default_host:
            raise invalid_parameter("host", "is the host of the default domain")
        now = self._clock()
        async with self._postgres.transaction() as connection:
            domain = await self._repository.create(connection, caller.workspace_id, new_id(now), new, now)
            if domain is None:
                raise Problem(ProblemKind.HOST_TAKEN, f"The workspace has the domain {new.host} already.")
            await self._record(connection, caller, "created", domain, asdict(new))
        return domain

    async def list(self, caller: Member, page: PageRequest) -> Page[Domain]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list(connection, caller.workspace_id, page)
        return page_from(found, page, lambda domain: Cursor(domain.created_at, domain.id))

    async def get(self, caller: Member, domain_id: UUID) -> Domain:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find(connection, caller.workspace_id, domain_id))

    async def hold_usable(self, connection: Connection, workspace_id: WorkspaceId, host: str) -> Domain | None:
        """The verified domain of the workspace with that host, kept until the transaction of `connection` ends."""
        try:
            return await self._repository.hold_verified(connection, workspace_id, parse_host(host))
        except InvalidHost:
            return None

    async def update(self, caller: Member, domain_id: UUID, change: Change, if_match: str | None) -> Domain:
        """The next version, or the domain as it is when nothing would differ."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            domain = await self._lock(connection, caller, domain_id, if_match)
            if not change.is_visible_in(domain):
                return domain
            domain = await self._repository.update(connection, domain, change, now)
            await self._record(connection, caller, "updated", domain, change.fields)
            await self._enqueue(connection, domain)
        await self._publish(domain)
        return domain

    async def delete(self, caller: Member, domain_id: UUID, if_match: str | None) -> None:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            domain = await self._lock(connection, caller, domain_id, if_match)
            if await self._repository.has_codes(connection, domain):
                raise Problem(ProblemKind.DOMAIN_IN_USE, f"Delete the codes on {domain.host} first.")
            await self._repository.delete(connection, domain, now)
            await self._record(connection, caller, "deleted", domain, {"host": domain.host})
            await self._enqueue(connection, domain)
        await self._publish(domain)

    async def verify(self, caller: Caller, domain_id: UUID) -> Domain:
        """The domain as it is when it was verified before."""
        now = self._clock()
        try:
            async with self._postgres.transaction() as connection:
                domain = _require(await self._repository.lock_by_id(connection, domain_id))
                if domain.is_verified:
                    return domain
                domain = await self._repository.verify(connection, domain, now)
                await self._record(connection, caller, "verified", domain, {"host": domain.host})
                await self._enqueue(connection, domain)
        except HostIsAnothers:
            raise Problem(ProblemKind.HOST_TAKEN, "Another workspace has this host verified.") from None
        await self._publish(domain)
        return domain

    async def _lock(self, connection: Connection, caller: Member, domain_id: UUID, if_match: str | None) -> Domain:
        domain = _require(await self._repository.lock(connection, caller.workspace_id, domain_id))
        require_version(if_match, domain.version)
        return domain

    async def _record(
        self, connection: Connection, caller: Caller, done: str, domain: Domain, changes: Mapping[str, Any]
    ) -> None:
        at, action = self._clock(), f"domain.{done}"
        await self._trail.record(
            connection, domain.workspace_id, caller.actor, action, domain.id, at, changes=changes
        )

    async def _enqueue(self, connection: Connection, domain: Domain) -> None:
        if domain.is_verified:
            await enqueue_domains(connection)

    async def _publish(self, domain: Domain) -> None:
        if domain.is_verified:
            await self._postgres.after_commit(lambda: self._publish_now(domain))

    async def _publish_now(self, domain: Domain) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await publish_domains(self._table, self._cache)
        except (StoreError, TimeoutError) as error:
            get_logger().warning("domains_left_to_the_job", domain_id=str(domain.id), error=str(error))


def _require(domain: Domain | None) -> Domain:
    if domain is None:
        raise not_found("domain")
    return domain
