"""Sessions: what a sign-in begins, and what every refresh goes on with.

A refresh token is good for one use, which answers the next. One that is presented again was copied by somebody: the
whole session ends, for whoever holds it. A session ends 30 days after its last refresh, and 180 days after its start.
Whatever begins, refreshes or ends a session locks its user first: they come one after the other, and none for ever
waits for another.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, new_id
from control_api.identity.access_token import LIFETIME, AccessTokens
from control_api.identity.model import PresentedRefresh, Session, User, Workspace
from control_api.identity.random_token import generate_token, hash_token
from control_api.identity.repository import IdentityRepository
from control_api.identity.session_repository import SessionRepository
from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection, Postgres
from scanhop.telemetry.logs import get_logger

IDLE_LIFETIME = timedelta(days=30)
LONGEST_LIFETIME = timedelta(days=180)


@dataclass(frozen=True)
class SignedIn:
    """What a sign-in or a refresh answers; the tokens are shown this once. `workspace`: the personal one."""

    user: User
    workspace: Workspace
    expires_in: int
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Sessions:
    """Raises Problem, StoreUnavailable."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: SessionRepository,
        users: IdentityRepository,
        tokens: AccessTokens,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._users = users
        self._tokens = tokens
        self._audit = audit
        self._clock = clock

    def require_possible(self) -> None:
        """Raises Problem when the installation has no secret to sign tokens with."""
        if not self._tokens.are_possible:
            raise Problem(ProblemKind.SIGN_IN_OFF, "SCANHOP_SECRET_KEY is not set: only keys are accepted here.")

    async def start(self, connection: Connection, user: User, method: str) -> SignedIn:
        """Within the transaction that is given. `method`: password or google."""
        now = self._clock()
        session = Session(new_id(now), user.id, method, now, now, now + IDLE_LIFETIME)
        await self._repository.create(connection, session)
        await self._audit.record(
            connection, None, f"user:{user.id}", "session.created", session.id, now, changes={"method": method}
        )
        return await self._issue(connection, user, session, now)

    async def refresh(self, refresh_token: str) -> SignedIn:
        self.require_possible()
        now, token_hash = self._clock(), hash_token(refresh_token)
        async with self._postgres.transaction() as connection:
            presented = await self._repository.lock_refresh(connection, token_hash, now)
            if presented is not None and await self._is_good(connection, presented, now):
                session = presented.session
                await self._repository.use_refresh_token(connection, token_hash, now)
                expires_at = min(now + IDLE_LIFETIME, session.created_at + LONGEST_LIFETIME)
                await self._repository.extend(connection, session.id, now, expires_at)
                return await self._issue(connection, presented.user, session, now)
        raise Problem(
            ProblemKind.UNAUTHENTICATED,
            "The refresh token is unknown, used or expired, or its session has ended; sign in again.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def end(self, refresh_token: str) -> None:
        """Signs out. A token that is unknown, or whose session has ended, leaves nothing to do."""
        now = self._clock()
        async with self._postgres.transaction() as connection:
            presented = await self._repository.lock_refresh(connection, hash_token(refresh_token), now)
            if presented is not None and not presented.is_ended:
                await self._revoke(connection, presented.session, now, "sign_out")

    async def _is_good(self, connection: Connection, presented: PresentedRefresh, now: datetime) -> bool:
        """A token that was used before ends its session."""
        if presented.is_used and not presented.is_ended:
            await self._revoke(connection, presented.session, now, "reuse")
            get_logger().warning("refresh_token_reused", session_id=str(presented.session.id))
        return not (presented.is_used or presented.is_ended)

    async def _revoke(self, connection: Connection, session: Session, now: datetime, reason: str) -> None:
        await self._repository.revoke(connection, session.id, now, reason)
        actor = f"user:{session.user_id}"
        await self._audit.record(connection, None, actor, "session.revoked", session.id, now, reason=reason)

    async def _issue(self, connection: Connection, user: User, session: Session, now: datetime) -> SignedIn:
        refresh = generate_token("scanhop_refresh")
        await self._repository.create_refresh_token(connection, session.id, refresh.hash, now)
        workspace = await self._users.find_personal_workspace(connection, user.id)
        if workspace is None:
            raise RuntimeError(f"the user {user.id} has no personal workspace")
        access = self._tokens.issue(user.id, session.id)
        return SignedIn(user, workspace, int(LIFETIME.total_seconds()), access, refresh.text)
