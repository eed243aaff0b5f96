"""Password resets: a token for one use within an hour, stored as its hash.

Asking for one answers the same, and before it is looked whether somebody has the address, whose absence would show in
the time. A reset that was used ends all sessions of its user and uses up their other resets, which also end when the
user changes the password, or their address is changed.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.attempt_limits import AttemptLimits
from control_api.identity.delivery import Delivery
from control_api.identity.password import Passwords
from control_api.identity.random_token import generate_token, hash_token
from control_api.identity.repository import IdentityRepository
from control_api.identity.session_repository import SessionRepository
from control_api.web.problem import invalid_parameter, not_found
from scanhop.stores.postgres import Postgres
from scanhop.telemetry.logs import get_logger

LIFETIME = timedelta(hours=1)
ASK = "reset"
USE = "reset-use"


@dataclass(frozen=True)
class NewReset:
    """`token` is shown this once."""

    token: str = field(repr=False)
    expires_at: datetime


class PasswordResets:
    """Raises Problem, StoreUnavailable. `close` waits for what is still to be made and delivered."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: SessionRepository,
        users: IdentityRepository,
        passwords: Passwords,
        limits: AttemptLimits,
        delivery: Delivery,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._users = users
        self._passwords = passwords
        self._limits = limits
        self._delivery = delivery
        self._audit = audit
        self._clock = clock
        self._deliveries: set[asyncio.Task[None]] = set()

    async def ask(self, email: str, network: str) -> None:
        """Says no more than that Postgres can be asked."""
        await self._limits.admit(ASK, network, email)
        await self._postgres.ping()
        task = asyncio.create_task(self._make_and_deliver(email))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def create(self, user_id: UUID, actor: str) -> NewReset:
        """For a platform admin, who hands the token on."""
        token, now = generate_token("scanhop_reset"), self._clock()
        async with self._postgres.transaction() as connection:
            found = await self._repository.create_password_reset(connection, token.hash, user_id, now, now + LIFETIME)
            if found is None:
                raise not_found("user")
            await self._audit.record(connection, None, actor, "password_reset.created", user_id, now)
        return NewReset(token.text, now + LIFETIME)

    async def use(self, token: str, password: str, network: str) -> None:
        """Who could read the token has shown that the address is theirs."""
        await self._limits.admit(USE, network)
        password_hash, now = await self._passwords.hash(password), self._clock()
        async with self._postgres.transaction() as connection:
            user_id = await self._repository.use_password_reset(connection, hash_token(token), now)
            if user_id is None:
                raise invalid_parameter("token", "is unknown, used or expired; ask for another")
            await self._users.set_password(connection, user_id, password_hash, now, verifies_email=True)
            await self._repository.revoke_of_user(connection, user_id, now, "password")
            actor = f"user:{user_id}"
            await self._audit.record(connection, None, actor, "user.password_reset", user_id, now)

    async def close(self) -> None:
        await asyncio.gather(*self._deliveries)

    async def _make_and_deliver(self, email: str) -> None:
        token, now = generate_token("scanhop_reset"), self._clock()
        try:
            async with self._postgres.transaction() as connection:
                user_id = await self._repository.create_password_reset(
                    connection, token.hash, email, now, now + LIFETIME
                )
            if user_id is not None:
                await self._delivery.deliver_password_reset(email, token.text)
        except Exception:  # noqa: BLE001 - whatever a store or a module of delivery raises, the API goes on
            get_logger().exception("password_reset_not_delivered")
