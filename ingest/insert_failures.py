"""What an insert that failed means: send the same bytes again, or park the batch.

A failure is one of a closed set of reasons, by ClickHouse's code where the answer has one, else by the HTTP status,
else by how the connection failed. Only BAD_DATA blames the batch. Everything else passes, or an operator can mend it
(no such table, a wrong password, a proxy in between), and whatever is not known is taken for that: a batch that is
sent too often costs a deduplicated insert, one that is given up costs scans.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from scanhop.stores.errors import StoreError, StoreRejected, StoreUnavailable


class FailureReason(StrEnum):
    """A closed list; the names stand in the metrics."""

    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    MISCONFIGURED = "misconfigured"
    UNKNOWN = "unknown"
    BAD_DATA = "bad_data"


class InsertFailed(StoreUnavailable):
    """Whether ClickHouse has the batch is not known. The same bytes under the same token settle it."""

    def __init__(self, message: str, reason: FailureReason) -> None:
        super().__init__(message)
        self.reason = reason


# ClickHouse's codes, by the names that it gives them.
CODES: dict[FailureReason, dict[int, str]] = {
    FailureReason.INTERRUPTED: {
        95: "CANNOT_READ_FROM_SOCKET",
        96: "CANNOT_WRITE_TO_SOCKET",
        210: "NETWORK_ERROR",
        216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
        236: "ABORTED",
        319: "UNKNOWN_STATUS_OF_INSERT",
        394: "QUERY_WAS_CANCELLED",
    },
    FailureReason.TIMED_OUT: {
        159: "TIMEOUT_EXCEEDED",
        160: "TOO_SLOW",
        209: "SOCKET_TIMEOUT",
        473: "DEADLOCK_AVOIDED",
    },
    FailureReason.OVERLOADED: {
        173: "CANNOT_ALLOCATE_MEMORY",
        201: "QUOTA_EXCEEDED",
        202: "TOO_MANY_SIMULTANEOUS_QUERIES",
        203: "NO_FREE_CONNECTION",
        241: "MEMORY_LIMIT_EXCEEDED",
        243: "NOT_ENOUGH_SPACE",
        252: "TOO_MANY_PARTS",
        439: "CANNOT_SCHEDULE_TASK",
        745: "SERVER_OVERLOADED",
    },
    FailureReason.SERVER_ERROR: {
        75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
        76: "CANNOT_OPEN_FILE",
        225: "NO_ZOOKEEPER",
        425: "SYSTEM_ERROR",
        999: "KEEPER_EXCEPTION",
    },
    FailureReason.MISCONFIGURED: {
        16: "NO_SUCH_COLUMN_IN_TABLE",
        46: "UNKNOWN_FUNCTION",
        47: "UNKNOWN_IDENTIFIER",
        60: "UNKNOWN_TABLE",
        62: "SYNTAX_ERROR",
        81: "UNKNOWN_DATABASE",
        115: "UNKNOWN_SETTING",
        164: "READONLY",
        192: "UNKNOWN_USER",
        193: "WRONG_PASSWORD",
        194: "REQUIRED_PASSWORD",
        242: "TABLE_IS_READ_ONLY",
        291: "DATABASE_ACCESS_DENIED",
        452: "SETTING_CONSTRAINT_VIOLATION",
        472: "READONLY_SETTING",
        497: "ACCESS_DENIED",
        516: "AUTHENTICATION_FAILED",
    },
    FailureReason.BAD_DATA: {
        6: "CANNOT_PARSE_TEXT",
        9: "SIZES_OF_COLUMNS_DOESNT_MATCH",
        25: "CANNOT_PARSE_ESCAPE_SEQUENCE",
        26: "CANNOT_PARSE_QUOTED_STRING",
        27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
        32: "ATTEMPT_TO_READ_AFTER_EOF",
        33: "CANNOT_READ_ALL_DATA",
        38: "CANNOT_PARSE_DATE",
        41: "CANNOT_PARSE_DATETIME",
        50: "UNKNOWN_TYPE",
        53: "TYPE_MISMATCH",
        69: "ARGUMENT_OUT_OF_BOUND",
        70: "CANNOT_CONVERT_TYPE",
        72: "CANNOT_PARSE_NUMBER",
        117: "INCORRECT_DATA",
        131: "TOO_LARGE_STRING_SIZE",
        349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
        469: "VIOLATED_CONSTRAINT",
    },
}
_REASON_OF_CODE = {code: reason for reason, codes in CODES.items() for code in codes}
_REASON_OF_STATUS = {
    408: FailureReason.TIMED_OUT,
    429: FailureReason.OVERLOADED,
    502: FailureReason.UNREACHABLE,
    503: FailureReason.OVERLOADED,
    504: FailureReason.TIMED_OUT,
}
_STATUS = re.compile(r"received HTTP status (\d{3})")


def classify(code: int | None, status: int | None, cause: BaseException | None) -> FailureReason:
    if code is not None:
        return _REASON_OF_CODE.get(code, FailureReason.UNKNOWN)
    if status is not None:
        return _REASON_OF_STATUS.get(status) or _reason_of_other_status(status)
    return _reason_of_cause(cause)


def _reason_of_other_status(status: int) -> FailureReason:
    """Without a code it is a proxy's word, or that of a server which is coming up or going down."""
    if 400 <= status < 500:
        return FailureReason.MISCONFIGURED
    return FailureReason.SERVER_ERROR if status >= 500 else FailureReason.UNKNOWN


def _reason_of_cause(cause: BaseException | None) -> FailureReason:
    if isinstance(cause, TimeoutError):
        return FailureReason.TIMED_OUT
    if isinstance(cause, aiohttp.ClientConnectorError | ConnectionRefusedError):
        return FailureReason.UNREACHABLE
    if isinstance(cause, aiohttp.ClientError | OSError):
        return FailureReason.INTERRUPTED
    return FailureReason.UNKNOWN


@contextmanager
def insert_errors() -> Iterator[None]:
    """Turns what the client raises into InsertFailed, or into StoreRejected where the data are to blame."""
    try:
        yield
    except (StoreError, ClickHouseError, aiohttp.ClientError, OSError) as error:
        raise _failure(error) from error


def _failure(error: Exception) -> StoreError:
    told = _innermost(error)
    code = told.code if isinstance(told, DatabaseError) else None
    status = _STATUS.search(str(told))
    reason = classify(code, int(status[1]) if status else None, told.__cause__ or told)
    message = f"clickhouse: {told or type(told).__name__}"
    if reason is FailureReason.BAD_DATA:
        return StoreRejected(message, code)
    return InsertFailed(message, reason)


def _innermost(error: BaseException) -> BaseException:
    """What the client raised, where a StoreError stands around it."""
    while isinstance(error, StoreError) and error.__cause__ is not None:
        error = error.__cause__
    return error
