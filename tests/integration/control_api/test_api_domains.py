"""Custom domains: claimed by workspaces, verified by the platform admin, taken by codes, known to the edge."""

import asyncio

import pytest

from control_api.domains.publication import PUBLISH_DOMAINS, publish_domains
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from tests.integration.control_api.api_client import ADMIN, TARGET, bad_names, problem_of

HOST = "qr.example.com"


@pytest.fixture
async def cache(redis_url):
    redis = open_redis(redis_url, timeout_s=1)
    yield DomainCache(redis)
    await redis.aclose()


@pytest.fixture
async def table(postgres_dsn):
    postgres = Postgres(postgres_dsn, max_connections=2, command_timeout_s=5)
    yield DomainTable(postgres)
    await postgres.close()


async def create(api, account, **fields):
    return await api.client.post("/v1/domains", headers=account.headers, json=fields)


async def get(api, account, domain):
    return await api.client.get(f"/v1/domains/{domain['id']}", headers=account.headers)


async def change(api, account, domain, if_match=None, **fields):
    headers = account.headers | ({"If-Match": if_match} if if_match else {})
    return await api.client.patch(f"/v1/domains/{domain['id']}", headers=headers, json=fields)


async def delete(api, account, domain, if_match=None):
    headers = account.headers | ({"If-Match": if_match} if if_match else {})
    return await api.client.delete(f"/v1/domains/{domain['id']}", headers=headers)


async def verify(api, domain):
    return await api.client.post(f"/v1/admin/domains/{domain['id']}/verify", headers=ADMIN)


async def create_on(api, account, host, **fields):
    body = {"name": "x", "target_url": TARGET, "domain": host} | fields
    return await api.client.post("/v1/qr-codes", headers=account.headers, json=body)


async def published_hosts(cache):
    domains = await cache.find_domains()
    return None if domains is None else [domain.host for domain in domains]


async def test_a_created_domain_is_answered_whole_and_unverified(api, account):
    answer = await create(api, account, host="QR.Exämple.com")
    assert answer.status_code == 201
    domain = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/domains/{domain['id']}"
    assert domain["created_at"] == domain["updated_at"]
    assert domain == {
        "id": domain["id"],
        "workspace_id": account.workspace_id,
        "host": "qr.xn--exmple-cua.com",
        "code_case": "fold",
        "not_found_url": None,
        "is_verified": False,
        "verified_at": None,
        "version": 1,
        "created_at": domain["created_at"],
        "updated_at": domain["created_at"],
    }
    found = await get(api, account, domain)
    assert found.json() == domain
    assert found.headers["etag"] == '"1"'


SCHEMES_AND_PORTS = ["https://a.example", "a.example/", "a.example/x", "a.example:80", "a.example?x", "u@a.example"]
ADDRESSES = ["1.2.3.4", "0x7f.1", "2130706433", "[::1]", "::1"]
NO_NAMES = ["a..example", ".a.example", "a.example.", "-a.example", "a_b.example", "*.a.example", "%61.example"]
BAD_HOSTS = [*SCHEMES_AND_PORTS, *ADDRESSES, *NO_NAMES, "a,b", "a\\b", "xn--.example", "qr.example", "QR.Example"]


@pytest.mark.parametrize(
    "host",
    [
        *BAD_HOSTS,
        "",
        " ",
        " a.example",
        "a b.example",
        "a\x00.example",
        "a\r\nb.example",
        "a\u00ad\u200b.\u200b",
        "a" * 64 + ".example",
        "a." * 126 + "example",
        "x" * 100_000,
        7,
        None,
        ["a.example"],
    ],
)
async def test_what_is_no_host_or_the_default_domains_own_is_refused(api, account, host):
    assert bad_names(await create(api, account, host=host)) == {"host"}


async def test_every_bad_field_of_a_domain_is_named(api, account):
    answer = await create(
        api, account, host="a b", code_case="upper", not_found_url="javascript:alert(1)", verified_at="now"
    )
    assert bad_names(answer) == {"host", "code_case", "not_found_url", "verified_at"}


async def test_hosts_of_every_form_are_taken(api, account):
    for host in ("a", "a-b.example", "1.example", "x" * 63 + ".example", "例え.jp", "a1.b2.c3.example"):
        assert (await create(api, account, host=host)).status_code == 201


