"""Finding codes: filters, orders, pages that inserts do not shift; tags."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.control_api.api_client import bad_names, problem_of

ORDERS = [(sort, order) for sort in ("created_at", "updated_at", "name") for order in ("asc", "desc")]


async def find(api, account, **params):
    answer = await api.client.get("/v1/qr-codes", headers=account.headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(api, account, **params):
    return [code["name"] for code in (await find(api, account, **params))["data"]]


async def test_text_is_found_in_name_code_and_target_in_any_letter_case_and_as_it_stands(api, account):
    await api.create_code(account, name="Spring Menu 100%", short_code="alpha")
    await api.create_code(account, name="Other", short_code="spring-2")
    await api.create_code(account, name="Third", target_url="https://example.com/SPRING_sale")
    await api.create_code(account, name="Nothing")
    assert await names(api, account, search="sPrInG") == ["Third", "Other", "Spring Menu 100%"]
    assert await names(api, account, search="100%") == ["Spring Menu 100%"]
    assert await names(api, account, search="g_s") == ["Third"]
    assert await names(api, account, search="%") == ["Spring Menu 100%"]
    assert await names(api, account, search="\\") == []
    assert bad_names(await api.client.get("/v1/qr-codes?search=", headers=account.headers)) == {"search"}
    assert bad_names(await api.client.get("/v1/qr-codes?search=%00", headers=account.headers)) == {"search"}


async def test_a_letter_is_the_same_however_it_is_composed(api, account):
    await api.create_code(account, name="Cafe\u0301")
    await api.create_code(account, name="Caf\u00e9")
    assert await names(api, account, search="caf\u00e9") == ["Caf\u00e9"] * 2
    assert await names(api, account, search="cafe\u0301") == ["Caf\u00e9"] * 2


async def test_every_filter_narrows_and_all_must_be_met(api, account, database):
    project = (await api.client.post("/v1/projects", headers=account.headers, json={"name": "P"})).json()["id"]
    await api.create_verified_domain(account, "qr.acme.example")
    await api.create_code(account, name="a", tags=["x", "y"], project_id=project)
    await api.create_code(account, name="b", tags=["x"])
    await api.create_code(account, name="c", domain="qr.acme.example")
    await database.execute(
        "UPDATE qr_codes SET created_at = '2026-01-01', updated_at = '2026-02-01' WHERE name = 'a'"
    )
    assert await names(api, account, tags="x") == ["b", "a"]
    assert await names(api, account, tags="y, x") == ["a"]
    assert await names(api, account, tags="x,z") == []
    assert await names(api, account, project_id=project) == ["a"]
    assert await names(api, account, project_id="none") == ["c", "b"]
    assert await names(api, account, domain="QR.acme.example") == ["c"]
    assert await names(api, account, domain="default") == ["b", "a"]
    assert await names(api, account, type="url", status="active") == ["c", "b", "a"]
    assert await names(api, account, created_from="2026-01-01T00:00:00Z", created_to="2026-01-02T00:00:00Z") == ["a"]
    assert await names(api, account, created_to="2026-01-01T00:00:00Z") == []
    assert await names(api, account, updated_from="2026-02-01T00:00:00Z", updated_to="2026-02-02T00:00:00Z") == ["a"]
    assert await names(api, account, tags="x", project_id="none") == ["b"]


async def test_bad_filters_are_named(api, account, subtests):
    for name, value in (
        ("sort", "id"),
        ("order", "up"),
        ("project_id", "x"),
        ("type", "vcard"),
        ("created_from", "2026"),
        ("status", "gone"),
        ("tags", ",".join("abcdefghijklmnopqrstu")),
    ):
        with subtests.test(name):
            answer = await api.client.get("/v1/qr-codes", headers=account.headers, params={name: value})
            assert bad_names(answer) == {name}


async def test_every_order_is_kept_and_its_cursor_goes_with_no_other(api, account):
    for name in ("beta", "Alpha", "gamma", "alpha", "Émile", "beta"):
        await api.create_code(account, name=name)
    by_name = [name.lower() for name in await names(api, account, sort="name") if name.isascii()]
    assert by_name == ["alpha", "alpha", "beta", "beta", "gamma"]
    for sort, order in ORDERS:
        whole = (await find(api, account, sort=sort, order=order))["data"]
        assert (await find(api, account, sort=sort, order="asc" if order == "desc" else "desc"))["data"] == whole[
            ::-1
        ]
        page = await find(api, account, sort=sort, order=order, limit=2)
        for other in ORDERS:
            if other != (sort, order):
                params = {"sort": other[0], "order": other[1], "cursor": page["next_cursor"]}
                answer = await api.client.get("/v1/qr-codes", headers=account.headers, params=params)
                problem_of(answer, 400, "bad_cursor")


NAMES = st.text(st.sampled_from("aAbBéß_%0 "), min_size=1, max_size=4).filter(str.strip)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(NAMES, max_size=9),
    meanwhile=st.lists(NAMES, max_size=9),
    limit=st.integers(1, 4),
    order=st.sampled_from(ORDERS),
)
async def test_no_code_is_met_twice_and_none_that_was_there_is_missed_while_others_are_created(
    api, before, meanwhile, limit, order
):
    account = await api.create_account()
    there = {(await api.create_code(account, name=name))["id"] for name in before}
    more = iter([meanwhile[at : at + 3] for at in range(0, len(meanwhile), 3)])
    seen, cursor = [], None
    while True:
        params = {"sort": order[0], "order": order[1], "limit": limit} | ({"cursor": cursor} if cursor else {})
        page, *_ = await asyncio.gather(
            find(api, account, **params), *(api.create_code(account, name=name) for name in next(more, ()))
        )
        seen += [code["id"] for code in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


async def test_tags_are_counted_and_paged(api, account):
    stranger = await api.create_account()
    await api.create_code(stranger, tags=["theirs"])
    await api.create_code(account, tags=["b", "a"])
    await api.create_code(account, tags=["a", "c"])
    gone = await api.create_code(account, tags=["a", "gone"])
    await api.client.delete(f"/v1/qr-codes/{gone['id']}", headers=account.headers)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/tags?limit=2{cursor}", headers=account.headers)).json()
        seen += [(tag["name"], tag["codes"]) for tag in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == [("a", 2), ("b", 1), ("c", 1)]


async def test_an_empty_workspace_has_no_codes_and_no_tags(api, account):
    assert await find(api, account) == {"data": [], "next_cursor": None}
    answer = await api.client.get("/v1/tags", headers=account.headers)
    assert answer.json() == {"data": [], "next_cursor": None}
