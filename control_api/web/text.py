"""Text that people type: one line, trimmed, of a sensible length."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_LINE = 200


def parse_line(text: str) -> str:
    """The text without outer white space, an accent and its letter as one character. Raises ValueError."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("must not contain control characters")
    line = compose(text).strip()
    if not line:
        raise ValueError("must not be empty")
    if len(line) > MAX_LINE:
        raise ValueError(f"must not be longer than {MAX_LINE} characters")
    return line


def compose(text: str) -> str:
    """In Unicode's form C, so that what looks the same is found by either spelling."""
    return unicodedata.normalize("NFC", text)


# No control characters, and not white space alone.
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
_SCHEMA = {"minLength": 1, "maxLength": MAX_LINE, "pattern": LINE_PATTERN, "examples": ["Summer menu"]}
Line = Annotated[str, AfterValidator(parse_line), Field(json_schema_extra=dict(_SCHEMA))]
