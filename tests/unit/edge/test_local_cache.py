import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.local_cache import BoundedMap, LocalCache
from scanhop.wire.scan_record import encode_route_prefix
from tests.routes import new_route

DOMAIN = bytes(16)
TTL = 10.0
KEY = (DOMAIN, "menu")
ROUTE = new_route(code="menu")
PREFIX = b"prefix of an unknown code"


@pytest.fixture
def cache() -> LocalCache:
    return LocalCache(TTL)


def store(cache: LocalCache, code: str, route: object = ROUTE, read_at: float = 0.0) -> None:
    cache.store((DOMAIN, code), route, read_at, PREFIX)


def test_what_was_never_stored_is_not_found(cache):
    assert cache.find_fresh(KEY, 0) is None
    assert cache.find_any(KEY) is None


def test_a_stored_route_is_found_while_it_is_fresh_and_not_a_moment_longer(cache):
    store(cache, "menu", read_at=100)
    assert cache.find_fresh(KEY, 100 + TTL - 0.001).route == ROUTE
    assert cache.find_fresh(KEY, 100 + TTL) is None


def test_a_stale_route_is_still_there_for_bad_times(cache):
    store(cache, "menu", read_at=0)
    assert cache.find_any(KEY).route == ROUTE


def test_hits_never_renew_an_entry(cache):
    store(cache, "menu", read_at=0)
    for now in range(int(TTL)):
        assert cache.find_fresh(KEY, now)
        cache.find_any(KEY)
    assert cache.find_fresh(KEY, TTL) is None


def test_freshness_counts_from_when_the_store_was_asked(cache):
    entry = cache.store(KEY, ROUTE, 5.0, PREFIX)
    assert entry.stale_at == 5.0 + TTL


def test_storing_again_renews(cache):
    store(cache, "menu", read_at=0)
    newer = new_route(code="menu", version=2)
    store(cache, "menu", newer, read_at=5)
    assert cache.find_fresh(KEY, TTL + 4).route == newer
    assert cache.sizes() == (1, 0)


def test_an_entry_carries_what_begins_its_scan_records(cache):
    assert cache.store(KEY, ROUTE, 0, PREFIX).prefix == encode_route_prefix(ROUTE)
    assert cache.store(KEY, None, 0, PREFIX).prefix == PREFIX


def test_an_unknown_code_is_remembered_as_such(cache):
    store(cache, "menu", None)
    assert cache.find_fresh(KEY, 1).route is None
    assert cache.sizes() == (0, 1)


def test_an_unknown_code_that_becomes_known_and_back_is_held_once(cache):
    for route in (None, ROUTE, None, ROUTE):
        store(cache, "menu", route)
        assert cache.find_any(KEY).route == route
        assert cache.sizes() == ((0, 1) if route is None else (1, 0))


def test_codes_of_two_domains_are_two_codes(cache):
    other = (b"\1" * 16, "menu")
    store(cache, "menu")
    assert cache.find_any(other) is None


def test_at_its_bound_the_entry_that_was_stored_first_goes():
    cache = LocalCache(TTL, max_known=2)
    for code in ("a", "b", "a", "c"):
        store(cache, code)
    assert [code for code in "abc" if cache.find_any((DOMAIN, code))] == ["a", "c"]


def test_looking_a_code_up_does_not_keep_it():
    cache = LocalCache(TTL, max_known=2)
    store(cache, "a")
    store(cache, "b")
    cache.find_fresh((DOMAIN, "a"), 1)
    store(cache, "c")
    assert cache.find_any((DOMAIN, "a")) is None


def test_a_flood_of_unknown_codes_pushes_no_known_one_out():
    cache = LocalCache(TTL, max_known=2, max_unknown=3)
    store(cache, "menu")
    for number in range(100):
        store(cache, f"random{number}", None)
    assert cache.sizes() == (1, 3)
    assert cache.find_fresh(KEY, 1).route == ROUTE


codes = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(codes, st.booleans(), st.floats(0, 100))), st.floats(0, 200))
def test_the_cache_holds_the_last_that_was_stored_within_its_bounds(stores, now):
    cache = LocalCache(TTL, max_known=3, max_unknown=2)
    last: dict[str, tuple[bool, float]] = {}
    for code, is_known, read_at in stores:
        store(cache, code, ROUTE if is_known else None, read_at)
        last[code] = (is_known, read_at)
    known, unknown = cache.sizes()
    assert known <= 3
    assert unknown <= 2
    for code, (is_known, read_at) in last.items():
        entry = cache.find_any((DOMAIN, code))
        if entry is not None:
            assert (entry.route is not None) == is_known
            assert entry.stale_at == read_at + TTL
        fresh = cache.find_fresh((DOMAIN, code), now)
        assert fresh is None or now < fresh.stale_at
    if stores:
        assert cache.find_any((DOMAIN, stores[-1][0])) is not None


def test_a_bounded_map_forgets_what_is_dropped():
    held: BoundedMap[str, int] = BoundedMap(2)
    held.store("a", 1)
    held.drop("a")
    held.drop("a")
    assert held.find("a") is None
    assert len(held) == 0
