"""What each way to fail means."""

import errno
from types import SimpleNamespace

import aiohttp
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from ingest.insert_failures import CODES, FailureReason, InsertFailed, classify, insert_errors
from scanhop.stores.errors import StoreRejected, StoreUnavailable

KEY = SimpleNamespace(ssl=None, host="clickhouse", port=8123, is_ssl=False)

BY_STATUS = [
    (400, FailureReason.MISCONFIGURED),
    (401, FailureReason.MISCONFIGURED),
    (403, FailureReason.MISCONFIGURED),
    (404, FailureReason.MISCONFIGURED),
    (408, FailureReason.TIMED_OUT),
    (413, FailureReason.MISCONFIGURED),
    (429, FailureReason.OVERLOADED),
    (500, FailureReason.SERVER_ERROR),
    (501, FailureReason.SERVER_ERROR),
    (502, FailureReason.UNREACHABLE),
    (503, FailureReason.OVERLOADED),
    (504, FailureReason.TIMED_OUT),
    (302, FailureReason.UNKNOWN),
]
BY_CAUSE = [
    (TimeoutError(), FailureReason.TIMED_OUT),
    (TimeoutError(), FailureReason.TIMED_OUT),
    (aiohttp.ServerTimeoutError(), FailureReason.TIMED_OUT),
    (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "refused")), FailureReason.UNREACHABLE),
    (aiohttp.ClientConnectorDNSError(KEY, OSError("no such host")), FailureReason.UNREACHABLE),
    (ConnectionRefusedError(), FailureReason.UNREACHABLE),
    (aiohttp.ServerDisconnectedError(), FailureReason.INTERRUPTED),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), FailureReason.INTERRUPTED),
    (aiohttp.ClientPayloadError(), FailureReason.INTERRUPTED),
    (ConnectionResetError(), FailureReason.INTERRUPTED),
    (BrokenPipeError(), FailureReason.INTERRUPTED),
    (ValueError(), FailureReason.UNKNOWN),
    (None, FailureReason.UNKNOWN),
]


@pytest.mark.parametrize(("status", "reason"), BY_STATUS)
def test_a_status_without_a_code_says(status, reason):
    assert classify(None, status, None) is reason


@pytest.mark.parametrize(("cause", "reason"), BY_CAUSE, ids=lambda value: type(value).__name__)
def test_a_connection_that_failed_says(cause, reason):
    assert classify(None, None, cause) is reason


@pytest.mark.parametrize(("code", "reason"), [(code, reason) for reason, codes in CODES.items() for code in codes])
def test_a_code_weighs_more_than_the_status(code, reason):
    assert classify(code, 500, TimeoutError()) is reason


def test_a_code_stands_for_one_reason():
    codes = [code for codes in CODES.values() for code in codes]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", [1, 49, 1002, 60000])
def test_a_code_that_is_not_known_parks_nothing(code):
    assert classify(code, 500, None) is FailureReason.UNKNOWN


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DatabaseError("x", code=241, name=None), FailureReason.OVERLOADED),
        (OperationalError("HTTP driver received HTTP status 503", code=None), FailureReason.OVERLOADED),
        (OperationalError("HTTP driver received HTTP status 500, server response: x"), FailureReason.SERVER_ERROR),
        (
            raised_from(OperationalError("Network"), aiohttp.ServerDisconnectedError()),
            FailureReason.INTERRUPTED,
        ),
        (raised_from(StoreUnavailable("x"), DatabaseError("x", code=81)), FailureReason.MISCONFIGURED),
        (raised_from(StoreRejected("x"), DatabaseError("x", code=49)), FailureReason.UNKNOWN),
        (ProgrammingError("the session is closed"), FailureReason.UNKNOWN),
        (ConnectionRefusedError(), FailureReason.UNREACHABLE),
    ],
)
def test_what_the_client_raises_is_told_with_its_reason(error, reason):
    with pytest.raises(InsertFailed) as failed, insert_errors():
        raise error
    assert failed.value.reason is reason


def test_only_bad_data_is_a_rejection():
    with pytest.raises(StoreRejected) as failed, insert_errors():
        raise DatabaseError("x", code=33)
    assert failed.value.code == 33


def test_a_mistake_of_our_own_is_no_failure_of_the_store():
    with pytest.raises(ZeroDivisionError), insert_errors():
        raise ZeroDivisionError
