"""The fields that a condition may look at, their operators, and what stands as `value`, `key` and `timezone`."""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, NamedTuple

from scanhop.routing.local_time import WEEKDAYS, is_timezone
from scanhop.routing.moments import parse_date, parse_time_of_day
from scanhop.routing.targets import has_control_characters

MAX_VALUES = 100
MAX_VALUE_LENGTH = 100
MAX_SCANS = 2**63 - 1
DEFAULT_TIMEZONE = "UTC"
DEVICES = ("mobile", "tablet", "desktop", "bot", "other")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_LANGUAGE_RANGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}", re.ASCII)
_MAPPED_PREFIX = 96

Parse = Callable[[Any, str], object]  # of the value, and the time zone it is read in


class Form(NamedTuple):
    """`ops`: for each operator what reads its value, None where there is none to read."""

    ops: Mapping[str, Parse | None]
    has_key: bool = False
    has_timezone: bool = False


def parse_name(raw: object) -> str:
    """Raises ValueError."""
    if isinstance(raw, str) and _NAME.fullmatch(raw):
        return raw
    raise ValueError("must be 1 to 32 characters of A-Z, a-z, 0-9, '-' and '_'")


def parse_key(raw: object) -> str:
    """Raises ValueError."""
    return _text(raw, at_least=1)


def parse_timezone(raw: object) -> str:
    """Raises ValueError."""
    if isinstance(raw, str) and is_timezone(raw):
        return raw
    raise ValueError("must be a time zone such as Europe/Vienna")


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """An address is the network of it alone; IPv4 written as IPv6 is IPv4. Raises ValueError."""
    network = ip_network(text, strict=False)
    if isinstance(network, IPv4Network):
        return network
    if network.network_address.scope_id is not None:
        raise ValueError("has a zone")
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < _MAPPED_PREFIX:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


def _text(raw: object, at_least: int = 0) -> str:
    if not isinstance(raw, str) or not at_least <= len(raw) <= MAX_VALUE_LENGTH:
        raise ValueError(f"must be text of {at_least} to {MAX_VALUE_LENGTH} characters")
    if has_control_characters(raw):
        raise ValueError("must not contain control characters")
    return raw


def _list_of(parse: Callable[[str], str], at_least: int = 1) -> Parse:
    """Reads a list of texts, or one text as a list of one."""

    def parse_list(raw: Any, _timezone: str) -> list[str]:
        items = [raw] if isinstance(raw, str) else raw
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_VALUES:
            raise ValueError(f"must be a list of 1 to {MAX_VALUES} texts")
        return [parse_item(at, item) for at, item in enumerate(items)]

    def parse_item(at: int, item: object) -> str:
        try:
            return parse(_text(item, at_least))
        except ValueError as error:
            raise ValueError(f"item {at}: {error}") from None

    return parse_list


def _among(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() in choices:
            return text.lower()
        raise ValueError(f"must be one of {', '.join(choices)}")

    return parse


def _as_it_is(text: str) -> str:
    return text


def _country(text: str) -> str:
    if _COUNTRY.fullmatch(text):
        return text.upper()
    raise ValueError("must be a country code of two letters")


def _language(text: str) -> str:
    if _LANGUAGE_RANGE.fullmatch(text):
        return text
    raise ValueError("must be a language range such as de or pt-BR")


def _network(text: str) -> str:
    try:
        network = parse_network(text)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 192.0.2.0/24") from None
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _query_value(raw: Any, _timezone: str) -> str:
    return _text(raw)


def _dates(raw: Any, timezone: str) -> dict[str, str]:
    ends = _ends(raw)
    if not ends:
        raise ValueError("must have from, to or both")
    moments = [_end(end, text, lambda date: parse_date(date, timezone)) for end, text in ends.items()]
    if len(moments) == 2 and moments[0] >= moments[1]:
        raise ValueError("must begin before it ends")
    return ends


def _hours(raw: Any, _timezone: str) -> dict[str, str]:
    ends = _ends(raw)
    if len(ends) != 2:
        raise ValueError("must have from and to")
    if len({_end(end, text, parse_time_of_day) for end, text in ends.items()}) == 1:
        raise ValueError("must not end where it begins")
    return ends


def _end(end: str, text: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{end}: {error}") from None


def _ends(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or not raw.keys() <= {"from", "to"}:
        raise ValueError("must be an object of from and to")
    return {end: _text(raw[end]) for end in ("from", "to") if raw.get(end) is not None}


def _scans(raw: Any, _timezone: str) -> int:
    if type(raw) is int and 0 <= raw <= MAX_SCANS:
        return raw
    raise ValueError("must be a whole number of at least 0")


def _in_or_not(parse: Parse) -> Mapping[str, Parse | None]:
    return {"in": parse, "not_in": parse}


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "device": Form(_in_or_not(_list_of(_among(DEVICES)))),
        "os": Form(_in_or_not(_list_of(_as_it_is))),
        "browser": Form(_in_or_not(_list_of(_as_it_is))),
        "language": Form(_in_or_not(_list_of(_language))),
        "country": Form(_in_or_not(_list_of(_country))),
        "region": Form(_in_or_not(_list_of(_as_it_is))),
        "city": Form(_in_or_not(_list_of(_as_it_is))),
        "ip": Form(_in_or_not(_list_of(_network))),
        "query": Form(
            {"is": _query_value, "in": _list_of(_as_it_is, at_least=0), "exists": None, "not_exists": None},
            has_key=True,
        ),
        "date": Form({"between": _dates}, has_timezone=True),
        "weekday": Form(_in_or_not(_list_of(_among(WEEKDAYS))), has_timezone=True),
        "hour": Form({"between": _hours}, has_timezone=True),
        "scans": Form({"gte": _scans, "lt": _scans}),
    }
)
