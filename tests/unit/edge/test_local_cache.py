import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bounded_map import BoundedMap
from edge.local_cache import CachedRoute, LocalCache
from tests.routes import cached

DOMAIN = bytes(16)
KEY = DOMAIN + b"menu"
TTL = 10.0


@pytest.fixture
def cache() -> LocalCache:
    return LocalCache()


def entry(raw: bytes = b"route", stale_at: float = TTL) -> CachedRoute:
    return cached(raw, b"prefix", stale_at)


def unknown(stale_at: float = TTL) -> CachedRoute:
    return entry(b"", stale_at)


def store(cache: LocalCache, code: str, stored: CachedRoute | None = None) -> CachedRoute:
    stored = stored or entry()
    cache.store(DOMAIN + code.encode(), stored)
    return stored


def sizes(cache: LocalCache) -> tuple[int, int]:
    return len(cache.known), len(cache.unknown)


def test_what_was_never_stored_is_not_found(cache):
    assert cache.find_fresh(KEY, 0) is None
    assert cache.find_any(KEY) is None


def test_a_stored_route_is_found_while_it_is_fresh_and_not_a_moment_longer(cache):
    stored = store(cache, "menu", entry(stale_at=100))
    assert cache.find_fresh(KEY, 99.999) is stored
    assert cache.find_fresh(KEY, 100) is None


def test_a_stale_route_is_still_there_for_bad_times(cache):
    stored = store(cache, "menu", entry(stale_at=0))
    assert cache.find_any(KEY) is stored


def test_hits_never_renew_an_entry(cache):
    store(cache, "menu")
    for now in range(int(TTL)):
        assert cache.find_fresh(KEY, now)
        cache.find_any(KEY)
    assert cache.find_fresh(KEY, TTL) is None


def test_storing_again_renews(cache):
    store(cache, "menu")
    newer = store(cache, "menu", entry(b"newer", 2 * TTL))
    assert cache.find_fresh(KEY, TTL + 4) is newer
    assert sizes(cache) == (1, 0)


def test_whoever_still_holds_a_replaced_entry_cannot_take_it_for_fresh(cache):
    replaced = store(cache, "menu")
    store(cache, "menu", entry(b"newer"))
    assert replaced.stale_at == 0.0


@pytest.mark.parametrize("new", [entry, unknown])
def test_whoever_still_holds_an_entry_that_gave_way_cannot_take_it_for_fresh(new):
    cache = LocalCache(max_known=1, max_unknown=1)
    gone, there = store(cache, "a", new()), store(cache, "b", new())
    assert (gone.stale_at, there.stale_at) == (0.0, TTL)


def test_a_code_can_be_marked_stale_and_stays_for_bad_times(cache):
    stored, other = store(cache, "menu"), store(cache, "other")
    cache.mark_stale(KEY)
    cache.mark_stale(DOMAIN + b"never stored")
    assert cache.find_fresh(KEY, 0) is None
    assert cache.find_any(KEY) is stored
    assert cache.find_fresh(DOMAIN + b"other", 0) is other


def test_everything_can_be_marked_stale(cache):
    store(cache, "menu")
    store(cache, "nowhere", unknown())
    cache.mark_all_stale()
    assert [cache.find_fresh(DOMAIN + code, 0) for code in (b"menu", b"nowhere")] == [None, None]
    assert sizes(cache) == (1, 1)


def test_an_unknown_code_is_remembered_as_such(cache):
    store(cache, "menu", unknown())
    assert cache.find_fresh(KEY, 1).is_unknown
    assert sizes(cache) == (0, 1)


def test_an_unknown_code_that_becomes_known_and_back_is_held_once(cache):
    for is_known in (False, True, False, True):
        stored = store(cache, "menu", entry() if is_known else unknown())
        assert cache.find_any(KEY) is stored
        assert sizes(cache) == ((1, 0) if is_known else (0, 1))


def test_codes_of_two_domains_are_two_codes(cache):
    store(cache, "menu")
    assert cache.find_any(b"\1" * 16 + b"menu") is None


def test_at_its_bound_the_entry_that_was_stored_first_goes():
    cache = LocalCache(max_known=2)
    for code in ("a", "b", "a", "c"):
        store(cache, code)
    assert [code for code in "abc" if cache.find_any(DOMAIN + code.encode())] == ["a", "c"]


def test_looking_a_code_up_does_not_keep_it():
    cache = LocalCache(max_known=2)
    store(cache, "a")
    store(cache, "b")
    cache.find_fresh(DOMAIN + b"a", 1)
    store(cache, "c")
    assert cache.find_any(DOMAIN + b"a") is None


def test_a_flood_of_unknown_codes_pushes_no_known_one_out():
    cache = LocalCache(max_known=2, max_unknown=3)
    stored = store(cache, "menu")
    for number in range(100):
        store(cache, f"random{number}", unknown())
    assert sizes(cache) == (1, 3)
    assert cache.find_fresh(KEY, 1) is stored


codes = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(codes, st.booleans(), st.floats(1, 100))), st.floats(0, 200))
def test_the_cache_holds_the_last_that_was_stored_within_its_bounds(stores, now):
    cache = LocalCache(max_known=3, max_unknown=2)
    last: dict[str, CachedRoute] = {}
    for code, is_known, stale_at in stores:
        last[code] = store(cache, code, entry(stale_at=stale_at) if is_known else unknown(stale_at))
    known, unknowns = sizes(cache)
    assert known <= 3
    assert unknowns <= 2
    for code, stored in last.items():
        held = cache.find_any(DOMAIN + code.encode())
        assert held is None or held is stored
        fresh = cache.find_fresh(DOMAIN + code.encode(), now)
        assert fresh is (held if held is not None and now < held.stale_at else None)
    if stores:
        assert cache.find_any(DOMAIN + stores[-1][0].encode()) is not None


def test_a_bounded_map_forgets_what_is_dropped():
    held: BoundedMap[str, int] = BoundedMap(2)
    held.store("a", 1)
    held.drop("a")
    held.drop("a")
    assert held.find("a") is None
    assert len(held) == 0
