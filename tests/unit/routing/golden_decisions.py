"""What rows of codes and facts of scans lead to, case by case: (name, row, facts, decision)."""

import ipaddress
from datetime import UTC, datetime
from typing import Any

from scanhop.routing.decision import Decision
from scanhop.routing.facts import GivenDevice, GivenFacts
from scanhop.wire.scan_record import Outcome

Case = tuple[str, dict[str, Any], GivenFacts, Decision]

TARGET = "https://example.com/target"
OTHER = "https://example.com/other"
FALLBACK = "https://example.com/fallback"
NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)  # a Wednesday
BEFORE, AFTER = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)

TO_TARGET = Decision(Outcome.REDIRECT, 302, TARGET)
TO_OTHER = Decision(Outcome.REDIRECT, 302, OTHER, "r1")

IPHONE = GivenDevice("mobile", "iOS", "Mobile Safari")
PIXEL = GivenDevice("mobile", "Android", "Chrome Mobile")
MAC = GivenDevice("desktop", "Mac OS X", "Safari")


def ns(at: datetime | str) -> int:
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return int(moment.timestamp()) * 1_000_000_000


def facts(at: datetime | str = NOON, **known: Any) -> GivenFacts:
    if "address" in known:
        known["address"] = ipaddress.ip_address(known["address"])
    return GivenFacts(ns(at), **known)


def code(**columns: Any) -> dict[str, Any]:
    return {"target_url": TARGET} | columns


def rule(*when: dict[str, Any], target: str = OTHER, **more: Any) -> dict[str, Any]:
    return {"when": list(when), "target_url": target} | more


def when(field: str, op: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"field": field, "op": op} | ({} if value is None else {"value": value}) | more


def hours(begin: str, end: str, timezone: str) -> dict[str, Any]:
    return when("hour", "between", {"from": begin, "to": end}, timezone=timezone)


def one_rule(name: str, is_met: bool, condition: dict[str, Any], scan: GivenFacts) -> Case:
    return name, code(rules=[rule(condition)]), scan, TO_OTHER if is_met else TO_TARGET


def states() -> list[Case]:
    everything = {"max_scans": 1, "password_hash": "hash", "rules": [rule(when("scans", "gte", 0))]}
    too_many = facts(scans=1)
    closed_in_each_way = {"starts_at": AFTER, "expires_at": BEFORE} | everything
    opens = ns(AFTER)
    pages = [
        ("deleted", {"status": "deleted"}, Decision(Outcome.DELETED, 410)),
        ("banned", {"status": "banned"}, Decision(Outcome.BANNED, 403)),
        ("banned by law", {"status": "banned", "ban_reason": "legal"}, Decision(Outcome.BANNED, 451)),
        ("paused", {"status": "paused"}, Decision(Outcome.PAUSED, 410)),
        ("not yet", {}, Decision(Outcome.NOT_YET, 404, opens_at_ns=opens)),
        ("not yet, archived", {"status": "archived"}, Decision(Outcome.NOT_YET, 404, opens_at_ns=opens)),
        ("expired", {"starts_at": None}, Decision(Outcome.EXPIRED, 410)),
        ("at its limit", {"starts_at": None, "expires_at": None}, Decision(Outcome.LIMIT, 410)),
        (
            "locked",
            {"starts_at": None, "expires_at": None, "max_scans": 2},
            Decision(Outcome.LOCKED, 200),
        ),
        (
            "open, its rule is met",
            {"starts_at": None, "expires_at": None, "max_scans": 2, "password_hash": None},
            TO_OTHER,
        ),
    ]
    bare = [
        (f"{name}, before all that follows", code(**closed_in_each_way | columns), too_many, decision)
        for name, columns, decision in pages
    ]
    return (
        bare
        + [
            (
                f"{name}, with a fallback",
                row | {"fallback_url": FALLBACK, "redirect_status": 301},
                scan,
                _to_fallback(page),
            )
            for name, row, scan, page in bare
            if page.outcome in (Outcome.PAUSED, Outcome.NOT_YET, Outcome.EXPIRED, Outcome.LIMIT)
        ]
        + [
            (
                "locked, with a fallback",
                code(password_hash="hash", fallback_url=FALLBACK),
                facts(),
                Decision(Outcome.LOCKED, 200),
            ),
            (
                "deleted, with a fallback",
                code(status="deleted", fallback_url=FALLBACK),
                facts(),
                Decision(Outcome.DELETED, 410),
            ),
            (
                "banned, with a fallback",
                code(status="banned", fallback_url=FALLBACK),
                facts(),
                Decision(Outcome.BANNED, 403),
            ),
            ("active", code(), facts(), TO_TARGET),
            ("archived", code(status="archived"), facts(), TO_TARGET),
            ("unlocked", code(password_hash="hash"), facts(is_unlocked=True), TO_TARGET),
            (
                "unlocked at its limit",
                code(password_hash="hash", max_scans=1),
                facts(is_unlocked=True, scans=1),
                Decision(Outcome.LIMIT, 410),
            ),
            ("below its limit", code(max_scans=2), facts(scans=1), TO_TARGET),
            ("above its limit", code(max_scans=2), facts(scans=3), Decision(Outcome.LIMIT, 410)),
            ("nobody knows how often it was scanned", code(max_scans=2), facts(), TO_TARGET),
            ("permanent", code(redirect_status=301), facts(), Decision(Outcome.REDIRECT, 301, TARGET)),
            (
                "permanent, by a rule",
                code(redirect_status=308, rules=[rule(when("scans", "gte", 0))]),
                facts(scans=0),
                Decision(Outcome.REDIRECT, 308, OTHER, "r1"),
            ),
        ]
    )


