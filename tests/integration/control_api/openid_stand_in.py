"""A small OpenID provider for the tests: discovery, authorize, token and keys over real HTTP, RS256, PKCE checked."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "scanhop-tests"
CLIENT_SECRET = "the client's secret"


class OpenIdStandIn:
    """`claims` and `token_headers` change what the next ID tokens say; `asked` counts the requests by path.

    Until it `speaks` nothing is answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.key = RSAKey.generate_key(2048, parameters={"kid": "first", "use": "sig", "alg": "RS256"})
        self.signing_key = self.key
        self.claims: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.is_broken = False
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.asked: list[str] = []
        self._grants: dict[str, dict[str, str]] = {}
        self._now = 0

    def rotate_key(self) -> None:
        self.key = self.signing_key = RSAKey.generate_key(2048, parameters={"kid": "second", "use": "sig"})

    def answer(self, method: str, target: str, body: bytes, now: int) -> tuple[int, dict[str, str], bytes]:
        path, query = urlsplit(target).path, urlsplit(target).query
        self.asked.append(path)
        self._now = now
        if self.is_broken:
            return 500, {}, b"<html>broken</html>"
        if path == "/.well-known/openid-configuration":
            return _json(200, self._configuration())
        if path == "/keys":
            return _json(200, {"keys": [self.key.as_dict(private=False)]})
        if path == "/authorize":
            return self._authorize(_single(query))
        if (method, path) == ("POST", "/token"):
            return self._token(_single(body.decode()))
        return 404, {}, b""

    def _configuration(self) -> dict[str, str]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    def _authorize(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._grants[code] = asked
        where = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'scope': 'openid'})}"
        return 302, {"Location": where}, b""

    def _token(self, given: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked = self._grants.pop(given.get("code", ""), None)
        if asked is None or not self._is_proven(asked, given):
            return _json(400, {"error": "invalid_grant"})
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "google-1",
            "iat": self._now,
            "exp": self._now + 3600,
            "nonce": asked["nonce"],
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada",
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.signing_key.kid}
        token = jwt.encode(header, claims, self.signing_key, algorithms=[self.algorithm])
        return _json(200, {"access_token": "a", "token_type": "Bearer", "id_token": token})

    def _is_proven(self, asked: dict[str, str], given: dict[str, str]) -> bool:
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return (
            challenge == asked["code_challenge"]
            and given.get("redirect_uri") == asked["redirect_uri"]
            and (given.get("client_id"), given.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        )


def _json(status: int, document: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@asynccontextmanager
async def running(provider: OpenIdStandIn, now: Any) -> AsyncIterator[OpenIdStandIn]:
    """On a port of its own. `now` gives unix seconds."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        status, headers, content = provider.answer(method, target, body, now())
        waiting = [asyncio.create_task(each) for each in (provider.speaks.wait(), reader.read())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)  # the second: the client went away
        for each in waiting:
            each.cancel()
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield provider
