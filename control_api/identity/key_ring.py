"""Whose a credential is."""

import asyncio
from datetime import timedelta
from uuid import UUID

from control_api.clock import Clock
from control_api.identity.access_token import AccessTokens
from control_api.identity.key_format import is_same_text, is_secret_right, parse_key
from control_api.identity.model import ApiKey
from control_api.identity.repository import IdentityRepository
from control_api.web.authentication import Caller, Member, PlatformAdmin
from control_api.web.permissions import ALL_SCOPES
from control_api.web.problem import not_found
from scanhop.stores.errors import StoreError
from scanhop.stores.postgres import Postgres
from scanhop.telemetry.logs import get_logger

USE_NOTED_EVERY = timedelta(minutes=1)


class KeyRing:
    """The authenticator of the API. Raises StoreUnavailable.

    That a key was used is noted at most once a minute, beside the answer rather than before it; `close` waits for
    what is still to be noted.
    """

    def __init__(
        self,
        postgres: Postgres,
        repository: IdentityRepository,
        tokens: AccessTokens,
        admin_key: str | None,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._tokens = tokens
        self._admin_key = admin_key
        self._clock = clock
        self._notes: set[asyncio.Task[None]] = set()

    async def find_caller(self, credential: str, workspace_id: UUID | None) -> Caller | None:
        """Raises Problem."""
        if self._admin_key is not None and is_same_text(credential, self._admin_key):
            return PlatformAdmin()
        if credential.count(".") == 2:
            return await self._find_person(credential, workspace_id)
        key = await self.find_key(credential)
        if key is None:
            return None
        if workspace_id not in {None, key.workspace_id}:
            raise not_found("workspace")
        self._note_use(key)
        return Member(key.workspace_id, key.user_id, key.role, key.scopes, key.id)

    async def find_key(self, text: str) -> ApiKey | None:
        """The key, if it is one that opens its workspace now."""
        parsed = parse_key(text)
        if parsed is None:
            return None
        key_id, secret = parsed
        async with self._postgres.connection() as connection:
            key = await self._repository.find_api_key(connection, key_id)
        right = is_secret_right(secret, None if key is None else key.secret_hash)
        return key if key is not None and right and key.is_valid(self._clock()) else None

    async def _find_person(self, access_token: str, workspace_id: UUID | None) -> Member | None:
        claims = self._tokens.find_claims(access_token)
        if claims is None:
            return None
        async with self._postgres.connection() as connection:
            person = await self._repository.find_person(
                connection, claims.session_id, claims.user_id, workspace_id, self._clock()
            )
        if person is None:
            return None
        if person.workspace_id is None or person.role is None:
            raise not_found("workspace")
        return Member(
            person.workspace_id,
            person.user_id,
            person.role,
            frozenset({ALL_SCOPES}),
            key_id=None,
            is_platform_admin=person.is_platform_admin,
            session_id=claims.session_id,
        )

    async def close(self) -> None:
        await asyncio.gather(*self._notes)

    def _note_use(self, key: ApiKey) -> None:
        if key.last_used_at is None or key.last_used_at < self._clock() - USE_NOTED_EVERY:
            task = asyncio.create_task(self._record_use(key))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)

    async def _record_use(self, key: ApiKey) -> None:
        now = self._clock()
        try:
            async with self._postgres.connection() as connection:
                await self._repository.record_key_use(connection, key, now, now - USE_NOTED_EVERY)
        except StoreError as error:
            get_logger().warning("key_use_not_noted", key_id=key.id, error=str(error))
