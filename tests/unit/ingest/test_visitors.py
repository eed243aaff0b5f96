import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.visitors import NO_VISITOR, Visitors, utc_day
from scanhop.stores.errors import StoreUnavailable

TODAY = date(2027, 1, 15)
DAY_NS = 86_400 * 10**9
TOMORROW = TODAY + timedelta(days=1)
SALTS = {TODAY: b"a" * 32, TOMORROW: b"b" * 32}
SOMEBODY = (b"\xc0\0\2\7", b"Mozilla/5.0", b"de")


class SaltShelf:
    """Where the salts come from; may be away."""

    def __init__(self, salts: Mapping[date, bytes]) -> None:
        self.salts = salts
        self.is_away = False

    async def __call__(self) -> Mapping[date, bytes]:
        if self.is_away:
            raise StoreUnavailable("away")
        return self.salts


def with_salts(salts: Mapping[date, bytes]) -> Visitors:
    visitors = Visitors(SaltShelf(salts))
    asyncio.run(visitors.refresh())
    return visitors


def key(visitors: Visitors, day: date, address: bytes, user_agent: bytes, language: bytes) -> int:
    (found,) = visitors.keys([((day - date(1970, 1, 1)).days * DAY_NS, address, user_agent, language)])
    return found


VISITORS = with_salts(SALTS)
addresses = st.sampled_from([4, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
texts = st.binary(max_size=50).map(lambda text: text.replace(b"\0", b""))


def test_a_visitor_is_the_same_all_day():
    assert key(VISITORS, TODAY, *SOMEBODY) == key(VISITORS, TODAY, *SOMEBODY)


def test_a_visitor_is_another_one_tomorrow():
    assert key(VISITORS, TODAY, *SOMEBODY) != key(VISITORS, TOMORROW, *SOMEBODY)


def test_a_visitor_is_another_one_under_another_salt():
    assert key(with_salts({TODAY: b"c" * 32}), TODAY, *SOMEBODY) != key(VISITORS, TODAY, *SOMEBODY)


@pytest.mark.parametrize("part", range(3))
def test_a_visitor_differs_by_address_and_user_agent_and_language(part):
    other = list(SOMEBODY)
    other[part] = bytes(reversed(other[part]))
    assert key(VISITORS, TODAY, *other) != key(VISITORS, TODAY, *SOMEBODY)


@given(st.lists(st.tuples(addresses, texts, texts), unique=True, min_size=2, max_size=2))
def test_two_visitors_have_two_keys(pair):
    one, other = pair
    assert key(VISITORS, TODAY, *one) != key(VISITORS, TODAY, *other)


@given(addresses, texts, texts)
def test_a_key_is_64_bits_and_never_the_one_that_means_unknown(address, user_agent, language):
    assert NO_VISITOR < key(VISITORS, TODAY, address, user_agent, language) < 2**64


def test_a_key_says_nothing_without_its_salt():
    before, after = Visitors(SaltShelf({})), with_salts({})
    assert key(before, TODAY, *SOMEBODY) == key(after, TODAY, *SOMEBODY) == NO_VISITOR


def test_many_at_once_have_the_keys_that_each_has_by_itself():
    noon, user_agent = (TODAY - date(1970, 1, 1)).days * DAY_NS + DAY_NS // 2, (b"Mozilla/5.0", b"de")
    times = [noon, noon + DAY_NS, noon - DAY_NS, noon, noon]
    addresses = [b"\1" * 4, b"\1" * 4, b"\1" * 4, b"", b"\1" * 4]
    seen = [(at_ns, address, *user_agent) for at_ns, address in zip(times, addresses, strict=True)]
    together = VISITORS.keys(seen)
    assert together == [VISITORS.keys([one])[0] for one in seen]
    assert [found == NO_VISITOR for found in together] == [False, False, True, True, False]
    assert together[0] == together[4] != together[1]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_is_on_its_utc_day(at):
    assert utc_day(int(at.timestamp()) * 10**9 + 999_999_999) == at.date()


def test_only_days_with_a_salt_are_had():
    assert VISITORS.has(TODAY)
    assert not VISITORS.has(TODAY - timedelta(days=1))


async def test_when_salts_cannot_be_read_those_at_hand_stay():
    shelf = SaltShelf(SALTS)
    visitors = Visitors(shelf)
    await visitors.refresh()
    shelf.is_away = True
    with pytest.raises(StoreUnavailable):
        await visitors.refresh()
    assert visitors.has(TODAY)


async def test_a_salt_that_is_gone_is_forgotten_at_the_next_reading():
    shelf = SaltShelf(SALTS)
    visitors = Visitors(shelf)
    await visitors.refresh()
    shelf.salts = {TOMORROW: SALTS[TOMORROW]}
    await visitors.refresh()
    assert key(visitors, TODAY, *SOMEBODY) == NO_VISITOR
