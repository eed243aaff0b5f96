"""The request log as people read it."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from control_api.clock import Clock
from control_api.request_log.model import LogFilter, LoggedRequest
from control_api.request_log.repository import RequestRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from

DEFAULT_RANGE = timedelta(days=7)


class Logs:
    """Newest first; without a beginning the last DEFAULT_RANGE before the end. Raises StoreUnavailable."""

    def __init__(self, repository: RequestRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock

    async def list(self, caller: Member, wanted: LogFilter, page: PageRequest) -> Page[LoggedRequest]:
        found = await self._repository.list_one(caller.workspace_id, self._bounded(wanted), page)
        return page_from(found, page, _cursor_of)

    async def list_all(self, user_id: UUID | None, wanted: LogFilter, page: PageRequest) -> Page[LoggedRequest]:
        """`user_id` None: of everybody."""
        found = await self._repository.list_all(user_id, self._bounded(wanted), page)
        return page_from(found, page, _cursor_of)

    def _bounded(self, wanted: LogFilter) -> LogFilter:
        start = wanted.start or min(wanted.end or self._clock(), self._clock()) - DEFAULT_RANGE
        return replace(wanted, start=start)


def _cursor_of(request: LoggedRequest) -> Cursor:
    return Cursor(request.time, request.id)
