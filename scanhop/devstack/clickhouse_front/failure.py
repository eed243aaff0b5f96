"""Errors as the ClickHouse server reports them: a code, a message, an HTTP status."""

import re

SYNTAX_ERROR = 62
NOT_IMPLEMENTED = 48
UNKNOWN_FORMAT = 73
UNKNOWN_SETTING = 115
BAD_ARGUMENTS = 36
TOO_LARGE = 229
CANNOT_DECOMPRESS = 271
UNKNOWN_COMPRESSION = 89
UNKNOWN_EXCEPTION = 1002

_BAD_REQUEST = (
    *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441),
    *(675, 676),
)
_STATUS_BY_CODE = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    194: 401,
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    159: 408,
    381: 411,
    229: 413,
    779: 415,
    48: 501,
    **dict.fromkeys((76, 209, 439), 503),
}
_CODE = re.compile(r"Code: (\d+)\.")


class QueryFailed(Exception):
    """A statement was refused, by the front or the engine. `message` begins with `Code: N.`"""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return _STATUS_BY_CODE.get(self.code, 500)


def refusal(code: int, name: str, reason: str) -> QueryFailed:
    """The front's own refusal, worded like the engine's."""
    return QueryFailed(code, f"Code: {code}. DB::Exception: {reason}. ({name})")


def failure_from_engine(error: Exception) -> QueryFailed:
    """chDB reports errors as text, sometimes with words of its own before the engine's."""
    text = str(error)
    found = _CODE.search(text)
    if found is None:
        return QueryFailed(
            UNKNOWN_EXCEPTION, f"Code: {UNKNOWN_EXCEPTION}. DB::Exception: {text}. (UNKNOWN_EXCEPTION)"
        )
    return QueryFailed(int(found[1]), text[found.start() :].strip())
