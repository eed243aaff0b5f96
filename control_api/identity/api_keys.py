"""Keys of a workspace, made by its members for their programs.

A key never may more than who makes it, now or later: its scopes are a subset of the maker's, the role of its user
counts at every use, and a key that ends makes none that lasts longer. Owners and admins see and revoke the keys of
every member, others their own.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.key_format import generate_key
from control_api.identity.model import ListedKey
from control_api.identity.repository import IdentityRepository
from control_api.web.authentication import Member
from control_api.web.paging import Cursor, Page, PageRequest, page_from
from control_api.web.permissions import ALL_SCOPES, MANAGERS, PERMISSIONS
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.ids import UserId

_ID_BYTES = 10


@dataclass(frozen=True)
class KeyWanted:
    """`scopes` None: those of who makes it. `expires_at` None: never, unless the maker is a key that ends."""

    name: str
    scopes: Sequence[str] | None
    expires_at: datetime | None


@dataclass(frozen=True)
class MadeKey:
    """`text` is shown this once."""

    key: ListedKey
    text: str = field(repr=False)


class ApiKeys:
    """One transaction per call. Raises Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, repository: IdentityRepository, audit: AuditTrail, clock: Clock) -> None:
        self._postgres = postgres
        self._repository = repository
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Member, wanted: KeyWanted) -> MadeKey:
        now = self._clock()
        scopes = sorted(set(caller.scopes if wanted.scopes is None else wanted.scopes))
        _require_own(caller, scopes)
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise invalid_parameter("expires_at", "must lie in the future")
        async with self._postgres.transaction() as connection:
            expires_at = await self._bounded_expiry(connection, caller, wanted.expires_at)
            return await self._make(connection, caller, KeyWanted(wanted.name, scopes, expires_at), now)

    async def regenerate(self, caller: Member, key_id: str) -> MadeKey:
        """One of the caller's own is revoked, and another of that name, with the same scopes, lasts as long anew."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            old = await self._revoke(connection, caller, key_id, now, caller.user_id)
            _require_own(caller, old.scopes)
            wanted = None if old.expires_at is None else now + (old.expires_at - old.created_at)
            expires_at = await self._bounded_expiry(connection, caller, wanted)
            return await self._make(connection, caller, KeyWanted(old.name, old.scopes, expires_at), now)

    async def list(self, caller: Member, page: PageRequest) -> Page[ListedKey]:
        """Those that are not revoked."""
        after = (page.after.created_at, _key_id_from(page.after.id)) if page.after else None
        async with self._postgres.connection() as connection:
            found = await self._repository.list_api_keys(
                connection, caller.workspace_id, page, after, _only_of(caller)
            )
        return page_from(found, page, lambda key: Cursor(key.created_at, _cursor_id_from(key.id)))

    async def revoke(self, caller: Member, key_id: str) -> None:
        """A key may revoke itself."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            await self._revoke(connection, caller, key_id, now, _only_of(caller))

    async def _make(self, connection: Connection, caller: Member, wanted: KeyWanted, now: datetime) -> MadeKey:
        key, scopes = generate_key(), list(wanted.scopes or ())
        made = await self._repository.create_api_key(
            connection, key, caller.workspace_id, caller.user_id, wanted.name, now, scopes, wanted.expires_at
        )
        changes = {"name": wanted.name, "scopes": scopes}
        await self._audit.record(
            connection, caller.workspace_id, caller.actor, "api_key.created", key.id, now, changes=changes
        )
        return MadeKey(made, key.text)

    async def _revoke(
        self, connection: Connection, caller: Member, key_id: str, now: datetime, only_of: UserId | None
    ) -> ListedKey:
        revoked = await self._repository.revoke_api_key(connection, caller.workspace_id, key_id, now, only_of)
        if revoked is None:
            raise not_found("key")
        await self._audit.record(connection, caller.workspace_id, caller.actor, "api_key.revoked", key_id, now)
        return revoked

    async def _bounded_expiry(
        self, connection: Connection, caller: Member, wanted: datetime | None
    ) -> datetime | None:
        if caller.key_id is None:
            return wanted
        bound = await self._repository.find_key_expiry(connection, caller.workspace_id, caller.key_id)
        if bound is None or wanted is None:
            return wanted or bound
        return min(bound, wanted)


def _require_own(caller: Member, scopes: Sequence[str]) -> None:
    """`*` stands for whatever the role allows, and is for who has it. Raises Problem."""
    if unknown := [scope for scope in scopes if scope != ALL_SCOPES and scope not in PERMISSIONS]:
        raise invalid_parameter("scopes", f"there is no scope {unknown[0][:60]}")
    for scope in scopes:
        if not (scope in caller.scopes if scope == ALL_SCOPES else caller.may(scope)):
            raise Problem(ProblemKind.MISSING_SCOPE, f"You have no {scope} that a key of yours could have.")


def _only_of(caller: Member) -> UserId | None:
    return None if caller.role in MANAGERS else caller.user_id


def _cursor_id_from(key_id: str) -> UUID:
    """A cursor has room for 16 bytes; an id of a key has 10."""
    return UUID(bytes=base64.b32decode(key_id.upper()).ljust(16, b"\0"))


def _key_id_from(cursor_id: UUID) -> str:
    return base64.b32encode(cursor_id.bytes[:_ID_BYTES]).decode().lower()
