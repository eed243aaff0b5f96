"""What the endpoints of identity find in `app.state`, made from the settings and the clients of the stores."""

from starlette.datastructures import State

from control_api.audit.trail import AuditTrail
from control_api.clock import Clock
from control_api.identity.access_token import AccessTokens
from control_api.identity.api_keys import ApiKeys
from control_api.identity.attempt_limits import AttemptLimits
from control_api.identity.delivery import Delivery, NoDelivery
from control_api.identity.google_sign_in import GoogleSignIn
from control_api.identity.invitations import Invitations
from control_api.identity.key_ring import KeyRing
from control_api.identity.member_repository import MemberRepository
from control_api.identity.members import Members
from control_api.identity.openid_provider import OpenIdProvider
from control_api.identity.password import Passwords
from control_api.identity.password_resets import PasswordResets
from control_api.identity.repository import IdentityRepository
from control_api.identity.service import Workspaces
from control_api.identity.session_repository import SessionRepository
from control_api.identity.sessions import Sessions
from control_api.identity.sign_in import PasswordSignIn, PasswordSignInParts
from control_api.identity.users import Users
from control_api.settings import ApiSettings
from scanhop.client_facts.client_address import TrustedNetworks
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis

CALLBACK_PATH = "/v1/public/oauth/google/callback"


def wire_identity(  # noqa: PLR0913 - what it is made from
    state: State,
    settings: ApiSettings,
    postgres: Postgres,
    redis: Redis,
    clock: Clock,
    delivery: Delivery | None = None,
) -> None:
    """`delivery`: what sends e-mail, where something does."""
    identity, members, kept_sessions = IdentityRepository(), MemberRepository(), SessionRepository()
    audit, passwords, limits = AuditTrail(), Passwords(), AttemptLimits(redis, settings.limits_key, clock)
    tokens = AccessTokens(settings.access_keys, clock)
    sessions = Sessions(postgres, kept_sessions, identity, tokens, audit, clock)
    state.trusted_networks = TrustedNetworks(settings.trusted_proxies)
    state.authenticator = KeyRing(postgres, identity, tokens, settings.admin_key, clock)
    state.users = Users(postgres, identity, kept_sessions, audit, clock)
    state.workspaces = Workspaces(postgres, identity, members, audit, clock)
    state.members = Members(postgres, members, identity, audit, clock)
    state.invitations = Invitations(postgres, members, identity, audit, clock)
    state.api_keys = ApiKeys(postgres, identity, audit, clock)
    state.sessions = sessions
    state.password_resets = PasswordResets(
        postgres, kept_sessions, identity, passwords, limits, delivery or NoDelivery(), audit, clock
    )
    parts = PasswordSignInParts(postgres, identity, kept_sessions, sessions, passwords, limits, audit, clock)
    state.password_sign_in = PasswordSignIn(parts, registration_open=settings.registration_open)
    state.google_sign_in = GoogleSignIn(
        postgres,
        identity,
        sessions,
        _provider(settings, clock),
        settings.state_keys,
        audit,
        clock,
        registration_open=settings.registration_open,
    )


async def close_identity(state: State) -> None:
    await state.authenticator.close()
    await state.password_resets.close()
    await state.google_sign_in.close()


def _provider(settings: ApiSettings, clock: Clock) -> OpenIdProvider | None:
    if settings.google is None:
        return None
    return OpenIdProvider(settings.google, settings.api_url + CALLBACK_PATH, clock)