async def test_a_workspace_has_a_host_once_but_others_may_claim_it(api, account):
    await api.create_domain(account, HOST)
    problem_of(await create(api, account, host=HOST.upper()), 409, "host_taken")
    await api.create_domain(await api.create_account(), HOST)


async def test_pages_of_domains_follow_each_other(api, account):
    await api.create_domain(await api.create_account(), "of-another.example")
    ids = [(await api.create_domain(account, f"d{number}.example"))["id"] for number in range(5)][::-1]
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/domains?limit=2{cursor}", headers=account.headers)).json()
        assert len(page["data"]) <= 2
        seen += [domain["id"] for domain in page["data"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        await api.create_domain(account, f"later{len(seen)}.example")
    assert seen == ids


async def test_a_page_of_domains_is_read_from_the_index(api, account, database):
    await database.execute(
        "INSERT INTO domains (id, workspace_id, host) "
        "SELECT gen_random_uuid(), $1, 'd' || n || '.example' FROM generate_series(1, 5000) n",
        account.workspace_id,
    )
    await database.execute("ANALYZE domains")
    statement = api.app.state.domains._repository._sql["list_domains"]
    plan = "\n".join(
        row[0] for row in await database.fetch(f"EXPLAIN {statement}", account.workspace_id, None, None, 51)
    )
    assert "domains_of_workspace" in plan
    assert "Sort" not in plan


async def test_another_tenants_domain_does_not_exist_on_any_route(api, account):
    domain = await api.create_domain(account, HOST)
    stranger = await api.create_account()
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    routes = [
        (method, path) for path, methods in paths.items() if path.startswith("/v1/domains/") for method in methods
    ]
    assert len(routes) == 3
    for method, path in routes:
        body = {"json": {"not_found_url": None}} if method == "patch" else {}
        url = path.replace("{domain_id}", domain["id"])
        answer = await api.client.request(method, url, headers=stranger.headers, **body)
        problem_of(answer, 404, "not_found")
    assert (await get(api, account, domain)).json() == domain


async def test_the_default_domain_is_nobodys(api, account, database):
    default = {"id": str(await database.fetchval("SELECT id FROM domains"))}
    problem_of(await get(api, account, default), 404, "not_found")
    problem_of(await delete(api, account, default), 404, "not_found")
    problem_of(await verify(api, default), 404, "not_found")


async def test_permission_comes_before_validation_and_that_before_existence(api, account, database):
    nobody = {"id": "01a1fbb3-0000-7000-8000-000000000000"}
    await database.execute("UPDATE api_keys SET scopes = '{domains:read}'")
    problem_of(await create(api, account, host=7), 403, "missing_scope")
    problem_of(await change(api, account, nobody, not_found_url=7), 403, "missing_scope")
    problem_of(await delete(api, account, nobody), 403, "missing_scope")
    problem_of(await get(api, account, nobody), 404, "not_found")
    await database.execute("UPDATE api_keys SET scopes = '{domains:write}'")
    assert bad_names(await change(api, account, nobody, not_found_url=7)) == {"not_found_url"}
    assert bad_names(await change(api, account, nobody)) == {"body"}
    assert bad_names(await change(api, account, nobody, host="b.example")) == {"host"}
    problem_of(await change(api, account, nobody, not_found_url=None), 404, "not_found")
    problem_of(await api.client.get("/v1/domains", headers=account.headers), 403, "missing_scope")
    problem_of(await verify(api, {"id": "x"}), 404, "not_found")
    problem_of(await verify(api, nobody), 404, "not_found")


async def test_a_change_makes_a_version_and_null_clears(api, account):
    domain = await api.create_domain(account, HOST)
    answer = await change(api, account, domain, if_match='"1"', not_found_url="HTTPS://Example.com")
    changed = answer.json()
    assert answer.headers["etag"] == '"2"'
    assert (changed["not_found_url"], changed["version"]) == ("https://example.com/", 2)
    assert (await change(api, account, domain, not_found_url="https://example.com/")).json() == changed
    for url in ("javascript:alert(1)", "https://a.example/\r\nX: y", ""):
        assert bad_names(await change(api, account, domain, not_found_url=url)) == {"not_found_url"}
    problem_of(await change(api, account, domain, if_match='"1"', not_found_url=None), 412, "stale_version")
    problem_of(await delete(api, account, domain, if_match='"1"'), 412, "stale_version")
    cleared = (await change(api, account, domain, not_found_url=None)).json()
    assert (cleared["not_found_url"], cleared["version"]) == (None, 3)


async def test_of_writers_who_saw_the_same_version_of_a_domain_one_succeeds(api, account):
    domain = await api.create_domain(account, HOST)
    answers = await asyncio.gather(
        *(
            change(api, account, domain, if_match='"1"', not_found_url=f"https://example.com/{number}")
            for number in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]


async def test_verifying_is_the_platform_admins_and_once_is_as_good_as_twice(api, account):
    domain = await api.create_domain(account, HOST)
    url = f"/v1/admin/domains/{domain['id']}/verify"
    problem_of(await api.client.post(url, headers=account.headers), 403, "admin_key_needed")
    verified = (await verify(api, domain)).json()
    assert (verified["is_verified"], verified["version"]) == (True, 2)
    assert verified["verified_at"] == verified["updated_at"]
    assert (await verify(api, domain)).json() == verified
    assert (await get(api, account, domain)).json() == verified


async def test_a_host_is_verified_for_one_workspace_at_a_time(api, account):
    other = await api.create_account()
    mine, theirs = await api.create_domain(account, HOST), await api.create_domain(other, HOST)
    answers = await asyncio.gather(*(verify(api, domain) for domain in (mine, theirs)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    winner, loser = (mine, theirs) if answers[0].status_code == 200 else (theirs, mine)
    owner = account if winner is mine else other
    problem_of(await verify(api, loser), 409, "host_taken")
    assert (await delete(api, owner, winner)).status_code == 204
    assert (await verify(api, loser)).status_code == 200


async def test_the_edge_knows_verified_domains_only_and_each_change_at_once(api, account, cache):
    domain = await api.create_domain(account, HOST, code_case="exact")
    await api.create_domain(account, "unverified.example")
    assert await cache.find_domains() is None
    await verify(api, domain)
    [published] = await cache.find_domains()
    assert (str(published.host), published.is_exact, published.not_found_url) == (HOST, True, None)
    assert published.id.hex() == domain["id"].replace("-", "")
    await change(api, account, domain, not_found_url="https://example.com/none")
    [published] = await cache.find_domains()
    assert published.not_found_url == "https://example.com/none"
    await delete(api, account, domain)
    assert await cache.find_domains() == []


async def test_each_change_of_the_verified_set_has_a_job_and_nothing_else_has(api, account, database):
    domain = await api.create_domain(account, HOST)
    await change(api, account, domain, not_found_url="https://example.com/")
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 0
    await verify(api, domain)
    await verify(api, domain)
    await change(api, account, domain, not_found_url=None)
    await change(api, account, domain, not_found_url=None)
    await delete(api, account, domain)
    jobs = await database.fetch("SELECT entrypoint FROM pgqueuer")
    assert [job["entrypoint"] for job in jobs] == [PUBLISH_DOMAINS] * 3


async def test_a_verification_that_cannot_be_enqueued_does_not_happen(api, account, database, cache):
    domain = await api.create_domain(account, HOST)
    await database.execute("ALTER TABLE pgqueuer RENAME TO elsewhere")
    problem_of(await verify(api, domain), 503, "store_unavailable")
    assert (await get(api, account, domain)).json() == domain
    assert await cache.find_domains() is None


async def test_with_redis_away_the_verification_stands_and_the_job_publishes_it(open_api, table, cache):
    async with open_api(redis_url="redis://127.0.0.1:9") as api:
        domain = await api.create_domain(await api.create_account(), HOST)
        assert (await verify(api, domain)).status_code == 200
    assert await cache.find_domains() is None
    assert [await publish_domains(table, cache) for _ in range(2)] == [True, False]
    assert await published_hosts(cache) == [HOST]


async def test_a_publication_that_was_held_up_does_not_undo_a_later_one(api, account, table, cache):
    domain = await api.create_verified_domain(account, HOST)
    held_up = await table.list_domains_with_version()
    await delete(api, account, domain)
    assert not await cache.put_domains(*held_up)
    assert await cache.find_domains() == []


async def test_a_code_sits_on_a_verified_domain_under_a_short_url_of_its_own(api, account):
    await api.create_verified_domain(account, HOST)
    code = await api.create_code(account, domain=HOST.upper(), short_code="Menu")
    assert (code["domain"], code["short_code"]) == (HOST, "menu")
    assert code["short_url"] == f"https://{HOST}/menu"
    assert (await api.client.get(f"/v1/qr-codes/{code['id']}", headers=account.headers)).json() == code
    changed = (await api.change_code(account, code, name="Other")).json()
    assert (changed["domain"], changed["short_url"]) == (code["domain"], code["short_url"])
    generated = await api.create_code(account, domain=HOST)
    assert len(generated["short_code"]) == 7
    problem_of(await create_on(api, account, HOST, short_code="MENU"), 409, "short_code_taken")
    assert (await api.create_code(account, short_code="menu"))["short_url"] == "https://qr.example/r/menu"


async def test_the_short_url_has_the_scheme_of_the_public_url(open_api):
    async with open_api(public_url="http://127.0.0.1:8080/base") as api:
        account = await api.create_account()
        await api.create_verified_domain(account, HOST)
        assert (await api.create_code(account, domain=HOST, short_code="a"))["short_url"] == f"http://{HOST}/a"
        assert (await api.create_code(account, short_code="a"))["short_url"] == "http://127.0.0.1:8080/base/r/a"


async def test_codes_on_an_exact_domain_keep_their_letter_case(api, account):
    await api.create_verified_domain(account, HOST, code_case="exact")
    codes = [await api.create_code(account, domain=HOST, short_code=text) for text in ("Menu", "menu", "MENU_-1")]
    assert [code["short_code"] for code in codes] == ["Menu", "menu", "MENU_-1"]
    assert codes[0]["short_url"] == f"https://{HOST}/Menu"
    problem_of(await create_on(api, account, HOST, short_code="Menu"), 409, "short_code_taken")
    for text in ("Docs", "-a", "a b", "é", "a" * 64):
        assert bad_names(await create_on(api, account, HOST, short_code=text)) == {"short_code"}


async def test_a_domain_that_takes_no_codes_is_refused(api, account, subtests):
    other = await api.create_account()
    await api.create_domain(account, "unverified.example")
    await api.create_verified_domain(other, "of-another.example")
    gone = await api.create_verified_domain(account, "gone.example")
    await delete(api, account, gone)
    for host in ("unverified.example", "of-another.example", "gone.example", "none.example", "qr.example", "", "a b"):
        with subtests.test(host):
            assert bad_names(await create_on(api, account, host)) == {"domain"}
    for bad in (7, "\x00", "x" * 100_000, ["a"]):
        assert bad_names(await create_on(api, account, bad)) == {"domain"}


async def test_a_domain_is_not_deleted_while_codes_are_on_it(api, account):
    domain = await api.create_verified_domain(account, HOST)
    codes = [await api.create_code(account, domain=HOST) for _ in range(2)]
    await api.change_code(account, codes[0], status="archived")
    for code in codes:
        problem_of(await delete(api, account, domain), 409, "domain_in_use")
        await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    assert (await delete(api, account, domain)).status_code == 204
    for answer in (await get(api, account, domain), await delete(api, account, domain), await verify(api, domain)):
        problem_of(answer, 404, "not_found")
    assert (await api.client.get("/v1/domains", headers=account.headers)).json()["data"] == []


async def test_a_domain_that_comes_back_is_unverified_and_remembers_its_codes(api, account):
    domain = await api.create_verified_domain(account, HOST, not_found_url="https://example.com/")
    code = await api.create_code(account, domain=HOST, short_code="menu")
    await api.client.delete(f"/v1/qr-codes/{code['id']}", headers=account.headers)
    await delete(api, account, domain)
    again = await api.create_domain(account, HOST, code_case="exact")
    assert (again["is_verified"], again["code_case"], again["not_found_url"]) == (False, "exact", None)
    assert again["version"] > domain["version"]
    assert bad_names(await create_on(api, account, HOST)) == {"domain"}
    await verify(api, again)
    problem_of(await create_on(api, account, HOST, short_code="menu"), 409, "short_code_taken")
    assert (await create_on(api, account, HOST, short_code="Menu")).status_code == 201


async def test_no_code_gets_onto_a_domain_that_is_being_deleted(api, account, database):
    for number in range(8):
        host = f"d{number}.example"
        domain = await api.create_verified_domain(account, host)
        created, deleted = await asyncio.gather(create_on(api, account, host), delete(api, account, domain))
        assert (created.status_code, deleted.status_code) in {(201, 409), (422, 204)}
    lost = "SELECT count(*) FROM qr_codes q JOIN domains d ON d.id = q.domain_id WHERE d.deleted_at IS NOT NULL"
    assert await database.fetchval(lost) == 0
