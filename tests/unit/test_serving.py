import resource
from collections.abc import Iterator

import pytest

from scanhop.serving import connections_within, raise_file_limit


@pytest.fixture
def file_limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_of_files_is_raised_to_the_hard_one(file_limit):
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, file_limit[1]))
    assert raise_file_limit() == file_limit[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (file_limit[1], file_limit[1])


def test_no_limit_is_a_large_one(file_limit, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert connections_within(raise_file_limit(), 10_000) == 10_000


def test_connections_leave_a_quarter_of_the_files_to_others():
    assert connections_within(1024, 10_000) == 768
    assert connections_within(1 << 20, 10_000) == 10_000
