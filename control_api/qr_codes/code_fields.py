"""The fields of a QR code as JSON, each with what it may be."""

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field

from control_api.design import check_design
from control_api.qr_codes.code_words import require_decent
from control_api.qr_codes.password import MAX_CHARACTERS, parse_password
from control_api.web.moment import Moment
from control_api.web.text import LINE_PATTERN, Line
from scanhop.routing.targets import TARGET_PATTERN, parse_target
from scanhop.wire.short_codes import parse_custom_code

MAX_TAGS = 20
MAX_TAG = 50
MAX_OBJECT_BYTES = 16_384
_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")  # as it is escaped; after a backslash that is escaped it is plain text
_TAG_PATTERN = LINE_PATTERN.replace("]", ",]")


def _require_code(text: str) -> str:
    """As it was written: only its domain says whether letter case counts. Raises ValueError."""
    parse_custom_code(text)
    require_decent(text)
    return text


def _require_no_comma(tag: str) -> str:
    """Raises ValueError."""
    if "," in tag:
        raise ValueError("must not contain a comma, which stands between two tags in a search")
    return tag


def _without_repetitions(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _require_storable(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        data = orjson.dumps(value)
    except (TypeError, RecursionError):
        raise ValueError("must be JSON of numbers that fit 64 bits") from None
    if len(data) > MAX_OBJECT_BYTES:
        raise ValueError(f"must not be longer than {MAX_OBJECT_BYTES} bytes of JSON")
    if _NUL.search(data):
        raise ValueError("must not contain NUL characters")
    return value


Target = Annotated[
    str,
    AfterValidator(parse_target),
    Field(
        description="Where a scan is sent; http or https, at most 2,048 characters; not a short domain of this "
        "installation, not a host that is blocked",
        json_schema_extra={"pattern": TARGET_PATTERN},
        examples=["https://example.com/menu"],
    ),
]
Fallback = Annotated[
    str,
    AfterValidator(parse_target),
    Field(
        description="Where a scan is sent while the code is paused, outside its time or over its limit",
        json_schema_extra={"pattern": TARGET_PATTERN},
        examples=["https://example.com/"],
    ),
]
CustomCode = Annotated[
    str,
    AfterValidator(_require_code),
    Field(
        description="1 to 63 characters of a-z, 0-9, '-', '_'; any free one if absent. "
        "In lower case, but on a domain whose codes are exact",
        json_schema_extra={"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"},
        examples=["menu"],
    ),
]
Password = Annotated[
    str,
    AfterValidator(parse_password),
    Field(
        description="Asked for before a scan is sent on; never answered",
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_CHARACTERS,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
            "writeOnly": True,
        },
    ),
]
Opening = Annotated[Moment, Field(description="From when on it redirects")]
Closing = Annotated[Moment, Field(description="Until when it redirects; later than starts_at")]
MaxScans = Annotated[int, Field(strict=True, ge=1, le=10**15, description="After so many scans it stops redirecting")]
Tag = Annotated[
    Line,
    Field(max_length=MAX_TAG),
    AfterValidator(_require_no_comma),
    Field(json_schema_extra={"pattern": _TAG_PATTERN}),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_without_repetitions)]
StoredObject = Annotated[
    dict[str, Any],
    AfterValidator(_require_storable),
    Field(description=f"Any JSON object of at most {MAX_OBJECT_BYTES} bytes; kept as it is"),
]
DesignObject = Annotated[
    dict[str, Any],
    AfterValidator(_require_storable),
    AfterValidator(check_design),
    Field(
        description="How images of it look, unless asked for otherwise; what is not known here is kept as it is",
        examples=[{"foreground": "#004488", "error_correction": "Q"}],
    ),
]
Reason = Annotated[Line, Field(description="Why; kept in the history", examples=["new menu"])]
RedirectStatus = Literal[301, 302, 307, 308]
CodeType = Literal["url"]
Status = Literal["active", "paused", "archived", "banned", "deleted"]
SettableStatus = Literal["active", "paused", "archived"]
