"""What can be done with QR codes.

A change is one transaction: the next version of the row, its history, and the job that publishes it. After the
commit the route goes to Redis at once; should that fail, the change stands and the job is what publishes it.
Passwords are hashed beforehand, in a thread: a transaction never waits for that.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from control_api.clock import Clock, new_id
from control_api.qr_codes.model import BANNED, Change, NewQrCode, QrCode
from control_api.qr_codes.password import hash_password
from control_api.qr_codes.publication import enqueue_publication, publish_route
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import DEFAULT_DOMAIN_ID, DomainId, WorkspaceId
from scanhop.wire.short_codes import fold_code

PUBLISH_TIMEOUT_S = 1.0
MAX_CODE_ATTEMPTS = 10


class NoFreeShortCode(RuntimeError):
    """Random codes collided again and again: the domain is as good as full."""


class CodeDomain(Protocol):
    """A custom domain that codes can sit on."""

    @property
    def id(self) -> DomainId: ...

    @property
    def is_exact(self) -> bool:
        """Whether the letter case of its codes counts."""


class DomainDirectory(Protocol):
    """Knows the custom domains."""

    async def hold_usable(self, connection: Connection, workspace_id: WorkspaceId, host: str) -> CodeDomain | None:
        """The verified domain of the workspace with that host, kept until the transaction ends."""


class QrCodes:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: QrCodeRepository,
        routes: RouteTable,
        cache: RouteCache,
        domains: DomainDirectory,
        clock: Clock,
        generate_code: Callable[[], str],
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._routes = routes
        self._cache = cache
        self._domains = domains
        self._clock = clock
        self._generate_code = generate_code

    async def create(self, caller: Member, new: NewQrCode) -> QrCode:
        now = self._clock()
        _require_window(new, sent=("starts_at", "expires_at"))
        password_hash = await _hash(new.password)
        async with self._postgres.transaction() as connection:
            code = await self._insert(connection, caller, new, password_hash, now)
            await self._record(connection, code, now, caller)
        await self._publish(code.id)
        return code

    async def list(self, caller: Member, statuses: Sequence[str], page: PageRequest) -> Page[QrCode]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list(connection, caller.workspace_id, statuses, page)
        return page_from(found, page.limit, lambda code: Cursor(code.created_at, code.id))

    async def get(self, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find(connection, workspace_id, qr_id))

    async def update(self, caller: Member, qr_id: UUID, change: Change, if_match: str | None) -> QrCode:
        """The next version, or the code as it is when nothing would differ."""
        now = self._clock()
        password_hash = await _hash(change.password)
        async with self._postgres.transaction() as connection:
            code = await self._lock(connection, caller, qr_id, if_match)
            if not change.is_visible_in(code):
                return code
            if code.status == BANNED and "status" in change.fields:
                raise Problem(ProblemKind.CODE_BANNED, "Only the platform admin can lift a ban.")
            wanted = change.applied_to(code)
            _require_window(wanted, sent=change.fields)
            code = await self._repository.update(
                connection, wanted, now, sets_password=change.sets_password, password_hash=password_hash
            )
            await self._record(connection, code, now, caller)
        await self._publish(code.id)
        return code

    async def delete(self, caller: Member, qr_id: UUID, if_match: str | None) -> None:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            code = await self._lock(connection, caller, qr_id, if_match)
            await self._repository.delete(connection, code, now)
            await self._record(connection, code, now, caller)
        await self._publish(code.id)

    async def _insert(
        self, connection: Connection, caller: Member, new: NewQrCode, password_hash: str | None, now: datetime
    ) -> QrCode:
        domain = await self._hold_domain(connection, caller, new.domain)
        wanted_code = new.short_code if domain and domain.is_exact else fold_code(new.short_code or "")
        attempts = 1 if wanted_code else MAX_CODE_ATTEMPTS
        for _ in range(attempts):
            code = await self._repository.create(
                connection,
                caller.workspace_id,
                caller.user_id,
                new_id(now),
                domain.id if domain else DEFAULT_DOMAIN_ID,
                wanted_code or self._generate_code(),
                new,
                password_hash,
                now,
            )
            if code is not None:
                return code
        if wanted_code:
            raise Problem(ProblemKind.SHORT_CODE_TAKEN, f"The short code '{wanted_code}' is taken.")
        raise NoFreeShortCode(f"{attempts} random codes in a row were taken")

    async def _hold_domain(self, connection: Connection, caller: Member, host: str | None) -> CodeDomain | None:
        """None is the default domain."""
        if host is None:
            return None
        domain = await self._domains.hold_usable(connection, caller.workspace_id, host)
        if domain is None:
            raise invalid_parameter("domain", "is no verified domain of the workspace")
        return domain

    async def _lock(self, connection: Connection, caller: Member, qr_id: UUID, if_match: str | None) -> QrCode:
        code = _require(await self._repository.lock(connection, caller.workspace_id, qr_id))
        require_version(if_match, code.version)
        return code

    async def _record(self, connection: Connection, code: QrCode, now: datetime, caller: Member) -> None:
        await self._repository.record_version(connection, code, now, caller.actor)
        await enqueue_publication(connection, code.id)

    async def _publish(self, qr_id: UUID) -> None:
        await self._postgres.after_commit(lambda: self._publish_now(qr_id))

    async def _publish_now(self, qr_id: UUID) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await publish_route(self._routes, self._cache, qr_id)
        except (StoreError, UncompilableRoute, TimeoutError) as error:
            get_logger().warning("publication_left_to_the_job", qr_id=str(qr_id), error=str(error))


async def _hash(password: str | None) -> str | None:
    return None if password is None else await asyncio.to_thread(hash_password, password)


def _require_window(code: NewQrCode | QrCode, sent: Collection[str]) -> None:
    """Names the end that was `sent`. Raises Problem."""
    if code.starts_at is None or code.expires_at is None or code.starts_at < code.expires_at:
        return
    if "expires_at" in sent:
        raise invalid_parameter("expires_at", "must be after starts_at")
    raise invalid_parameter("starts_at", "must be before expires_at")


def _require(code: QrCode | None) -> QrCode:
    if code is None:
        raise not_found("QR code")
    return code