def _to_fallback(page: Decision) -> Decision:
    return Decision(page.outcome, 302, FALLBACK, opens_at_ns=page.opens_at_ns)


def devices() -> list[Case]:
    iphone, pixel, mac = facts(device=IPHONE), facts(device=PIXEL), facts(device=MAC)
    return [
        one_rule("a phone is mobile", True, when("device", "in", ["mobile"]), iphone),
        one_rule("the case of a device does not count", True, when("device", "in", "MOBILE"), iphone),
        one_rule("a PC is not mobile", False, when("device", "in", ["mobile", "tablet"]), mac),
        one_rule("a PC is neither", True, when("device", "not_in", ["mobile", "tablet"]), mac),
        one_rule("what is no device is other", True, when("device", "in", ["other"]), facts()),
        one_rule("an iPhone has iOS", True, when("os", "in", ["ios"]), iphone),
        one_rule("an Android phone has not", False, when("os", "in", ["iOS"]), pixel),
        one_rule("Mac OS X goes by its name", True, when("os", "in", ["Mac OS X"]), mac),
        one_rule("Mac OS X is macOS", True, when("os", "in", ["macOS"]), mac),
        one_rule("macOS is not something else", False, when("os", "not_in", ["macOS"]), mac),
        one_rule("Safari on a phone is Safari", True, when("browser", "in", ["Safari"]), iphone),
        one_rule("and Mobile Safari", True, when("browser", "in", ["mobile safari"]), iphone),
        one_rule("Safari on a PC is not Mobile Safari", False, when("browser", "in", ["Mobile Safari"]), mac),
        one_rule("Chrome on Android is Chrome", True, when("browser", "in", ["Firefox", "Chrome"]), pixel),
        one_rule("and none of the others", True, when("browser", "not_in", ["Safari", "Firefox"]), pixel),
    ]


