"""Text that people type: one line, trimmed, of a sensible length."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_LINE = 200


def parse_line(text: str) -> str:
    """The text without outer white space. Raises ValueError."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("must not contain control characters")
    line = text.strip()
    if not line:
        raise ValueError("must not be empty")
    if len(line) > MAX_LINE:
        raise ValueError(f"must not be longer than {MAX_LINE} characters")
    return line


# No control characters, and not white space alone.
_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
_SCHEMA = {"minLength": 1, "maxLength": MAX_LINE, "pattern": _PATTERN, "examples": ["Summer menu"]}
Line = Annotated[str, AfterValidator(parse_line), Field(json_schema_extra=dict(_SCHEMA))]
