"""Sessions, refresh tokens and password resets in Postgres, on the connection that is given."""

from datetime import datetime
from uuid import UUID

from control_api.identity.model import PresentedRefresh, Session, User
from scanhop.stores.postgres import Connection
from scanhop.stores.sql import load_queries
from scanhop.wire.ids import UserId


class SessionRepository:
    """Reads its statements once."""

    def __init__(self) -> None:
        self._sql = load_queries("control_api.identity")

    async def create(self, connection: Connection, session: Session) -> None:
        await connection.execute(
            self._sql["create_session"],
            session.id,
            session.user_id,
            session.method,
            session.created_at,
            session.expires_at,
        )

    async def create_refresh_token(
        self, connection: Connection, session_id: UUID, token_hash: bytes, now: datetime
    ) -> None:
        await connection.execute(self._sql["create_refresh_token"], token_hash, session_id, now)

    async def lock_refresh(self, connection: Connection, token_hash: bytes, now: datetime) -> PresentedRefresh | None:
        """None when nobody has it. Its user is locked, as by all that begins, goes on with or ends a session."""
        user = await connection.fetchrow(self._sql["lock_user_of_refresh"], token_hash)
        row = await connection.fetchrow(self._sql["find_refresh"], token_hash)
        if user is None or row is None:
            return None
        fields = dict(row)
        is_used, is_revoked = fields.pop("is_used"), fields.pop("is_revoked")
        session = Session(**fields)
        return PresentedRefresh(session, User(**user), is_used, is_ended=is_revoked or session.expires_at <= now)

    async def use_refresh_token(self, connection: Connection, token_hash: bytes, now: datetime) -> None:
        await connection.execute(self._sql["use_refresh_token"], token_hash, now)

    async def extend(self, connection: Connection, session_id: UUID, now: datetime, expires_at: datetime) -> None:
        await connection.execute(self._sql["extend_session"], session_id, now, expires_at)

    async def revoke(self, connection: Connection, session_id: UUID, now: datetime, reason: str) -> None:
        await connection.execute(self._sql["revoke_session"], session_id, now, reason)

    async def revoke_of_user(
        self, connection: Connection, user_id: UUID, now: datetime, reason: str, keep: UUID | None = None
    ) -> None:
        await connection.execute(self._sql["revoke_sessions_of_user"], user_id, now, reason, keep)

    async def create_password_reset(
        self,
        connection: Connection,
        token_hash: bytes,
        whose: UUID | str,
        now: datetime,
        expires_at: datetime,
    ) -> UserId | None:
        """`whose`: a user's id or an address. None when there is no such user."""
        user_id, email = (whose, None) if isinstance(whose, UUID) else (None, whose)
        found: UserId | None = await connection.fetchval(
            self._sql["create_password_reset"], token_hash, user_id, email, now, expires_at
        )
        return found

    async def use_password_reset(self, connection: Connection, token_hash: bytes, now: datetime) -> UserId | None:
        """Whose it was, who is locked; all other resets of that user are used up as well."""
        user_id: UserId | None = await connection.fetchval(self._sql["lock_user_of_reset"], token_hash, now)
        if user_id is None or token_hash not in await self.end_password_resets(connection, user_id, now):
            return None
        return user_id

    async def end_password_resets(self, connection: Connection, user_id: UUID, now: datetime) -> set[bytes]:
        """The hashes of those that could have been used."""
        rows = await connection.fetch(self._sql["end_password_resets"], user_id, now)
        return {row["token_hash"] for row in rows}