def places() -> list[Case]:
    vienna = facts(country="AT", region="Vienna", city="Wien-Umgebung")
    graz = facts(country="AT", region="Steiermark", city="GRAZ")
    return [
        one_rule("in a country", True, when("country", "in", ["DE", "at"]), vienna),
        one_rule("not in a country", False, when("country", "not_in", ["AT"]), vienna),
        one_rule("in another country", True, when("country", "not_in", ["DE"]), vienna),
        one_rule("a country that is not known is not in", False, when("country", "in", ["AT"]), facts()),
        one_rule("nor not in", False, when("country", "not_in", ["AT"]), facts()),
        one_rule("in a region", True, when("region", "in", ["STEIERMARK"]), graz),
        one_rule("in another region", False, when("region", "in", ["Steiermark"]), vienna),
        one_rule("a region that is not known", False, when("region", "not_in", ["x"]), facts(country="AT")),
        one_rule("in a city", True, when("city", "in", ["Graz"]), graz),
        one_rule("in another city", True, when("city", "not_in", ["Linz"]), graz),
        one_rule(
            "composed or not, an umlaut is one",
            True,
            when("city", "in", ["mu\u0308nchen"]),
            facts(city="M\u00dcNCHEN"),
        ),
        one_rule("sharp s", True, when("city", "in", ["STRASSHOF"]), facts(city="Stra\u00dfhof")),
    ]


def languages() -> list[Case]:
    swiss = facts(languages=(("de-ch", 1.0), ("de", 0.9), ("en", 0.8)))
    lukewarm = facts(languages=(("fr", 0.8), ("de", 0.8), ("en", 0.5)))
    traditional = facts(languages=(("zh-hant-tw", 1.0),))
    return [
        one_rule("a range is met by what is more special", True, when("language", "in", ["de"]), swiss),
        one_rule("but not by what is less", False, when("language", "in", ["de-CH-1996"]), swiss),
        one_rule("nor by its neighbour", False, when("language", "in", ["de-AT"]), swiss),
        one_rule("nor by what begins alike", False, when("language", "in", ["d"]), swiss),
        one_rule("a language wanted less does not count", False, when("language", "in", ["en"]), swiss),
        one_rule("nor against", True, when("language", "not_in", ["en"]), swiss),
        one_rule("where none is wanted much the first counts", True, when("language", "in", ["fr"]), lukewarm),
        one_rule("and only the first", False, when("language", "in", ["de"]), lukewarm),
        one_rule("a range in the middle", True, when("language", "in", ["zh-Hant"]), traditional),
        one_rule("no language is not in", False, when("language", "in", ["de"]), facts()),
        one_rule("no language is not not in", False, when("language", "not_in", ["de"]), facts()),
    ]


def addresses() -> list[Case]:
    v4, v6 = facts(address="192.0.2.77"), facts(address="2001:db8:1:2::3")
    return [
        one_rule("in a network", True, when("ip", "in", ["198.51.100.0/24", "192.0.2.64/26"]), v4),
        one_rule("beside a network", False, when("ip", "in", ["192.0.2.0/26"]), v4),
        one_rule("an address", True, when("ip", "in", "192.0.2.77"), v4),
        one_rule("every address", True, when("ip", "in", ["0.0.0.0/0"]), v4),
        one_rule("not in", True, when("ip", "not_in", ["192.0.2.0/26"]), v4),
        one_rule("not not in", False, when("ip", "not_in", ["192.0.2.0/24"]), v4),
        one_rule("in a network of IPv6", True, when("ip", "in", ["2001:db8::/32"]), v6),
        one_rule("in a small one", True, when("ip", "in", ["2001:db8:1:2::/120"]), v6),
        one_rule("beside a small one", False, when("ip", "in", ["2001:db8:1:2::/127"]), v6),
        one_rule("IPv6 is in no network of IPv4", False, when("ip", "in", ["0.0.0.0/0"]), v6),
        one_rule("IPv4 is in no network of IPv6", False, when("ip", "in", ["::/0"]), v4),
        one_rule("IPv4 written as IPv6", True, when("ip", "in", ["::ffff:192.0.2.0/120"]), v4),
        one_rule("no address is not in", False, when("ip", "in", ["0.0.0.0/0", "::/0"]), facts()),
        one_rule("no address is not not in", False, when("ip", "not_in", ["192.0.2.0/24"]), facts()),
    ]


