"""Registering and signing in with a password.

A wrong password and an unknown address are one and the same answer, and take the same time. Passwords are hashed
before a transaction begins: none waits for that. What was checked then counts only while it is still the user's
password, which the transaction sees with their row locked: a reset ends what is under way, too.
"""

from dataclasses import dataclass, replace
from typing import Any

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.account_creation import AccountCreation, new_user
from control_api.identity.attempt_limits import AttemptLimits
from control_api.identity.model import NewCredentials, SignIn
from control_api.identity.password import Passwords, Verdict
from control_api.identity.repository import IdentityRepository
from control_api.identity.session_repository import SessionRepository
from control_api.identity.sessions import Sessions, SignedIn
from control_api.web.authentication import Member
from control_api.web.problem import Problem, invalid_parameter, not_found
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.versions import require_version
from scanhop.stores.postgres import Postgres

LOGIN = "login"
REGISTER = "register"


@dataclass(frozen=True)
class PasswordSignInParts:
    """What signing in with a password works with."""

    postgres: Postgres
    repository: IdentityRepository
    session_repository: SessionRepository
    sessions: Sessions
    passwords: Passwords
    limits: AttemptLimits
    audit: AuditTrail
    clock: Clock


class PasswordSignIn:
    """Raises Problem, StoreUnavailable."""

    def __init__(self, parts: PasswordSignInParts, *, registration_open: bool) -> None:
        self._parts = parts
        self._creation = AccountCreation(parts.repository, parts.audit)
        self._registration_open = registration_open

    async def register(self, email: str, password: str, name: str | None, network: str) -> SignedIn:
        """`network`: the client's."""
        parts = self._parts
        parts.sessions.require_possible()
        if not self._registration_open:
            raise Problem(ProblemKind.REGISTRATION_CLOSED, "The operator makes the accounts here.")
        await parts.limits.admit(REGISTER, network)
        credentials = NewCredentials(email_verified=False, password_hash=await parts.passwords.hash(password))
        async with parts.postgres.transaction() as connection:
            wanted = new_user(email, name, "user", parts.clock())
            user, _ = await self._creation.create(connection, wanted, credentials)
            return await parts.sessions.start(connection, user, "password")

    async def sign_in(self, email: str, password: str, network: str) -> SignedIn:
        parts = self._parts
        parts.sessions.require_possible()
        await parts.limits.admit(LOGIN, network, email)
        signed_in = None
        while signed_in is None:
            signed_in = await self._start(*await self._check(email, password))
        await parts.limits.forgive(LOGIN, email)
        return signed_in

    async def get_profile(self, caller: Member) -> SignIn:
        async with self._parts.postgres.connection() as connection:
            found = await self._parts.repository.find_sign_in_of_user(connection, caller.user_id)
        if found is None:
            raise not_found("user")
        return found

    async def update_profile(self, caller: Member, fields: dict[str, Any], if_match: str | None) -> SignIn:
        """`fields`: the name."""
        parts, now = self._parts, self._parts.clock()
        async with parts.postgres.transaction() as connection:
            user = await parts.repository.lock_user(connection, caller.user_id)
            if user is None:
                raise not_found("user")
            require_version(if_match, user.version)
            if user.name != fields["name"]:
                await parts.repository.update_user(connection, replace(user, **fields), now)
                await parts.audit.record(
                    connection, None, caller.actor, "user.updated", user.id, now, changes={"fields": ["name"]}
                )
        return await self.get_profile(caller)

    async def change_password(self, caller: Member, current: str | None, wanted: str, network: str) -> None:
        """All other sessions end. Who has no password yet sets the first one in person."""
        parts = self._parts
        found = await self.get_profile(caller)
        await parts.limits.admit(LOGIN, network, found.user.email)
        if found.password_hash is None and caller.key_id is not None:
            raise Problem(ProblemKind.WRONG_CREDENTIALS, "The first password is set by who is signed in.")
        if found.password_hash is not None:
            verdict = await parts.passwords.check(found.password_hash, current or "")
            if not verdict.is_right:
                raise invalid_parameter("current_password", "is wrong")
        password_hash, now = await parts.passwords.hash(wanted), parts.clock()
        async with parts.postgres.transaction() as connection:
            locked = await parts.repository.lock_sign_in(connection, caller.user_id)
            if locked is None or locked.password_hash != found.password_hash:
                raise invalid_parameter("current_password", "was changed meanwhile")
            await parts.repository.set_password(connection, caller.user_id, password_hash, now, verifies_email=False)
            await parts.session_repository.end_password_resets(connection, caller.user_id, now)
            await parts.session_repository.revoke_of_user(
                connection, caller.user_id, now, "password", keep=caller.session_id
            )
            await parts.audit.record(connection, None, caller.actor, "user.password_changed", caller.user_id, now)

    async def _check(self, email: str, password: str) -> tuple[SignIn, Verdict]:
        parts = self._parts
        async with parts.postgres.connection() as connection:
            found = await parts.repository.find_sign_in(connection, email)
        verdict = await parts.passwords.check(found.password_hash if found else None, password)
        if found is None or not verdict.is_right:
            raise Problem(
                ProblemKind.WRONG_CREDENTIALS,
                "There is no user with this address and this password.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found, verdict

    async def _start(self, checked: SignIn, verdict: Verdict) -> SignedIn | None:
        """None when the password is no longer the one that was checked."""
        parts = self._parts
        async with parts.postgres.transaction() as connection:
            locked = await parts.repository.lock_sign_in(connection, checked.user.id)
            if locked is None or locked.password_hash != checked.password_hash:
                return None
            if verdict.new_hash is not None:
                await parts.repository.set_password(
                    connection, locked.user.id, verdict.new_hash, parts.clock(), verifies_email=False
                )
            return await parts.sessions.start(connection, locked.user, "password")
