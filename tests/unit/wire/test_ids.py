from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from scanhop.wire.ids import DEFAULT_DOMAIN_ID, uuid7

NS_PER_MS = 1_000_000
times = st.integers(0, 2**64 - 1)


@given(times)
def test_an_id_says_that_it_is_version_7_of_the_rfc(now_ns):
    made = uuid7(now_ns)
    assert (made.version, made.variant) == (7, RFC_4122)


@given(times)
def test_an_id_begins_with_the_milliseconds_it_was_made_at(now_ns):
    assert uuid7(now_ns).int >> 80 == now_ns // NS_PER_MS


@given(times, times)
def test_ids_sort_by_the_millisecond_they_were_made_at(one, other):
    earlier, later = sorted([one, other])
    if earlier // NS_PER_MS < later // NS_PER_MS:
        assert uuid7(earlier) < uuid7(later)
        assert str(uuid7(earlier)) < str(uuid7(later))


def test_ids_of_one_moment_differ():
    assert len({uuid7(1_800_000_000_000_000_000) for _ in range(10_000)}) == 10_000


def test_every_random_bit_varies():
    made = [uuid7(0).int for _ in range(200)]
    ever_set, always_set = 0, (1 << 128) - 1
    for value in made:
        ever_set |= value
        always_set &= value
    random_bits = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    assert (ever_set ^ always_set) == random_bits


def test_the_default_domain_is_a_well_formed_version_7():
    assert (DEFAULT_DOMAIN_ID.version, DEFAULT_DOMAIN_ID.variant) == (7, RFC_4122)