def queries() -> list[Case]:
    table = facts(query=b"table=7&tag=a&tag=b+c&empty&caf%C3%A9=%e2%82%ac")
    return [
        one_rule("is", True, when("query", "is", "7", key="table"), table),
        one_rule("is not", False, when("query", "is", "8", key="table"), table),
        one_rule("the case of a value counts", False, when("query", "is", "A", key="tag"), table),
        one_rule("the case of a key counts", False, when("query", "exists", key="Table"), table),
        one_rule("one of several", True, when("query", "is", "b c", key="tag"), table),
        one_rule("one among several", True, when("query", "in", ["x", "b c"], key="tag"), table),
        one_rule("none among several", False, when("query", "in", ["x", "y"], key="tag"), table),
        one_rule("a key without a value exists", True, when("query", "exists", key="empty"), table),
        one_rule("and its value is empty", True, when("query", "is", "", key="empty"), table),
        one_rule("a key that is absent", False, when("query", "is", "", key="absent"), table),
        one_rule("does not exist", True, when("query", "not_exists", key="absent"), table),
        one_rule("what exists", False, when("query", "not_exists", key="table"), table),
        one_rule("percent-encoding", True, when("query", "is", "\u20ac", key="caf\u00e9"), table),
        one_rule("no query", False, when("query", "exists", key="a"), facts()),
        one_rule("no query, nothing exists", True, when("query", "not_exists", key="a"), facts()),
    ]


def dates() -> list[Case]:
    june = when("date", "between", {"from": "2026-06-01", "to": "2026-07-01"}, timezone="Europe/Vienna")
    since = when("date", "between", {"from": "2026-06-10T14:00"}, timezone="Europe/Vienna")
    until = when("date", "between", {"to": "2026-06-10T12:00:00Z"}, timezone="Europe/Vienna")
    gap = when("date", "between", {"from": "2026-03-29T02:30"}, timezone="Europe/Vienna")
    overlap = when("date", "between", {"from": "2026-10-25T02:30"}, timezone="Europe/Vienna")
    kolkata = when("date", "between", {"from": "2026-06-10"}, timezone="Asia/Kolkata")
    utc = when("date", "between", {"from": "2026-06-10"})
    return [
        one_rule("June begins at midnight on the wall", True, june, facts("2026-05-31T22:00:00Z")),
        one_rule("and not a second before", False, june, facts("2026-05-31T21:59:59Z")),
        one_rule("June ends at midnight on the wall", False, june, facts("2026-06-30T22:00:00Z")),
        one_rule("and not a second before that", True, june, facts("2026-06-30T21:59:59Z")),
        one_rule("since a local time", True, since, facts("2026-06-10T12:00:00Z")),
        one_rule("before a local time", False, since, facts("2026-06-10T11:59:59Z")),
        one_rule("an offset goes before the time zone", True, until, facts("2026-06-10T11:59:59Z")),
        one_rule("until it is over", False, until, facts("2026-06-10T12:00:00Z")),
        one_rule("what the clock leaves out is read on", False, gap, facts("2026-03-29T01:29:59Z")),
        one_rule("from the gap's beginning", True, gap, facts("2026-03-29T01:30:00Z")),
        one_rule("what the clock shows twice is the first", True, overlap, facts("2026-10-25T00:30:00Z")),
        one_rule("and nothing before", False, overlap, facts("2026-10-25T00:29:59Z")),
        one_rule("India's day begins at half past", True, kolkata, facts("2026-06-09T18:30:00Z")),
        one_rule("not at the full hour", False, kolkata, facts("2026-06-09T18:29:59Z")),
        one_rule("without a time zone it is UTC", True, utc, facts("2026-06-10T00:00:00Z")),
        one_rule("to the second", False, utc, facts("2026-06-09T23:59:59Z")),
    ]


