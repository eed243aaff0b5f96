"""How the tests talk to the API."""

import itertools
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

ADMIN_KEY = "the-platform-admin-key"
ADMIN = {"X-API-Key": ADMIN_KEY}
TARGET = "https://example.com/menu"


@dataclass(frozen=True)
class Account:
    """A user, their workspace and their key."""

    user_id: str
    workspace_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


class Api:
    """The application and a client of it."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client
        self._numbers = itertools.count(1)

    async def create_account(self) -> Account:
        wanted = {"email": f"user{next(self._numbers)}@example.com"}
        answer = await self.client.post("/v1/admin/users", headers=ADMIN, json=wanted)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return Account(body["user"]["id"], body["workspace"]["id"], body["api_key"])

    async def create_code(self, account: Account, **fields: Any) -> dict[str, Any]:
        body = {"name": "Menu", "target_url": TARGET} | fields
        answer = await self.client.post("/v1/qr-codes", headers=account.headers, json=body)
        assert answer.status_code == 201, answer.text
        code: dict[str, Any] = answer.json()
        return code

    async def create_domain(self, account: Account, host: str, **fields: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/domains", headers=account.headers, json={"host": host} | fields)
        assert answer.status_code == 201, answer.text
        domain: dict[str, Any] = answer.json()
        return domain

    async def create_verified_domain(self, account: Account, host: str, **fields: Any) -> dict[str, Any]:
        domain = await self.create_domain(account, host, **fields)
        answer = await self.client.post(f"/v1/admin/domains/{domain['id']}/verify", headers=ADMIN)
        assert answer.status_code == 200, answer.text
        verified: dict[str, Any] = answer.json()
        return verified

    async def change_code(
        self, account: Account, code: dict[str, Any], if_match: str | None = None, **fields: Any
    ) -> httpx.Response:
        headers = account.headers | ({"If-Match": if_match} if if_match else {})
        return await self.client.patch(f"/v1/qr-codes/{code['id']}", headers=headers, json=fields)


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body, once it is sure to be that problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:scanhop:error:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    return body


def bad_names(answer: httpx.Response) -> set[str]:
    """What a 422 complains about."""
    return {each["name"] for each in problem_of(answer, 422, "invalid_parameters")["invalid_parameters"]}
