from hypothesis import given
from hypothesis import strategies as st

from ingest.backoff import Backoff


def test_the_bound_of_a_pause_doubles_up_to_the_cap():
    backoff = Backoff(cap_s=1.0, base_s=0.2, chance=lambda: 1.0)
    assert [backoff.record_failure(0.0) for _ in range(5)] == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_it_waits_until_the_pause_is_over():
    backoff = Backoff(cap_s=1.0, base_s=0.2, chance=lambda: 0.5)
    assert not backoff.is_waiting(100.0)
    backoff.record_failure(100.0)
    assert backoff.is_waiting(100.09)
    assert not backoff.is_waiting(100.11)


def test_a_success_begins_anew():
    backoff = Backoff(cap_s=9.0, base_s=1.0, chance=lambda: 1.0)
    for _ in range(3):
        backoff.record_failure(0.0)
    backoff.record_success()
    assert not backoff.is_waiting(0.0)
    assert backoff.record_failure(0.0) == 1.0


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_no_pause_is_longer_than_the_cap_however_often_it_failed(failures, chance):
    backoff = Backoff(cap_s=5.0, chance=lambda: chance)
    backoff.failures = failures
    assert 0 <= backoff.record_failure(0.0) <= 5.0


def test_pauses_differ():
    assert len({Backoff(cap_s=5.0).record_failure(0.0) for _ in range(20)}) > 1
