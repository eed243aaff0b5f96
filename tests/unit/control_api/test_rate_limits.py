"""GCRA by itself: never more than the burst and what has been given back, and a refusal says when to come again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from control_api.rate_limits.local_buckets import MAX_BUCKETS, STRICTER, LocalBuckets
from control_api.rate_limits.model import SECOND_US, Limit, decide

LIMITS = st.builds(Limit, st.just("default"), st.integers(1, 1000), st.integers(1, 50))


def test_a_full_bucket_lets_a_burst_in_and_then_one_for_each_interval():
    limit, full_at = Limit("default", 10, 3), 0
    for remaining in (2, 1, 0):
        verdict, full_at = decide(limit, full_at, now_us=1_000_000)
        assert (verdict.is_allowed, verdict.remaining) == (True, remaining)
    assert verdict.full_us == 300_000
    refused, full_at = decide(limit, full_at, now_us=1_000_000)
    assert (refused.is_allowed, refused.remaining, refused.retry_us) == (False, 0, 100_000)
    assert decide(limit, full_at, 1_099_999)[0].is_allowed is False
    assert decide(limit, full_at, 1_100_000)[0].is_allowed is True


@settings(max_examples=100)
@given(limit=LIMITS, pauses=st.lists(st.integers(0, 2 * SECOND_US), min_size=1, max_size=100))
def test_no_window_lets_in_more_than_the_burst_and_what_was_given_back(limit, pauses):
    full_at, now, allowed = 0, 10 * SECOND_US, []
    for pause in pauses:
        now += pause
        verdict, full_at = decide(limit, full_at, now)
        assert 0 <= verdict.remaining < limit.burst
        assert 0 <= verdict.full_us <= limit.tolerance_us
        if verdict.is_allowed:
            allowed.append(now)
        else:
            assert decide(limit, full_at, now + verdict.retry_us)[0].is_allowed
            assert not decide(limit, full_at, now + verdict.retry_us - 1)[0].is_allowed
    for first, start in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= limit.burst + (allowed[last] - start) // limit.interval_us


def test_a_bucket_of_the_future_is_taken_as_an_empty_one():
    """Another limit was set meanwhile, or the clock went back."""
    limit = Limit("default", 10, 3)
    verdict, _ = decide(limit, full_at_us=10**15, now_us=0)
    assert (verdict.is_allowed, verdict.retry_us) == (False, limit.interval_us)


def test_a_process_alone_is_stricter_and_bounded():
    buckets = LocalBuckets(lambda: 0)
    limit = Limit("default", 100, 4 * STRICTER)
    assert [buckets.charge("a", limit).is_allowed for _ in range(5)] == [True] * 4 + [False]
    for number in range(MAX_BUCKETS):
        buckets.charge(str(number), limit)
    assert len(buckets._full_at) == MAX_BUCKETS
    assert buckets.charge("a", limit).is_allowed
