"""From a rule in its normal form (see `rules`) to the structs of a Route, ready to be matched."""

import unicodedata
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Any

from scanhop.routing.condition_values import DEFAULT_TIMEZONE, parse_network
from scanhop.routing.moments import parse_date, parse_time_of_day
from scanhop.wire.route import NO_LIMIT, Condition, Kind, Rule, Variant

_LOWER_HALF = 2**64 - 1
_NEGATED = ("not_in", "not_exists")

JsonObject = dict[str, Any]


def compile_rule(rule: JsonObject) -> Rule:
    return Rule(
        id=rule["id"],
        when=tuple(_COMPILERS[condition["field"]](condition) for condition in rule["when"]),
        target_url=rule.get("target_url", ""),
        variants=tuple(
            Variant(variant["name"], variant["weight"], variant["target_url"]) for variant in rule.get("variants", ())
        ),
    )


def _texts_of(kind: Kind) -> Callable[[JsonObject], Condition]:
    def compile_texts(condition: JsonObject) -> Condition:
        texts = frozenset(_folded(text) for text in condition["value"])
        timezone = condition.get("timezone", DEFAULT_TIMEZONE) if kind is Kind.WEEKDAY else ""
        return Condition(kind, _is_negated(condition), texts, timezone=timezone)

    return compile_texts


def _ip(condition: JsonObject) -> Condition:
    networks = [parse_network(text) for text in condition["value"]]
    return Condition(
        Kind.IP,
        _is_negated(condition),
        networks_v4=tuple(_v4_pair(network) for network in networks if isinstance(network, IPv4Network)),
        networks_v6=tuple(_v6_halves(network) for network in networks if isinstance(network, IPv6Network)),
    )


def _v4_pair(network: IPv4Network) -> tuple[int, int]:
    return int(network.network_address), int(network.netmask)


def _v6_halves(network: IPv6Network) -> tuple[int, int, int, int]:
    address, mask = int(network.network_address), int(network.netmask)
    return address >> 64, address & _LOWER_HALF, mask >> 64, mask & _LOWER_HALF


def _query(condition: JsonObject) -> Condition:
    key = condition["key"]
    if "value" not in condition:
        return Condition(Kind.QUERY_KEY, _is_negated(condition), key=key)
    value = condition["value"]
    return Condition(Kind.QUERY, texts=frozenset([value] if isinstance(value, str) else value), key=key)


def _date(condition: JsonObject) -> Condition:
    ends, timezone = condition["value"], condition.get("timezone", DEFAULT_TIMEZONE)
    bounds = {end: parse_date(text, timezone) for end, text in ends.items()}
    return Condition(Kind.DATE, low=bounds.get("from", -NO_LIMIT), high=bounds.get("to", NO_LIMIT))


def _hour(condition: JsonObject) -> Condition:
    ends = condition["value"]
    return Condition(
        Kind.HOUR,
        timezone=condition.get("timezone", DEFAULT_TIMEZONE),
        low=parse_time_of_day(ends["from"]),
        high=parse_time_of_day(ends["to"]),
    )


def _scans(condition: JsonObject) -> Condition:
    if condition["op"] == "gte":
        return Condition(Kind.SCANS, low=condition["value"])
    return Condition(Kind.SCANS, high=condition["value"])


def _is_negated(condition: JsonObject) -> bool:
    return condition["op"] in _NEGATED


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


_COMPILERS: Mapping[str, Callable[[JsonObject], Condition]] = MappingProxyType(
    {
        "device": _texts_of(Kind.DEVICE),
        "os": _texts_of(Kind.OS),
        "browser": _texts_of(Kind.BROWSER),
        "language": _texts_of(Kind.LANGUAGE),
        "country": _texts_of(Kind.COUNTRY),
        "region": _texts_of(Kind.REGION),
        "city": _texts_of(Kind.CITY),
        "ip": _ip,
        "query": _query,
        "date": _date,
        "weekday": _texts_of(Kind.WEEKDAY),
        "hour": _hour,
        "scans": _scans,
    }
)
