"""Pages of a list while others write to it."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.control_api.api_client import ADMIN

LISTS = {"qr": "/v1/qr-codes", "domain": "/v1/domains", "audit": "/v1/admin/audit"}


async def insert(api, account, kind, number):
    if kind == "qr":
        await api.create_code(account)
    else:
        await api.create_domain(account, f"d{number}.{account.user_id}.example")


async def page_of(api, account, kind, **query):
    headers = ADMIN if kind == "audit" else account.headers
    query |= {"workspace_id": account.workspace_id} if kind == "audit" else {}
    answer = await api.client.get(LISTS[kind], headers=headers, params=query)
    body = answer.json()
    return [each["id"] for each in body["data"]], body["next_cursor"]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(LISTS)),
    before=st.integers(0, 7),
    limit=st.integers(1, 3),
    between=st.lists(st.integers(0, 2), max_size=8),
)
async def test_a_walk_sees_what_was_there_once_each_in_order_whatever_is_added(api, kind, before, limit, between):
    account = await api.create_account()
    for number in range(before):
        await insert(api, account, kind, number)
    there, _ = await page_of(api, account, kind, limit=200)
    seen, cursor, added = [], {}, 100
    while True:
        ids, following = await page_of(api, account, kind, limit=limit, **cursor)
        seen += ids
        if following is None:
            break
        assert len(ids) == limit
        cursor = {"cursor": following}
        for _ in range(between.pop() if between else 0):
            added += 1
            await insert(api, account, kind, added)
    assert seen == there