def clocks() -> list[Case]:
    vienna, new_york = "Europe/Vienna", "America/New_York"
    lunch, night = hours("11:30", "14:00", vienna), hours("22:00", "02:00", vienna)
    small_hours, one_to_two = hours("02:00", "03:00", vienna), hours("01:00", "02:00", new_york)
    kolkata = hours("09:00", "17:30", "Asia/Kolkata")
    friday, utc_friday = when("weekday", "in", ["fri"], timezone=vienna), when("weekday", "in", "FRI")
    friday_night = code(rules=[rule(friday, night)])
    return [
        one_rule("lunch begins, in summer", True, lunch, facts("2026-06-10T09:30:00Z")),
        one_rule("not before", False, lunch, facts("2026-06-10T09:29:59Z")),
        one_rule("lunch begins, in winter", True, lunch, facts("2026-01-10T10:30:00Z")),
        one_rule("not before, in winter", False, lunch, facts("2026-01-10T10:29:59Z")),
        one_rule("lunch is over", False, lunch, facts("2026-06-10T12:00:00Z")),
        one_rule("night begins", True, night, facts("2026-06-10T20:00:00Z")),
        one_rule("night goes on after midnight", True, night, facts("2026-06-10T23:59:59Z")),
        one_rule("night is over", False, night, facts("2026-06-11T00:00:00Z")),
        one_rule("noon is not night", False, night, facts("2026-06-10T10:00:00Z")),
        one_rule("an hour left out is never there: before", False, small_hours, facts("2026-03-29T00:59:59Z")),
        one_rule("an hour left out is never there: after", False, small_hours, facts("2026-03-29T01:00:00Z")),
        one_rule("an hour shown twice: the first time", True, small_hours, facts("2026-10-25T00:30:00Z")),
        one_rule("an hour shown twice: the second time", True, small_hours, facts("2026-10-25T01:30:00Z")),
        one_rule("an hour shown twice: over", False, small_hours, facts("2026-10-25T02:00:00Z")),
        one_rule("New York, before the gap", True, one_to_two, facts("2026-03-08T06:59:59Z")),
        one_rule("New York, the gap", False, hours("02:00", "03:00", new_york), facts("2026-03-08T07:00:00Z")),
        one_rule("New York, after the gap", True, hours("03:00", "04:00", new_york), facts("2026-03-08T07:00:00Z")),
        one_rule("New York, the first time", True, one_to_two, facts("2026-11-01T05:30:00Z")),
        one_rule("New York, the second time", True, one_to_two, facts("2026-11-01T06:30:00Z")),
        one_rule("New York, over", False, one_to_two, facts("2026-11-01T07:00:00Z")),
        one_rule("India opens at half past", True, kolkata, facts("2026-06-10T03:30:00Z")),
        one_rule("not before, in India", False, kolkata, facts("2026-06-10T03:29:59Z")),
        one_rule("India closes at the full hour", False, kolkata, facts("2026-06-10T12:00:00Z")),
        one_rule("until the end, in India", True, kolkata, facts("2026-06-10T11:59:59Z")),
        one_rule(
            "without a time zone hours are UTC",
            True,
            when("hour", "between", {"from": "12:00", "to": "12:01"}),
            facts(NOON),
        ),
        one_rule("Friday begins on the wall", True, friday, facts("2026-06-11T22:00:00Z")),
        one_rule("Friday in UTC has not begun", False, utc_friday, facts("2026-06-11T22:00:00Z")),
        one_rule("Friday ends on the wall", False, friday, facts("2026-06-12T22:00:00Z")),
        one_rule("Friday in UTC has not ended", True, utc_friday, facts("2026-06-12T22:00:00Z")),
        one_rule("not on Fridays", True, when("weekday", "not_in", ["fri"]), facts(NOON)),
        ("Friday evening", friday_night, facts("2026-06-12T20:00:00Z"), TO_OTHER),
        ("after midnight it is Saturday", friday_night, facts("2026-06-12T22:30:00Z"), TO_TARGET),
        ("after Thursday's midnight it is Friday", friday_night, facts("2026-06-11T22:30:00Z"), TO_OTHER),
    ]


