"""What the worker does for identity: nothing of what has ended long ago is kept."""

from datetime import UTC, datetime, timedelta

import pytest

from control_api.identity import cleanup
from control_api.identity.cleanup import Cleanup
from scanhop.stores.postgres import Postgres
from tests.integration.control_api.api_client import ADMIN
from tests.integration.control_api.people import PASSWORD, create_workspace, register

TABLES = ("sessions", "refresh_tokens", "password_resets", "invitations")


@pytest.fixture
async def postgres(postgres_dsn):
    opened = Postgres(postgres_dsn, max_connections=2, command_timeout_s=10)
    yield opened
    await opened.close()


async def counts(database):
    return [await database.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]


async def test_what_has_ended_goes_and_the_rest_stays(api, database, postgres, monkeypatch):
    monkeypatch.setattr(cleanup, "AT_ONCE", 2)
    ada = await register(api, "ada@example.com")
    team = await create_workspace(api, ada)
    for n in range(3):
        await api.client.post("/v1/public/login", json={"email": ada.email, "password": PASSWORD})
        await api.client.post(f"/v1/admin/users/{ada.user_id}/password-reset", headers=ADMIN)
        wanted = {"email": f"guest{n}@example.com", "role": "viewer"}
        await api.client.post(f"/v1/workspaces/{team}/invitations", headers=ada.headers, json=wanted)
    for table in ("sessions", "password_resets", "invitations"):
        newest = f"SELECT max(ctid) FROM {table}"
        await database.execute(f"UPDATE {table} SET expires_at = now() - interval '1 m' WHERE ctid <> ({newest})")
    assert await counts(database) == [4, 4, 3, 3]
    done = await Cleanup(postgres, lambda: datetime.now(UTC)).run()
    assert done == {"sessions": 3, "password_resets": 2, "invitations": 2}
    assert await counts(database) == [1, 1, 1, 1]
    much_later = datetime.now(UTC) + timedelta(days=31)
    await Cleanup(postgres, lambda: much_later).run()
    assert await counts(database) == [0, 0, 0, 0]
