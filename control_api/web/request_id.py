"""The id that an answer, its log lines and a support question have in common."""

import re
import secrets

HEADER = "X-Request-Id"
_SANE = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


def request_id_from(headers: list[tuple[bytes, bytes]]) -> str:
    """The sender's own id where it is harmless, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SANE.fullmatch(value):
            return value.decode()
    return secrets.token_hex(16)
