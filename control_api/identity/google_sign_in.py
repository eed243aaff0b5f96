"""Signing in by Google.

The browser carries the state of a sign-in under way, encrypted, in a cookie: what comes back counts only in the
browser that was sent, with that state, within ten minutes. An account that somebody registered with a password, and
whose address nobody vouched for, is not opened by Google: its password may be another's who waits for that. Nor is
one that another Google account opens: the address may have become somebody else's.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.account_creation import AccountCreation, new_user
from control_api.identity.email_address import parse_email
from control_api.identity.model import NewCredentials, SignIn, User
from control_api.identity.openid_provider import Identity, OpenIdProvider, ProviderAway, SignInRefused
from control_api.identity.repository import IdentityRepository
from control_api.identity.sessions import Sessions, SignedIn
from control_api.web.problem import RETRY_AFTER_S, Problem
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.text import parse_line
from scanhop.stores.postgres import Connection, Postgres
from scanhop.telemetry.logs import get_logger

LASTS = timedelta(minutes=10)


@dataclass(frozen=True)
class StartedSignIn:
    """Where the browser goes, and what it brings back in its cookie."""

    url: str
    cookie: str = field(repr=False)


class GoogleSignIn:
    """Raises Problem, StoreUnavailable. `provider` None: it is not set up."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: IdentityRepository,
        sessions: Sessions,
        provider: OpenIdProvider | None,
        state_keys: Sequence[bytes],
        audit: AuditTrail,
        clock: Clock,
        *,
        registration_open: bool,
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._sessions = sessions
        self._provider = provider
        self._ciphers = [Fernet(urlsafe_b64encode(key)) for key in state_keys]
        self._creation = AccountCreation(repository, audit)
        self._audit = audit
        self._clock = clock
        self._registration_open = registration_open

    async def start(self) -> StartedSignIn:
        provider = self._require_provider()
        state = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        ends = (self._clock() + LASTS).timestamp()
        try:
            url = await provider.authorization_url(state["state"], state["nonce"], state["verifier"])
        except ProviderAway as error:
            raise _away(error) from error
        cookie = MultiFernet(self._ciphers).encrypt(orjson.dumps(state | {"ends": ends}))
        return StartedSignIn(url, cookie.decode())

    async def finish(self, code: str | None, state: str | None, error: str | None, cookie: str | None) -> SignedIn:
        """`error`: what the provider says instead of a code, `access_denied` for instance."""
        provider = self._require_provider()
        kept = self._kept_state(cookie)
        if kept is None or state is None or not hmac.compare_digest(state.encode(), str(kept["state"]).encode()):
            raise _failed("It was not begun in this browser, or more than ten minutes ago; begin again.")
        if code is None or error is not None:
            raise _failed("Google did not sign the user in.")
        try:
            identity = await provider.get_identity(code, kept["nonce"], kept["verifier"])
        except ProviderAway as away:
            raise _away(away) from away
        except SignInRefused as refused:
            get_logger().warning("google_sign_in_refused", error=str(refused))
            raise _failed("Google's answer does not prove who this is; begin again.") from refused
        return await self._sign_in(identity)

    async def close(self) -> None:
        if self._provider is not None:
            await self._provider.close()

    async def _sign_in(self, identity: Identity) -> SignedIn:
        async with self._postgres.transaction() as connection:
            user = await self._repository.find_google_user(connection, identity.sub)
            if user is None or await self._repository.lock_user(connection, user.id) is None:
                user = await self._link_or_create(connection, identity)
            return await self._sessions.start(connection, user, "google")

    async def _link_or_create(self, connection: Connection, identity: Identity) -> User:
        if not identity.email_verified:
            raise Problem(ProblemKind.EMAIL_NOT_VERIFIED, "Google has not verified the user's address.")
        try:
            email = parse_email(identity.email)
        except ValueError:
            raise _failed("Google's answer holds no e-mail address.") from None
        found = await self._repository.find_sign_in(connection, email)
        locked = found and await self._repository.lock_sign_in(connection, found.user.id)
        if locked is None:
            return await self._create(connection, identity, email)
        return await self._link(connection, identity, locked)

    async def _link(self, connection: Connection, identity: Identity, found: SignIn) -> User:
        """Raises Problem for an account that another may be waiting in, or that is another's at Google."""
        if found.google_sub not in {None, identity.sub}:
            raise Problem(
                ProblemKind.OTHER_GOOGLE_ACCOUNT,
                "The user with this address signs in by another Google account, or with a password.",
            )
        if found.password_hash is not None and found.email_verified_at is None:
            raise Problem(
                ProblemKind.PASSWORD_SIGN_IN_NEEDED,
                "A user with this address has a password; sign in with it, or reset it first.",
            )
        now = self._clock()
        await self._repository.link_google(connection, found.user, identity.sub, now)
        actor = f"user:{found.user.id}"
        await self._audit.record(connection, None, actor, "user.google_linked", found.user.id, now)
        return found.user

    async def _create(self, connection: Connection, identity: Identity, email: str) -> User:
        if not self._registration_open:
            raise Problem(ProblemKind.REGISTRATION_CLOSED, "The operator makes the accounts here.")
        wanted = new_user(email, _name_from(identity), "user", self._clock())
        credentials = NewCredentials(email_verified=True, google_sub=identity.sub)
        user, _ = await self._creation.create(connection, wanted, credentials)
        return user

    def _kept_state(self, cookie: str | None) -> dict[str, Any] | None:
        try:
            kept: dict[str, Any] = orjson.loads(MultiFernet(self._ciphers).decrypt((cookie or "").encode()))
        except InvalidToken:
            return None
        return kept if kept["ends"] > self._clock().timestamp() else None

    def _require_provider(self) -> OpenIdProvider:
        self._sessions.require_possible()
        if self._provider is None:
            raise Problem(ProblemKind.SIGN_IN_OFF, "SCANHOP_GOOGLE_CLIENT_ID is not set.")
        return self._provider


def _name_from(identity: Identity) -> str | None:
    try:
        return parse_line((identity.name or "")[:200])
    except ValueError:
        return None


def _failed(detail: str) -> Problem:
    return Problem(ProblemKind.GOOGLE_SIGN_IN_FAILED, detail)


def _away(error: ProviderAway) -> Problem:
    get_logger().warning("google_away", error=str(error))
    return Problem(
        ProblemKind.PROVIDER_UNAVAILABLE,
        "Google cannot be reached at present; try again.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