def counts() -> list[Case]:
    first_hundred, later = when("scans", "lt", 100), when("scans", "gte", 100)
    return [
        one_rule("the first scan", True, first_hundred, facts(scans=0)),
        one_rule("the hundredth scan", True, first_hundred, facts(scans=99)),
        one_rule("the one after", False, first_hundred, facts(scans=100)),
        one_rule("from then on", True, later, facts(scans=100)),
        one_rule("not before it", False, later, facts(scans=99)),
        one_rule("nobody knows: not below", False, first_hundred, facts()),
        one_rule("nobody knows: not above", False, later, facts()),
    ]


def orders() -> list[Case]:
    mobile, austria = when("device", "in", ["mobile"]), when("country", "in", ["AT"])
    both = code(rules=[rule(mobile, austria, id="both"), rule(mobile, target=FALLBACK, id="mobile")])
    austrian_phone, phone = facts(device=IPHONE, country="AT"), facts(device=IPHONE, country="DE")
    return [
        ("the first rule that is met", both, austrian_phone, Decision(Outcome.REDIRECT, 302, OTHER, "both")),
        ("all its conditions must be met", both, phone, Decision(Outcome.REDIRECT, 302, FALLBACK, "mobile")),
        ("no rule is met", both, facts(country="AT"), TO_TARGET),
        (
            "a rule without an id is found by its number",
            code(rules=[rule(austria, id="r1"), rule(mobile)]),
            phone,
            Decision(Outcome.REDIRECT, 302, OTHER, "r2"),
        ),
    ]


def variants() -> list[Case]:
    weighted = [
        {"name": "a", "weight": 1, "target_url": OTHER},
        {"name": "b", "weight": 3, "target_url": FALLBACK},
    ]
    test = code(
        rules=[{"id": "test", "when": [when("device", "not_in", ["bot"])], "variants": weighted}],
        redirect_status=307,
    )
    to_a = Decision(Outcome.REDIRECT, 307, OTHER, "test", "a")
    to_b = Decision(Outcome.REDIRECT, 307, FALLBACK, "test", "b")

    def client(address: str, secret: bytes = b"secret") -> GivenFacts:
        return facts(address=address, user_agent="phone", ab_secret=secret)

    return [
        ("one client", test, client("192.0.2.1"), to_b),
        ("another client", test, client("192.0.2.4"), to_b),
        ("nobody's address", test, facts(ab_secret=b"secret"), to_b),
        ("another secret", test, client("192.0.2.1", b"other"), to_a),
        ("by IPv6", test, client("2001:db8::1"), to_a),
    ]


def forwarded() -> list[Case]:
    target = "https://example.com/p?utm_source=qr&size=s#part"

    def to(name: str, forward: Any, query: bytes, location: str) -> Case:
        columns = code(target_url=target, forward_query=forward)
        return name, columns, facts(query=query), Decision(Outcome.REDIRECT, 302, location)

    pinned = {"pinned": ["utm_source"]}
    base = "https://example.com/p"
    by_rule = code(forward_query=True, rules=[rule(when("query", "exists", key="a"))])
    return [
        to("nothing is handed on", False, b"a=1", target),
        to("there is nothing to hand on", True, b"", target),
        to("a key more", True, b"a=1", f"{base}?utm_source=qr&size=s&a=1#part"),
        to("the scan wins", True, b"size=l", f"{base}?utm_source=qr&size=l#part"),
        to("a pinned key stays", pinned, b"utm_source=x&size=l", f"{base}?utm_source=qr&size=l#part"),
        to("only a pinned key", pinned, b"utm_source=x", target),
        ("by a rule", by_rule, facts(query=b"a=1"), Decision(Outcome.REDIRECT, 302, f"{OTHER}?a=1", "r1")),
        (
            "not to the fallback",
            by_rule | {"status": "paused", "fallback_url": FALLBACK},
            facts(query=b"a=1"),
            Decision(Outcome.PAUSED, 302, FALLBACK),
        ),
    ]


CASES: list[Case] = [
    *states(),
    *devices(),
    *places(),
    *languages(),
    *addresses(),
    *queries(),
    *dates(),
    *clocks(),
    *counts(),
    *orders(),
    *variants(),
    *forwarded(),
]
