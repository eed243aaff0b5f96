"""Whether a condition of a rule is met.

- Texts are compared without regard to case; keys and values of a query as they are.
- A fact that is not known meets no condition, not even "not in".
- An operating system or browser goes by each of its names: "Mobile Safari" is Safari too, "Mac OS X" is macOS.
- A language range is met by its tag and what is more special: "de" by "de-CH". What counts is each language that the
  client wants with a weight of at least 0.9 or, where there is none, the one that it wants most.
- Of a query the first MAX_QUERY_PAIRS pairs are looked at; a key that occurs often has each of its values.
- Minutes and weekdays are what the clock on the wall shows: an hour that is set back is there twice, one that is left
  out is not there. Weekday and hour know nothing of each other: 01:00 after a Friday night is Saturday.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote_to_bytes

from scanhop.routing.facts import Facts, Languages
from scanhop.routing.local_time import find_local_time
from scanhop.wire.route import Condition, Kind

MAX_QUERY_PAIRS = 100
MAX_SUBTAGS = 8
PREFERRED_WEIGHT = 0.9

_LOWER_HALF = 2**64 - 1
_OTHER_NAMES_OF_OS = {"mac os x": ("macos",)}
_BROWSER_EDITIONS = frozenset({"mobile", "ios", "webview", "ui/wkwebview"})

Verdict = bool | None  # None: the fact is not known


def matches_all(conditions: Iterable[Condition], facts: Facts) -> bool:
    for condition in conditions:
        look = _LOOKS.get(condition.kind)
        verdict = None if look is None else look(condition, facts)
        if verdict is None or verdict is condition.is_negated:
            return False
    return True


def judge(condition: Condition, facts: Facts) -> Verdict:
    """Whether it is met, for people who ask why; None, which is not met, where the fact is not known."""
    look = _LOOKS.get(condition.kind)
    verdict = None if look is None else look(condition, facts)
    return None if verdict is None else verdict is not condition.is_negated


def _device(condition: Condition, facts: Facts) -> Verdict:
    return facts.device.device_type in condition.texts


def _os(condition: Condition, facts: Facts) -> Verdict:
    return not condition.texts.isdisjoint(_names_of_os(facts.device.os))


def _browser(condition: Condition, facts: Facts) -> Verdict:
    return not condition.texts.isdisjoint(_names_of_browser(facts.device.browser))


def _language(condition: Condition, facts: Facts) -> Verdict:
    languages = facts.languages
    return not condition.texts.isdisjoint(_ranges_met_by(languages)) if languages else None


def _country(condition: Condition, facts: Facts) -> Verdict:
    return _is_among(condition, facts.country)


def _region(condition: Condition, facts: Facts) -> Verdict:
    return _is_among(condition, facts.region)


def _city(condition: Condition, facts: Facts) -> Verdict:
    return _is_among(condition, facts.city)


def _is_among(condition: Condition, text: str) -> Verdict:
    return text.casefold() in condition.texts if text else None


def _ip(condition: Condition, facts: Facts) -> Verdict:
    address = facts.address
    if address is None:
        return None
    number = int(address)
    if address.version == 4:
        return any(number & mask == network for network, mask in condition.networks_v4)
    upper, lower = number >> 64, number & _LOWER_HALF
    return any(
        upper & upper_mask == network_upper and lower & lower_mask == network_lower
        for network_upper, network_lower, upper_mask, lower_mask in condition.networks_v6
    )


def _query(condition: Condition, facts: Facts) -> Verdict:
    return not condition.texts.isdisjoint(_values_by_key(facts.query).get(condition.key, ()))


def _query_key(condition: Condition, facts: Facts) -> Verdict:
    return condition.key in _values_by_key(facts.query)


def _date(condition: Condition, facts: Facts) -> Verdict:
    return condition.low <= facts.now_ns < condition.high


def _weekday(condition: Condition, facts: Facts) -> Verdict:
    local = find_local_time(condition.timezone, facts.now_ns)
    return None if local is None else local.weekday in condition.texts


def _hour(condition: Condition, facts: Facts) -> Verdict:
    local = find_local_time(condition.timezone, facts.now_ns)
    if local is None:
        return None
    if condition.low <= condition.high:
        return condition.low <= local.minute < condition.high
    return local.minute >= condition.low or local.minute < condition.high


def _scans(condition: Condition, facts: Facts) -> Verdict:
    scans = facts.scans
    return None if scans is None else condition.low <= scans < condition.high


_LOOKS: dict[int, Callable[[Condition, Facts], Verdict]] = {
    Kind.DEVICE: _device,
    Kind.OS: _os,
    Kind.BROWSER: _browser,
    Kind.LANGUAGE: _language,
    Kind.COUNTRY: _country,
    Kind.REGION: _region,
    Kind.CITY: _city,
    Kind.IP: _ip,
    Kind.QUERY: _query,
    Kind.QUERY_KEY: _query_key,
    Kind.DATE: _date,
    Kind.WEEKDAY: _weekday,
    Kind.HOUR: _hour,
    Kind.SCANS: _scans,
}


@lru_cache(256)
def _names_of_os(family: str) -> tuple[str, ...]:
    name = family.casefold()
    return (name, *_OTHER_NAMES_OF_OS.get(name, ()))


@lru_cache(1024)
def _names_of_browser(family: str) -> tuple[str, str]:
    """The family, and what it is an edition of: "Chrome Mobile iOS" is Chrome."""
    words = family.casefold().split()
    return " ".join(words), " ".join(word for word in words if word not in _BROWSER_EDITIONS)


@lru_cache(1024)
def _ranges_met_by(languages: Languages) -> frozenset[str]:
    wanted = [tag for tag, weight in languages if weight >= PREFERRED_WEIGHT] or [languages[0][0]]
    return frozenset(beginning for tag in wanted for beginning in _beginnings(tag.casefold()))


def _beginnings(tag: str) -> list[str]:
    subtags = tag.split("-", MAX_SUBTAGS)[:MAX_SUBTAGS]
    return ["-".join(subtags[:count]) for count in range(1, len(subtags) + 1)]


@lru_cache(16)
def _values_by_key(query: bytes) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    pairs = filter(None, query.split(b"&"))
    for pair in islice(pairs, MAX_QUERY_PAIRS):
        key, _, value = pair.partition(b"=")
        values.setdefault(_decoded(key), []).append(_decoded(value))
    return values


def _decoded(text: bytes) -> str:
    """application/x-www-form-urlencoded, UTF-8."""
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "replace")
