"""What can be done with QR codes.

A change is one transaction: the next version of the row, its history, and the job that publishes it. After the
commit the route goes to Redis at once; should that fail, the change stands and the job is what publishes it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from control_api.clock import Clock, new_id
from control_api.qr_codes.model import BANNED, Change, NewQrCode, QrCode
from control_api.qr_codes.publication import enqueue_publication, publish_route
from control_api.qr_codes.repository import QrCodeRepository
from control_api.web.authentication import KeyHolder
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.routing.compilation import UncompilableRoute
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Connection, Postgres
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import WorkspaceId

PUBLISH_TIMEOUT_S = 1.0
MAX_CODE_ATTEMPTS = 10


class NoFreeShortCode(RuntimeError):
    """Random codes collided again and again: the domain is as good as full."""


class QrCodes:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: QrCodeRepository,
        routes: RouteTable,
        cache: RouteCache,
        clock: Clock,
        generate_code: Callable[[], str],
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._routes = routes
        self._cache = cache
        self._clock = clock
        self._generate_code = generate_code

    async def create(self, caller: KeyHolder, new: NewQrCode) -> QrCode:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            code = await self._insert(connection, caller, new, now)
            await self._record(connection, code, now, caller)
        await self._publish(code.id)
        return code

    async def list(self, caller: KeyHolder, statuses: Sequence[str], page: PageRequest) -> Page[QrCode]:
        async with self._postgres.connection() as connection:
            found = await self._repository.list(connection, caller.workspace_id, statuses, page)
        return page_from(found, page.limit, lambda code: Cursor(code.created_at, code.id))

    async def get(self, workspace_id: WorkspaceId, qr_id: UUID) -> QrCode:
        async with self._postgres.connection() as connection:
            return _require(await self._repository.find(connection, workspace_id, qr_id))

    async def update(self, caller: KeyHolder, qr_id: UUID, change: Change, if_match: str | None) -> QrCode:
        """The next version, or the code as it is when nothing would differ."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            code = await self._lock(connection, caller, qr_id, if_match)
            if not change.is_visible_in(code):
                return code
            if code.status == BANNED and change.status is not None:
                raise Problem(ProblemKind.CODE_BANNED, "Only the platform admin can lift a ban.")
            code = await self._repository.update(connection, code, change, now)
            await self._record(connection, code, now, caller)
        await self._publish(code.id)
        return code

    async def delete(self, caller: KeyHolder, qr_id: UUID, if_match: str | None) -> None:
        now = self._clock()
        async with self._postgres.transaction() as connection:
            code = await self._lock(connection, caller, qr_id, if_match)
            await self._repository.delete(connection, code, now)
            await self._record(connection, code, now, caller)
        await self._publish(code.id)

    async def _insert(self, connection: Connection, caller: KeyHolder, new: NewQrCode, now: datetime) -> QrCode:
        attempts = 1 if new.short_code else MAX_CODE_ATTEMPTS
        for _ in range(attempts):
            short_code = new.short_code or self._generate_code()
            code = await self._repository.create(
                connection, caller.workspace_id, caller.user_id, new_id(now), short_code, new, now
            )
            if code is not None:
                return code
        if new.short_code:
            raise Problem(ProblemKind.SHORT_CODE_TAKEN, f"The short code '{new.short_code}' is taken.")
        raise NoFreeShortCode(f"{attempts} random codes in a row were taken")

    async def _lock(self, connection: Connection, caller: KeyHolder, qr_id: UUID, if_match: str | None) -> QrCode:
        code = _require(await self._repository.lock(connection, caller.workspace_id, qr_id))
        require_version(if_match, code.version)
        return code

    async def _record(self, connection: Connection, code: QrCode, now: datetime, caller: KeyHolder) -> None:
        await self._repository.record_version(connection, code, now, caller.actor)
        await enqueue_publication(connection, code.id)

    async def _publish(self, qr_id: UUID) -> None:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await publish_route(self._routes, self._cache, qr_id)
        except (StoreError, UncompilableRoute, TimeoutError) as error:
            get_logger().warning("publication_left_to_the_job", qr_id=str(qr_id), error=str(error))


def _require(code: QrCode | None) -> QrCode:
    if code is None:
        raise not_found("QR code")
    return code
