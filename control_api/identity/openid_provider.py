"""Google, or another OpenID provider, spoken to by the authorization code flow (OpenID Connect Core 1.0) with PKCE.

What the provider publishes (addresses and keys) is kept for an hour; keys are asked for anew, at most once a minute,
when a token was signed with one that is not among them. Whoever needs them while they are being asked for waits for
the same answer. When the provider is away: ProviderAway, within TIMEOUT_S for each request there is to make.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from control_api.clock import Clock
from control_api.settings import GoogleSettings

TIMEOUT_S = 5.0
KEPT_FOR = timedelta(hours=1)
KEYS_ASKED_EVERY = timedelta(minutes=1)
LEEWAY_S = 60
MAX_ANSWER = 1 << 20
MAX_SUB = 255  # OpenID Connect Core 1.0, section 2
_ALGORITHMS = ["RS256"]
_SCOPE = "openid email profile"


class ProviderAway(Exception):
    """It did not answer, or not what the protocol says: the same call may succeed later."""


class SignInRefused(Exception):
    """The provider did not accept the code, or its answer does not prove who this is."""


@dataclass(frozen=True)
class Identity:
    """Who the provider says this is."""

    sub: str
    email: str
    email_verified: bool
    name: str | None


@dataclass(frozen=True)
class _Published:
    """The provider's discovery document and its keys."""

    configuration: Mapping[str, Any] = field(repr=False)
    keys: KeySet = field(repr=False)
    at: datetime


class OpenIdProvider:
    """One client of one provider. `redirect_uri`: where it sends browsers back to."""

    def __init__(self, settings: GoogleSettings, redirect_uri: str, clock: Clock) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._published: _Published | None = None
        self._asking: asyncio.Task[_Published] | None = None

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where the browser is sent. Raises ProviderAway."""
        published = await self._get_published()
        return str(
            prepare_grant_uri(
                published.configuration["authorization_endpoint"],
                self._settings.client_id,
                "code",
                redirect_uri=self._redirect_uri,
                scope=_SCOPE,
                state=state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
            )
        )

    async def get_identity(self, code: str, nonce: str, verifier: str) -> Identity:
        """Raises ProviderAway, SignInRefused."""
        published = await self._get_published()
        id_token = await self._exchange(str(published.configuration["token_endpoint"]), code, verifier)
        try:
            claims = await self._verified_claims(id_token, published)
            return self._identity_from(claims, published, nonce)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInRefused(f"the ID token is not valid: {type(error).__name__}") from error

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        await self._client.aclose()

    async def _exchange(self, url: str, code: str, verifier: str) -> str:
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=self._redirect_uri,
            code_verifier=verifier,
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        status, answer = await self._ask("POST", url, content=body, headers=headers)
        if status >= 500:
            raise ProviderAway(f"the token endpoint answered {status}")
        id_token = answer.get("id_token")
        if status != 200 or not isinstance(id_token, str):
            raise SignInRefused(f"the code was not accepted: {str(answer.get('error'))[:60]}")
        return id_token

    async def _verified_claims(self, id_token: str, published: _Published) -> dict[str, Any]:
        try:
            return jwt.decode(id_token, published.keys, algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError):
            if self._clock() - published.at < KEYS_ASKED_EVERY:
                raise
            newer = await self._get_published(newer_than=published)
            return jwt.decode(id_token, newer.keys, algorithms=_ALGORITHMS).claims

    def _identity_from(self, claims: dict[str, Any], published: _Published, nonce: str) -> Identity:
        """Raises JoseError, KeyError, ValueError."""
        options = {
            "iss": {"essential": True, "value": published.configuration["issuer"]},
            "aud": {"essential": True, "value": self._settings.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "nonce": {"essential": True, "value": nonce},
        }
        checked = CodeIDToken(
            claims, {}, options=options, params={"client_id": self._settings.client_id, "nonce": nonce}
        )
        checked.validate(now=int(self._clock().timestamp()), leeway=LEEWAY_S)
        verified = claims.get("email_verified")
        name = claims.get("name")
        return Identity(
            sub=_parse_sub(claims["sub"]),
            email=str(claims["email"]),
            email_verified=verified is True or verified == "true",
            name=name if isinstance(name, str) else None,
        )

    async def _get_published(self, newer_than: _Published | None = None) -> _Published:
        kept = self._published
        if kept is not None and kept is not newer_than and self._clock() - kept.at < KEPT_FOR:
            return kept
        if self._asking is None:
            self._asking = asyncio.create_task(self._fetch_published())
            self._asking.add_done_callback(self._end_asking)
        return await asyncio.shield(self._asking)  # whoever goes away leaves it to the others

    def _end_asking(self, asked: "asyncio.Task[_Published]") -> None:
        self._asking = None
        if not asked.cancelled() and asked.exception() is None:
            self._published = asked.result()

    async def _fetch_published(self) -> _Published:
        configuration = await self._get_document(self._settings.discovery_url)
        needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if any(not isinstance(configuration.get(name), str) for name in needed):
            raise ProviderAway("the discovery document lacks an address")
        keys = await self._get_document(configuration["jwks_uri"])
        try:
            return _Published(configuration, KeySet.import_key_set(keys), self._clock())  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderAway("the provider's keys cannot be read") from error

    async def _get_document(self, url: str) -> dict[str, Any]:
        status, document = await self._ask("GET", url)
        if status != 200:
            raise ProviderAway(f"{url} answered {status}")
        return document

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Raises ProviderAway, also for what is no JSON object."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._client.stream(method, url, **more) as answer:
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER:
                        raise ProviderAway(f"{url} answers too much")
                return answer.status_code, _parse_object(body)
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProviderAway(f"{url}: {type(error).__name__}") from error


def _parse_sub(sub: object) -> str:
    """Raises ValueError."""
    if not isinstance(sub, str) or len(sub) > MAX_SUB or not (sub.isascii() and sub.isprintable()):
        raise ValueError("is no subject")
    return sub


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProviderAway("the provider answered no JSON") from error
    if not isinstance(document, dict):
        raise ProviderAway("the provider answered no JSON object")
    return document
