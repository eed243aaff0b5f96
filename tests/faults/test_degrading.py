"""Each line of what is away and what then goes on, with the real store killed, hung, flushed, and brought back."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from tests.faults.engines import Engines
from tests.faults.phones import Phones, check_crash_rule
from tests.product import Product, eventually

SETTINGS = {"SCANHOP_LOG_LEVEL": "warning", "SCANHOP_TRUSTED_PROXIES": "127.0.0.0/8"}
TARGET = {"name": "fault", "type": "url", "target_url": "https://example.com/fault"}
LONGER_THAN_THE_LEASE_S = 35  # of the marker that says that Redis holds everything


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[Engines, Product]]:
    folder = tmp_path_factory.mktemp("degrading")
    with (
        Engines(folder / "engines") as engines,
        Product(folder / "data", {**engines.settings, **SETTINGS}) as product,
    ):
        yield engines, product


@pytest.fixture
def engines(running) -> Iterator[Engines]:
    engines, product = running
    yield engines
    engines.bring_back()
    wait_until_well(product)


@pytest.fixture
def product(running, engines) -> Product:
    """In health: nothing is left of an earlier test's fault."""
    _, product = running
    wait_until_well(product)
    return product


@pytest.fixture
def api(product, request) -> Iterator[httpx.Client]:
    """Of a workspace of the test's own."""
    name = re.sub(r"\W", "-", request.node.name)[:60]
    with product.api(product.new_account(f"{name}@example.com")) as client:
        yield client


@pytest.fixture
def phone() -> Iterator[httpx.Client]:
    """One that nobody has told to wait for ever."""
    with httpx.Client(timeout=15) as client:
        yield client


def wait_until_well(product: Product) -> None:
    eventually(lambda: is_healthy(product), 30)
    eventually(lambda: is_ready(product), 30)
    eventually(lambda: product.edge_figure("scanhop_edge_invalidation", "is_connected") == 1, 30)
    eventually(lambda: is_complete(product), 30)
    eventually(lambda: asks_redis(product))


def is_healthy(product: Product) -> bool:
    with product.api() as api:
        return api.get("/v1/public/health").json()["status"] == "ok"


def is_ready(product: Product) -> bool:
    return set(httpx.get(f"{product.edge_url}/readyz").json()["stores"].values()) == {"ok"}


def is_complete(product: Product) -> bool:
    with redis.Redis.from_url(product.variables()["SCANHOP_REDIS_URL"]) as client:
        return client.get("routes_complete") == client.info("server")["run_id"].encode()


def asks_redis(product: Product) -> bool:
    """The edge does; for a moment after a failure it does not."""
    before = product.edge_figure("scanhop_edge_routes_total", "redis")
    scan_unknown(product)
    return product.edge_figure("scanhop_edge_routes_total", "redis") > before


def flush_redis(product: Product) -> None:
    with redis.Redis.from_url(product.variables()["SCANHOP_REDIS_URL"]) as client:
        client.flushall()


