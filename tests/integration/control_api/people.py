"""Users who sign in, as the tests meet them."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.integration.control_api.api_client import Api

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in."""

    user_id: str
    workspace_id: str
    email: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def within(self, workspace_id: str) -> dict[str, str]:
        return self.headers | {"Scanhop-Workspace": workspace_id}


def person_from(body: dict[str, Any]) -> Person:
    user = body["user"]
    return Person(user["id"], body["workspace"]["id"], user["email"], body["access_token"], body["refresh_token"])


async def register(api: Api, email: str, **fields: Any) -> Person:
    answer = await api.client.post("/v1/public/register", json={"email": email, "password": PASSWORD} | fields)
    assert answer.status_code == 201, answer.text
    return person_from(answer.json())


async def create_workspace(api: Api, owner: Person, name: str = "Team") -> str:
    answer = await api.client.post("/v1/workspaces", headers=owner.headers, json={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def add_member(database: asyncpg.Connection, workspace_id: str, person: Person, role: str) -> None:
    """Without the way of an invitation."""
    await database.execute(
        "INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)",
        workspace_id,
        person.user_id,
        role,
    )
