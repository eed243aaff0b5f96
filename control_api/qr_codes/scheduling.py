"""Changes that happen at a time.

One that is due is applied by the worker in the transaction that says so in its row: exactly once, whatever ends the
worker; several workers pass over what another one holds. Those of one code keep their order. One whose time was
missed is made up for. What cannot be applied by then (the code is deleted or banned, a host is blocked) is marked
failed with its reason; a store that is away is none: it is tried again. Its author is who scheduled it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.model import Author, Change, Edit, QrCode, ScheduledChange
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.stored_fields import HAS_PASSWORD, fields_from_json
from control_api.qr_codes.versions import VersionWriter
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.errors import StoreRejected
from scanhop.stores.postgres import Connection, Postgres
from scanhop.telemetry.logs import get_logger
from scanhop.wire.ids import WorkspaceId
from scanhop.wire.route import Route

PENDING, APPLIED, FAILED, CANCELLED = "pending", "applied", "failed", "cancelled"
MAX_PENDING = 50
APPLIED_ACTION = "qr_code.scheduled_change_applied"


class ScheduledChanges:
    """Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: QrCodeRepository,
        writer: VersionWriter,
        changes: CodeChanges,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._writer = writer
        self._changes = changes
        self._audit = audit
        self._clock = clock

    async def schedule(
        self, author: Author, qr_id: UUID, at: datetime, change: Change, reason: str | None
    ) -> ScheduledChange:
        """It is checked now, as if it happened now, and again at its time."""
        now = self._clock()
        if at <= now:
            raise invalid_parameter("at", "must be in the future")
        [edit] = await self._changes.with_hashes([Edit(qr_id, change, reason=reason)])
        async with self._postgres.transaction() as connection:
            await self._changes.check_within(connection, author, edit)
            new = _scheduled(author, edit, at, now)
            created = await self._repository.create_scheduled_change(connection, new, MAX_PENDING)
            if created is None:
                raise Problem(ProblemKind.TOO_MANY_SCHEDULED, f"{MAX_PENDING} changes of the code are pending.")
            await self._record(connection, author, created, "qr_code.change_scheduled", now)
        return created

    async def list(self, workspace_id: WorkspaceId, qr_id: UUID, page: PageRequest) -> Page[ScheduledChange]:
        """The one that is to happen last first; of a deleted code too."""
        async with self._postgres.connection() as connection:
            found = await self._repository.list_scheduled_changes(connection, workspace_id, qr_id, page)
            if not found and not await self._repository.exists(connection, workspace_id, qr_id):
                raise not_found("QR code")
        return page_from(found, page, lambda each: Cursor(each.at, each.id))

    async def cancel(self, author: Author, qr_id: UUID, change_id: UUID) -> ScheduledChange:
        """As it is when it was cancelled before."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            found = await self._repository.lock_scheduled_change(connection, author.workspace_id, qr_id, change_id)
            if found is None:
                raise not_found("scheduled change")
            if found.status == CANCELLED:
                return found
            if found.status != PENDING:
                raise Problem(ProblemKind.CHANGE_SETTLED, f"The change is {found.status}.")
            cancelled = await self._repository.settle_scheduled_change(connection, found, CANCELLED, now)
            await self._record(connection, author, cancelled, "qr_code.scheduled_change_cancelled", now)
        return cancelled

    async def apply_due(self) -> None:
        """All that is due by now and that no other worker holds. Raises StoreError alone."""
        while await self._apply_one():
            pass

    async def _apply_one(self) -> bool:
        """False when nothing is due that no other worker holds."""
        now, due = self._clock(), None
        try:
            async with self._postgres.checked_connection() as connection, connection.transaction():
                due = await self._repository.claim_scheduled_change(connection, now)
                if due is None:
                    return False
                routes = await self._settle(connection, due, now)
        except (StoreRejected, TypeError, ValueError) as error:
            if due is None:
                raise
            get_logger().error("scheduled_change_refused", change_id=str(due.id), error=str(error))
            async with self._postgres.transaction() as connection:
                await self._fail(connection, due, "It cannot be applied.", now)
            return True
        await self._writer.publish(routes)
        return True

    async def _settle(self, connection: Connection, due: ScheduledChange, now: datetime) -> Sequence[Route]:
        author = Author(due.workspace_id, due.user_id, due.created_by)
        [outcome], routes = await self._changes.change_within(connection, author, [_edit_of(due)], APPLIED_ACTION)
        if isinstance(outcome, QrCode):
            await self._repository.settle_scheduled_change(connection, due, APPLIED, now, version=outcome.version)
            get_logger().info("scheduled_change_applied", qr_id=str(due.qr_id), change_id=str(due.id))
            return routes
        await self._fail(connection, due, outcome.detail, now)
        return []

    async def _fail(self, connection: Connection, due: ScheduledChange, failure: str, now: datetime) -> None:
        author = Author(due.workspace_id, due.user_id, due.created_by)
        await self._repository.settle_scheduled_change(connection, due, FAILED, now, failure=failure)
        await self._record(connection, author, due, "qr_code.scheduled_change_failed", now)
        get_logger().warning("scheduled_change_failed", qr_id=str(due.qr_id), change_id=str(due.id))

    async def _record(
        self, connection: Connection, author: Author, change: ScheduledChange, action: str, now: datetime
    ) -> None:
        told = {"scheduled_change_id": str(change.id), "at": change.at, "change": change.change}
        await self._audit.record(
            connection,
            author.workspace_id,
            author.actor,
            action,
            change.qr_id,
            now,
            changes=told,
            reason=change.reason,
        )


def _scheduled(author: Author, edit: Edit, at: datetime, now: datetime) -> ScheduledChange:
    change = edit.change
    stored = dict(change.fields) | ({HAS_PASSWORD: change.gives_password} if change.sets_password else {})
    return ScheduledChange(
        id=new_id(now),
        workspace_id=author.workspace_id,
        qr_id=edit.qr_id,
        at=at,
        change=stored,
        password_hash=change.password_hash,
        reason=edit.reason,
        status=PENDING,
        failure=None,
        version=None,
        user_id=author.user_id,
        created_by=author.actor,
        created_at=now,
        settled_at=None,
    )


def _edit_of(due: ScheduledChange) -> Edit:
    fields = fields_from_json(due.change)
    sets_password = HAS_PASSWORD in fields
    fields.pop(HAS_PASSWORD, None)
    return Edit(due.qr_id, Change(fields, sets_password, password_hash=due.password_hash), reason=due.reason)