def new_code(api: httpx.Client, **fields: object) -> dict[str, str]:
    answer = api.post("/v1/qr-codes", json=TARGET | fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def new_urls(api: httpx.Client, count: int) -> list[str]:
    return [new_code(api)["short_url"] for _ in range(count)]


def edit(api: httpx.Client, code: dict[str, str], target: str) -> None:
    answer = api.patch(f"/v1/qr-codes/{code['id']}", json={"target_url": target})
    assert answer.status_code == 200, answer.text


def status(url: str) -> int:
    return httpx.get(url, timeout=15).status_code


def statuses(phone: httpx.Client, urls: list[str]) -> set[int]:
    return {phone.get(url).status_code for url in urls}


def scan_unknown(product: Product) -> int:
    """The status of a code that nobody has, scanned from a network that has asked for few of them."""
    number = time.monotonic_ns()
    headers = {"X-Forwarded-For": f"198.{number % 251}.{number // 251 % 251}.1"}
    return httpx.get(f"{product.edge_url}/r/nobody-has-{number}", headers=headers, timeout=15).status_code


def leads_to(phone: httpx.Client, code: dict[str, str], target: str) -> bool:
    return phone.get(code["short_url"]).headers.get("location") == target


# --- Redis is away ---


def test_without_redis_every_code_redirects_also_one_that_was_never_scanned(engines, product, api, phone):
    remembered, unseen = new_urls(api, 10), new_urls(api, 10)
    assert statuses(phone, remembered) == {302}
    engines.redis.kill()
    assert statuses(phone, remembered + unseen) == {302}
    assert scan_unknown(product) == 404


def test_an_edit_without_redis_is_saved_and_takes_effect_and_stays_when_redis_is_back(engines, product, api, phone):
    code, unseen = new_code(api), new_code(api)
    assert leads_to(phone, code, TARGET["target_url"])
    engines.redis.kill()
    edit(api, code, "https://example.com/edited")
    edit(api, unseen, "https://example.com/edited")
    eventually(lambda: leads_to(phone, code, "https://example.com/edited"))
    engines.redis.bring_back()
    wait_until_well(product)
    assert leads_to(phone, code, "https://example.com/edited")
    assert leads_to(phone, unseen, "https://example.com/edited")


def test_after_redis_was_away_edits_are_heard_again(engines, product, api, phone):
    code = new_code(api)
    assert leads_to(phone, code, TARGET["target_url"])
    engines.redis.kill()
    eventually(lambda: product.edge_figure("scanhop_edge_invalidation", "is_connected") == 0)
    engines.redis.bring_back()
    wait_until_well(product)
    assert leads_to(phone, code, TARGET["target_url"])
    edit(api, code, "https://example.com/edited")
    eventually(lambda: leads_to(phone, code, "https://example.com/edited"), 10)


def test_without_redis_scan_limits_do_not_hold_and_hold_again_afterwards(engines, product, api, phone):
    url = new_code(api, max_scans=2)["short_url"]
    assert [phone.get(url).status_code for _ in range(3)] == [302, 302, 410]
    opened = product.edge_figure("scanhop_edge_exceptions_total", "scan_limit")
    engines.redis.kill()
    eventually(lambda: phone.get(url).status_code == 302)
    assert statuses(phone, [url] * 5) == {302}
    assert product.edge_figure("scanhop_edge_exceptions_total", "scan_limit") >= opened + 6
    engines.redis.bring_back()
    eventually(lambda: phone.get(url).status_code == 410)
    assert statuses(phone, [url] * 5) == {410}


def test_redis_is_killed_under_load_and_every_scan_is_answered_and_recorded_once(engines, product, api):
    with Phones(new_urls(api, 20)) as phones:
        phones.wait_for(200)
        engines.redis.kill()
        phones.wait_for(400)
        engines.redis.bring_back()
        phones.wait_for(400)
    assert not phones.broken
    check_crash_rule(product, phones)


def test_an_edit_takes_effect_when_redis_has_no_memory_left_for_it(engines, product, api, phone):
    code = new_code(api)
    assert leads_to(phone, code, TARGET["target_url"])
    with redis.Redis.from_url(engines.redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            edit(api, code, "https://example.com/edited")
            eventually(lambda: leads_to(phone, code, "https://example.com/edited"))
        finally:
            client.config_set("maxmemory", 0)


# --- Postgres is away ---


def test_without_postgres_every_published_code_redirects_and_an_unknown_one_is_unknown(engines, product, api, phone):
    remembered, unseen = new_urls(api, 10), new_urls(api, 10)
    assert statuses(phone, remembered) == {302}
    engines.postgres.kill()
    assert statuses(phone, remembered + unseen) == {302}
    assert {scan_unknown(product) for _ in range(20)} == {404}


def test_without_postgres_the_api_says_so_and_works_again_when_it_is_back(engines, product, api, phone):
    code = new_code(api)
    assert leads_to(phone, code, TARGET["target_url"])
    engines.postgres.kill()
    for answer in (
        api.get("/v1/qr-codes"),
        api.post("/v1/qr-codes", json=TARGET),
        api.patch(f"/v1/qr-codes/{code['id']}", json={"target_url": "https://example.com/edited"}),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    engines.postgres.bring_back()
    eventually(lambda: api.get("/v1/qr-codes").status_code == 200)
    edit(api, code, "https://example.com/back")
    eventually(lambda: leads_to(phone, code, "https://example.com/back"), 10)


def test_without_postgres_scans_still_arrive_and_limits_still_hold(engines, product, api, phone):
    limited = new_code(api, max_scans=2)["short_url"]
    assert phone.get(limited).status_code == 302
    urls = new_urls(api, 4)
    engines.postgres.kill()
    assert [phone.get(limited).status_code for _ in range(2)] == [302, 410]
    with Phones(urls) as phones:
        phones.wait_for(300)
    check_crash_rule(product, phones)


# --- both are away ---


def test_without_both_what_is_remembered_redirects_and_the_rest_is_unavailable(engines, product, api, phone):
    remembered, unseen = new_urls(api, 10), new_urls(api, 3)
    assert statuses(phone, remembered) == {302}
    engines.redis.kill()
    engines.postgres.kill()
    assert statuses(phone, remembered * 3) == {302}
    for url in unseen:
        answer = phone.get(url)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    with product.api() as anyone:
        assert anyone.get("/v1/public/health").status_code in (200, 503)
    engines.bring_back()
    eventually(lambda: statuses(phone, unseen) == {302}, 30)


def test_a_worker_that_starts_without_both_answers_what_the_last_one_remembered(engines, product, api, phone):
    remembered, unseen = new_urls(api, 10), new_urls(api, 1)
    assert statuses(phone, remembered) == {302}
    engines.redis.kill()
    engines.postgres.kill()
    [worker] = product.pids("edge", "--worker")
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: bool(set(product.pids("edge", "--worker")) - {worker}))
    with httpx.Client(timeout=15) as another:
        assert statuses(another, remembered) == {302}
        assert statuses(another, unseen) == {503}


def test_without_postgres_a_moment_without_redis_is_over_at_once(engines, product, api, phone):
    unseen = new_urls(api, 6)
    engines.postgres.kill()
    engines.redis.hang()
    assert phone.get(unseen[0]).status_code == 503
    engines.redis.go_on()
    assert statuses(phone, unseen) == {302}


# --- Redis is flushed ---


def test_a_flush_under_load_denies_no_code_at_any_moment(engines, product, api):
    seen, unseen = new_urls(api, 50), new_urls(api, 150)
    with Phones(seen) as before:
        before.wait_for(100)
    with Phones(seen + unseen, requests_a_second=500) as phones:
        phones.wait_for(50)
        flush_redis(product)
        phones.wait_for(300)
        flush_redis(product)
        phones.wait_for(300)
        eventually(lambda: is_complete(product))
    assert phones.refused == {}
    assert not phones.broken
    check_crash_rule(product, phones)


def test_a_flush_and_then_no_postgres_right_after_the_marker_is_back(engines, product, api, phone):
    urls = new_urls(api, 100)
    flush_redis(product)
    eventually(lambda: is_complete(product))
    engines.postgres.kill()
    assert statuses(phone, urls) == {302}
    assert {scan_unknown(product) for _ in range(5)} == {404}


def test_a_flush_without_postgres_makes_no_code_unknown(engines, product, api, phone):
    remembered, unseen = new_urls(api, 5), new_urls(api, 5)
    assert statuses(phone, remembered) == {302}
    engines.postgres.kill()
    flush_redis(product)
    assert statuses(phone, remembered) == {302}
    assert statuses(phone, unseen) == {503}
    engines.postgres.bring_back()
    eventually(lambda: statuses(phone, unseen) == {302}, 30)


def test_a_flush_keeps_a_scan_limit(engines, product, api, phone):
    """But for what was counted in the last second, which is waited for."""
    url = new_code(api, max_scans=3)["short_url"]
    assert [phone.get(url).status_code for _ in range(4)] == [302, 302, 302, 410]
    with redis.Redis.from_url(engines.redis_url) as client:
        eventually(lambda: not client.exists("scans_dirty", "scans_persisting"))
    flush_redis(product)
    assert statuses(phone, [url] * 5) == {410}


# --- ClickHouse is away ---


def test_without_clickhouse_nothing_changes_for_phones_and_everything_arrives_once_it_is_back(engines, product, api):
    with Phones(new_urls(api, 20)) as phones:
        phones.wait_for(100)
        waiting = product.edge_figure("scanhop_edge_spool_waiting", "bytes")
        engines.clickhouse.kill()
        phones.wait_for(600)
        eventually(lambda: product.edge_figure("scanhop_edge_spool_waiting", "bytes") > waiting)
        engines.clickhouse.bring_back()
        phones.wait_for(200)
    assert not phones.broken
    check_crash_rule(product, phones)
    eventually(lambda: product.edge_figure("scanhop_edge_spool_waiting", "segments") == 0)


# --- a store hangs ---


def test_while_redis_hangs_every_code_is_answered_and_edits_take_effect(engines, product, api, phone):
    code, unseen = new_code(api), new_urls(api, 3)
    assert leads_to(phone, code, TARGET["target_url"])
    engines.redis.hang()
    assert phone.get(code["short_url"]).status_code == 302
    assert statuses(phone, unseen) == {302}
    edit(api, code, "https://example.com/edited")
    eventually(lambda: leads_to(phone, code, "https://example.com/edited"))
    engines.redis.go_on()
    wait_until_well(product)
    assert leads_to(phone, code, "https://example.com/edited")
    edit(api, code, "https://example.com/again")
    eventually(lambda: leads_to(phone, code, "https://example.com/again"), 10)


def test_an_edit_made_while_redis_hung_takes_effect_for_a_code_that_no_worker_remembers(engines, product, api, phone):
    code = new_code(api)
    engines.redis.hang()
    time.sleep(3)
    edit(api, code, "https://example.com/edited")
    engines.redis.go_on()
    eventually(lambda: leads_to(phone, code, "https://example.com/edited"), 10)


def test_while_postgres_hangs_every_published_code_redirects(engines, product, api, phone):
    remembered, unseen = new_urls(api, 3), new_urls(api, 3)
    assert statuses(phone, remembered) == {302}
    engines.postgres.hang()
    assert statuses(phone, remembered + unseen) == {302}
    assert scan_unknown(product) == 404
    engines.postgres.go_on()
    eventually(lambda: api.get("/v1/qr-codes").status_code == 200)


def test_while_both_hang_nobody_waits_for_ever(engines, product, api, phone):
    remembered, unseen = new_urls(api, 5), new_urls(api, 40)
    assert statuses(phone, remembered) == {302}
    engines.redis.hang()
    engines.postgres.hang()
    assert statuses(phone, remembered * 2) == {302}
    with ThreadPoolExecutor(len(unseen)) as people:
        assert set(people.map(status, unseen)) == {503}
    assert statuses(phone, remembered * 2) == {302}
    engines.bring_back()
    eventually(lambda: statuses(phone, unseen) == {302}, 30)


# --- long forms ---


@pytest.mark.soak
def test_while_postgres_hangs_the_api_says_so_in_the_end(engines, product, api):
    engines.postgres.hang()
    answer = api.get("/v1/qr-codes")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    engines.postgres.go_on()
    eventually(lambda: api.get("/v1/qr-codes").status_code == 200)


@pytest.mark.soak
def test_without_postgres_for_longer_than_the_lease_unknown_codes_stay_unknown(engines, product, api, phone):
    unseen = new_urls(api, 10)
    engines.postgres.kill()
    ends = time.monotonic() + LONGER_THAN_THE_LEASE_S
    while time.monotonic() < ends:
        assert scan_unknown(product) == 404
        time.sleep(1)
    assert statuses(phone, unseen) == {302}


@pytest.mark.soak
@pytest.mark.parametrize("store", ["redis", "postgres", "clickhouse"])
def test_a_store_that_comes_and_goes_under_load_costs_no_scan(engines, product, api, store):
    engine = getattr(engines, store)
    with Phones(new_urls(api, 100)) as phones:
        for turn in range(12):
            (engine.hang if turn % 3 == 2 else engine.kill)()
            phones.wait_for(400)
            engine.bring_back()
            phones.wait_for(400)
    assert phones.refused == {}
    assert not phones.broken
    check_crash_rule(product, phones)


@pytest.mark.soak
def test_the_worker_is_killed_while_it_publishes_everything(engines, product, api):
    new_urls(api, 50)
    for _ in range(3):
        flush_redis(product)
        time.sleep(0.5)
        os.kill(product.pids("scanhop", "worker")[0], signal.SIGKILL)
        eventually(lambda: is_complete(product), 60)


@pytest.mark.soak
def test_redis_is_flushed_again_and_again_under_load(engines, product, api):
    urls = new_urls(api, 300)
    with Phones(urls) as phones:
        for _ in range(30):
            flush_redis(product)
            time.sleep(0.7)
    assert phones.refused == {}
    check_crash_rule(product, phones)
