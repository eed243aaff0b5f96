"""A cursor goes on in the list it was made for, and in no other."""

import pytest

from tests.integration.control_api.api_client import ADMIN, problem_of
from tests.integration.control_api.app_routes import routes_of
from tests.integration.control_api.people import create_workspace, register

NOTHING = "01a1fbb3-0000-7000-8000-000000000000"


def lists_of(app):
    """Each route that takes a cursor in its query."""
    operations = app.openapi()["paths"]
    return [
        each
        for each in routes_of(app)
        if each.method == "GET"
        for parameter in operations.get(each.path, {}).get("get", {}).get("parameters", ())
        if parameter["name"] == "cursor"
    ]


async def cursor_of(api, url, headers, **query):
    answer = await api.client.get(url, headers=headers, params={"limit": 1} | query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"], answer.text
    return answer.json()["next_cursor"]


async def test_the_cursor_of_one_list_is_refused_by_every_other(api):
    ada = await register(api, "ada@example.com")
    await register(api, "grace@example.com")
    for name in ("a", "b"):
        body = {"name": name, "target_url": "https://example.com/", "tags": [name]}
        assert (await api.client.post("/v1/qr-codes", headers=ada.headers, json=body)).status_code == 201
    cursors = {
        "/v1/admin/users": await cursor_of(api, "/v1/admin/users", ADMIN),
        "/v1/admin/audit": await cursor_of(api, "/v1/admin/audit", ADMIN),
        "/v1/qr-codes": await cursor_of(api, "/v1/qr-codes", ada.headers),
        "/v1/tags": await cursor_of(api, "/v1/tags", ada.headers),
    }
    lists = lists_of(api.app)
    assert len(lists) > 15
    for each in lists:
        url = each.url(**dict.fromkeys(each.parameters, NOTHING) | {"workspace_id": ada.workspace_id})
        for made_for, cursor in cursors.items():
            asked = {"limit": 1, "cursor": cursor}
            answer = await api.client.get(url, headers=ADMIN if each.is_admin else ada.headers, params=asked)
            if made_for == each.path:
                assert answer.status_code == 200, str(each)
            else:
                problem_of(answer, 400, "bad_cursor")


@pytest.mark.parametrize(
    ("path", "filters", "other"),
    [
        ("/v1/audit", {"action": "qr_code.created"}, {}),
        ("/v1/qr-codes", {"search": "menu"}, {"search": "table"}),
        ("/v1/qr-codes", {}, {"status": "paused"}),
    ],
)
async def test_a_cursor_goes_on_with_the_same_filters_in_the_same_workspace(api, path, filters, other):
    ada = await register(api, "ada@example.com")
    team = await create_workspace(api, ada)
    for _ in range(2):
        body = {"name": "menu", "target_url": "https://example.com/"}
        assert (await api.client.post("/v1/qr-codes", headers=ada.headers, json=body)).status_code == 201
    cursor = {"cursor": await cursor_of(api, path, ada.headers, **filters)}
    again = await api.client.get(path, headers=ada.headers, params=filters | cursor)
    assert (again.status_code, len(again.json()["data"])) == (200, 1)
    problem_of(await api.client.get(path, headers=ada.headers, params=other | cursor), 400, "bad_cursor")
    problem_of(await api.client.get(path, headers=ada.within(team), params=filters | cursor), 400, "bad_cursor")
