"""Changing codes, one or up to a thousand in one transaction: fields, states, deletion and what undoes it.

Each is changed or refused by itself. A change that changes nothing makes no version, so that every change may be
repeated. Projects are held before codes are locked, codes are locked in the order of their ids: nobody waits in a
circle. Passwords are hashed beforehand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from control_api.clock import Clock
from control_api.qr_codes.create_code import DomainDirectory
from control_api.qr_codes.model import ACTIVE, ARCHIVED, BANNED, DELETED, Author, Change, Edit, QrCode, is_same
from control_api.qr_codes.password import PasswordMill
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.target_policy import TargetPolicy, targets_in
from control_api.qr_codes.validity import require_window
from control_api.qr_codes.versions import Draft, VersionWriter
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.route import Route

CHANGED = "qr_code.changed"

Outcome = QrCode | Problem


class CodeChanges:
    """Raises StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: QrCodeRepository,
        writer: VersionWriter,
        policy: TargetPolicy,
        domains: DomainDirectory,
        mill: PasswordMill,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._writer = writer
        self._policy = policy
        self._domains = domains
        self._mill = mill
        self._clock = clock

    async def change(self, author: Author, edit: Edit, action: str = CHANGED) -> QrCode:
        """The next version, or the code as it is when nothing would differ. Raises Problem."""
        [outcome] = await self.change_many(author, [edit], action)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def change_many(self, author: Author, edits: Sequence[Edit], action: str = CHANGED) -> list[Outcome]:
        """The code or the problem of each, in their order."""
        hashed = await self.with_hashes(edits)
        async with self._postgres.transaction() as connection:
            outcomes, routes = await self.change_within(connection, author, hashed, action)
        await self._writer.publish(routes)
        return outcomes

    async def restore(self, author: Author, qr_id: UUID, if_match: str | None, reason: str | None) -> QrCode:
        """Out of the archive or from deletion, to the state before. Any other code stays as it is. Raises Problem."""
        async with self._postgres.transaction() as connection:
            code = (await self._repository.lock(connection, author.workspace_id, [qr_id])).get(qr_id)
            if code is None:
                raise not_found("QR code")
            require_version(if_match, code.version)
            if code.status not in (ARCHIVED, DELETED):
                return code
            await self._require_domain(connection, code)
            status = await self._status_before(connection, code)
            edit = Edit(qr_id, Change({"status": status}), reason=reason, of_deleted=True)
            [outcome], routes = await self.change_within(connection, author, [edit], "qr_code.restored")
        await self._writer.publish(routes)
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def with_hashes(self, edits: Sequence[Edit]) -> list[Edit]:
        """Outside of any transaction, as far as this can be known here."""
        hashes = await self._mill.hash_many([edit.change.password for edit in edits])
        return [
            edit if hashed is None else replace(edit, change=replace(edit.change, password_hash=hashed))
            for edit, hashed in zip(edits, hashes, strict=True)
        ]

    async def publish(self, routes: Sequence[Route]) -> None:
        """What `change_within` gave, once its transaction is over."""
        await self._writer.publish(routes)

    async def check_within(self, connection: Connection, author: Author, edit: Edit) -> None:
        """Whether the change could be made, without making it. Raises Problem."""
        workspace_id, fields = author.workspace_id, edit.change.fields
        projects = await self._repository.hold_projects(connection, workspace_id, [fields.get("project_id")])
        code = _require((await self._repository.lock(connection, workspace_id, [edit.qr_id])).get(edit.qr_id), edit)
        hosts = self._policy.hosts_of(targets_in(fields))
        self._check(author, code, edit, projects, await self._repository.list_short_hosts(connection, hosts))

    async def change_within(
        self, connection: Connection, author: Author, edits: Sequence[Edit], action: str = CHANGED
    ) -> tuple[list[Outcome], list[Route]]:
        """In the transaction of `connection`, passwords hashed already. The routes are for the writer to publish."""
        workspace_id = author.workspace_id
        asked_for = (edit.change.fields.get("project_id") for edit in edits)
        projects = await self._repository.hold_projects(connection, workspace_id, asked_for)
        codes = await self._repository.lock(connection, workspace_id, [edit.qr_id for edit in edits])
        now = self._clock()  # once nobody else changes them, so that times go with versions
        hosts = self._policy.hosts_of(target for edit in edits for target in targets_in(edit.change.fields))
        short_hosts = await self._repository.list_short_hosts(connection, hosts)
        outcomes: dict[int, Outcome] = {}
        drafts: dict[int, Draft] = {}
        for place, edit in enumerate(edits):
            try:
                code = _require(codes.pop(edit.qr_id, None), edit)
                self._check(author, code, edit, projects, short_hosts)
                outcomes[place] = code
                if edit.change.is_visible_in(code):
                    drafts[place] = _draft(code, edit, now)
            except Problem as problem:
                outcomes[place] = problem
        written, routes = await self._writer.write(connection, author, list(drafts.values()), now, action)
        outcomes |= {place: written[draft.wanted.id] for place, draft in drafts.items()}
        return [outcomes[place] for place in range(len(edits))], routes

    def _check(
        self,
        author: Author,
        code: QrCode,
        edit: Edit,
        projects: frozenset[UUID],
        short_hosts: frozenset[str],
    ) -> None:
        """Raises Problem."""
        fields = edit.change.fields
        require_version(edit.if_match, code.version)
        if (
            code.status == BANNED
            and not author.is_platform
            and fields.get("status", DELETED) not in (DELETED, BANNED)
        ):
            raise Problem(ProblemKind.CODE_BANNED, "Only the platform admin can lift a ban.")
        project_id = fields.get("project_id")
        if project_id is not None and project_id not in projects:
            raise invalid_parameter("project_id", "is no project of the workspace")
        require_window(edit.change.applied_to(code), sent=fields)
        self._policy.require(targets_in(fields), short_hosts)

    async def _status_before(self, connection: Connection, code: QrCode) -> str:
        """A ban outlasts a deletion."""
        if code.status == DELETED and code.ban_reason is not None:
            return BANNED
        passing = [DELETED, BANNED] if code.status == DELETED else [ARCHIVED, DELETED, BANNED]
        return await self._repository.find_status_before(connection, code, passing) or ACTIVE

    async def _require_domain(self, connection: Connection, code: QrCode) -> None:
        """A deleted code comes back only to a domain that is there. Raises Problem."""
        if code.status != DELETED or code.domain is None:
            return
        if await self._domains.hold_usable(connection, code.workspace_id, code.domain) is None:
            raise Problem(ProblemKind.DOMAIN_NOT_VERIFIED, f"{code.domain} is no verified domain of the workspace.")


def _require(code: QrCode | None, edit: Edit) -> QrCode:
    """Raises Problem."""
    if code is None or (code.status == DELETED and not edit.of_deleted):
        raise not_found("QR code")
    return code


def _draft(code: QrCode, edit: Edit, now: datetime) -> Draft:
    change = edit.change
    return Draft(
        change.applied_to(code),
        _audited(code, change),
        edit.reason,
        sets_password=change.sets_password,
        password_hash=change.password_hash,
    )


def _audited(code: QrCode, change: Change) -> Mapping[str, Any]:
    """Of a password only that it was set or removed."""
    new = {name: value for name, value in change.fields.items() if not is_same(value, getattr(code, name))}
    return new | ({"has_password": change.gives_password} if change.sets_password else {})
