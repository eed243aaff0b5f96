"""multipart/form-data: how clickhouse-connect sends bound parameters too long for a URL, and external tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanhop.devstack.clickhouse_front.failure import BAD_ARGUMENTS, refusal

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_NAME = re.compile(rb'\bname="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class FormPart:
    name: str
    value: bytes
    is_file: bool


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/form-data")


def parse_form(content_type: str, body: bytes) -> list[FormPart]:
    """Raises QueryFailed for a body that is no form."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "multipart/form-data without a boundary")
    return list(_parts((found[1] or found[2]).encode(), body))


def _parts(boundary: bytes, body: bytes) -> Iterator[FormPart]:
    for section in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, separator, value = section.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "A part of the form has no name")
        yield FormPart(name[1].decode(), value, b"filename=" in head.lower())
