"""What a row says, in our terms: checked, closed lists kept closed, derived where the file does not say.

The same row gives the same `CsvScan`, on every machine and in every version: its identity rests on it. What is
derived (the device of a User-Agent, the place of an address) may change with the lists behind it, and is no part of
it.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

import msgspec

from ingest.csv_import.failure import RowRejected
from ingest.csv_import.scan_times import TimeReader
from scanhop.client_facts.client_address import Address, unmap
from scanhop.client_facts.device import DeviceType
from scanhop.client_facts.language import first_language
from scanhop.wire.scan_record import Outcome

MAX_USER_AGENT = 1024
MAX_REFERER = 2048
MAX_NAME = 100
_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_YES, _NO = frozenset(["1", "true", "yes", "t", "y"]), frozenset(["0", "false", "no", "f", "n"])
_DEVICES = {device.value: device for device in DeviceType} | {
    "phone": DeviceType.MOBILE,
    "smartphone": DeviceType.MOBILE,
    "pc": DeviceType.DESKTOP,
    "computer": DeviceType.DESKTOP,
}
Value = TypeVar("Value")
_OUTCOMES = frozenset(outcome.label for outcome in Outcome)


class CsvScan(msgspec.Struct, frozen=True, gc=False):
    """Empty, or None, where the file says nothing. `qr_id` or `short_code` is there."""

    short_code: str
    qr_id: UUID | None
    scanned_at_ms: int
    outcome: str
    ip: str
    user_agent: str
    referer: str
    language: str
    country: str
    region: str
    city: str
    device_type: str
    os: str
    browser: str
    is_bot: bool | None


def normalise(row: Mapping[str, str], times: TimeReader) -> CsvScan:
    """`row` by our columns. Raises RowRejected."""
    say = row.get
    short_code, qr_id = say("short_code", ""), _checked("qr_id", _parse_id, say("qr_id"))
    if not short_code and qr_id is None:
        raise RowRejected("neither short_code nor qr_id")
    if "scanned_at" not in row:
        raise RowRejected("no scanned_at")
    address = _checked("ip", parse_address, say("ip"))
    return CsvScan(
        short_code=short_code,
        qr_id=qr_id,
        scanned_at_ms=times.read(row["scanned_at"]),
        outcome=_checked("outcome", _parse_outcome, say("outcome")) or Outcome.REDIRECT.label,
        ip="" if address is None else str(address),
        user_agent=_cut(say("user_agent", ""), MAX_USER_AGENT),
        referer=_cut(say("referer", ""), MAX_REFERER),
        language=_checked("language", _parse_language, say("language")) or "",
        country=_checked("country", _parse_country, say("country")) or "",
        region=say("region", "")[:MAX_NAME],
        city=say("city", "")[:MAX_NAME],
        device_type=_checked("device_type", _parse_device, say("device_type")) or "",
        os=say("os", "")[:MAX_NAME],
        browser=say("browser", "")[:MAX_NAME],
        is_bot=_checked("is_bot", _parse_bool, say("is_bot")),
    )


@lru_cache(4096)
def parse_address(text: str) -> Address:
    """Raises ValueError."""
    return unmap(ipaddress.ip_address(text))


def _checked(name: str, parse: Callable[[str], Value], text: str | None) -> Value | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        raise RowRejected(f"{name}: {text[:40]!r} is none") from None


def _parse_id(text: str) -> UUID:
    return UUID(text)


def _parse_outcome(text: str) -> str:
    return _one_of(text.lower(), _OUTCOMES)


def _parse_language(text: str) -> str:
    found = first_language(text.encode())
    if not found:
        raise ValueError(text)
    return found


def _parse_country(text: str) -> str:
    if _COUNTRY.fullmatch(text) is None:
        raise ValueError(text)
    return text.upper()


def _parse_device(text: str) -> str:
    return str(_DEVICES[_one_of(text.lower(), _DEVICES)])


def _parse_bool(text: str) -> bool:
    return _one_of(text.lower(), _YES | _NO) in _YES


def _one_of(text: str, allowed: "frozenset[str] | Mapping[str, object]") -> str:
    if text not in allowed:
        raise ValueError(text)
    return text


def _cut(text: str, limit: int) -> str:
    """To as many bytes, whole characters."""
    return text if len(text) * 4 <= limit else text.encode()[:limit].decode(errors="ignore")
