"""Records whose rows must never change: hostile, common and rare ones, with fixed ids, times and salt."""

from uuid import UUID

from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import Outcome, encode_headers, encode_route_prefix, encode_scan, encode_unknown_prefix
from tests.routes import PHONE, new_route

PINNED_BATCH = UUID("01931b2e-0000-8000-8000-000000000000")
NOON = 1_800_014_400_123_456_789  # 2027-01-15, 12:00 UTC
PINNED_AT = NOON + 10**9
DAY_NS = 86_400 * 10**9
_IDS = [UUID(int=0x0193_1B2E_0000_7000_8000_0000_0000_0000 + number).bytes for number in range(4)]
_ROUTE = new_route(workspace_id=_IDS[0], qr_id=_IDS[1], user_id=_IDS[2], project_id=_IDS[3], code="menu", version=300)
_PREFIX = encode_route_prefix(_ROUTE)
_UNKNOWN = encode_unknown_prefix(DEFAULT_DOMAIN_ID.bytes, "m1sprint")
_V4, _V6 = b"\xcb\0\x71\x4d", bytes.fromhex("20010db8000100020000000000000003")
_PROXY, _MAPPED = b"\x0a\0\0\1", bytes(10) + b"\xff\xff\xcb\0\x71\x4d"

PINNED_RECORDS = [
    encode_scan(
        _PREFIX,
        NOON,
        Outcome.REDIRECT,
        _V4,
        encode_headers([(b"user-agent", PHONE), (b"accept-language", b"de-AT,en;q=0.5")]),
    ),
    encode_scan(
        _PREFIX,
        NOON + 1_000_000,
        Outcome.REDIRECT,
        _V6,
        encode_headers(
            [(b"referer", b"https://example.org/caf\xe9"), (b"user-agent", b"Googlebot/2.1"), (b"x-moz", b"prefetch")]
        ),
        b"0193r",
        b"b",
    ),
    encode_scan(
        _PREFIX, NOON + 2_000_000, Outcome.HEAD, _MAPPED, encode_headers([(b"user-agent", b"WhatsApp/2.23.20.0 A")])
    ),
    encode_scan(
        _PREFIX,
        NOON + 3_000_000,
        Outcome.LOCKED,
        _PROXY,
        encode_headers(
            [
                (b"x-forwarded-for", b"1.1.1.1, 198.51.100.9:443, 10.2.3.4"),
                (b"user-agent", PHONE),
                (b"user-agent", b"twice"),
            ]
        ),
    ),
    encode_scan(
        _PREFIX,
        NOON + 4_000_000,
        Outcome.REDIRECT,
        _PROXY,
        encode_headers(
            [(b"forwarded", b'for="[2001:db8:cafe::17]:4711";proto=https'), (b"accept-language", b"*;q=x,,zz-1")]
        ),
    ),
    encode_scan(_UNKNOWN, NOON + 5_000_000, Outcome.UNKNOWN, b"", b""),
    encode_scan(
        _PREFIX,
        NOON - 5 * DAY_NS,
        Outcome.PAUSED,
        _V4,
        encode_headers([(b"user-agent", b"\xff" * 1500), (b"referer", b"r" * 2048)]),
    ),
    encode_scan(
        _PREFIX,
        NOON + 6_000_000,
        Outcome.REDIRECT,
        _PROXY,
        encode_headers([(b"x-forwarded-for", b"unknown"), (b"user-agent", b"Barracuda Sentinel (EE)")]),
    ),
]

_PHONE_ROW = {
    "event_id": "01931b2e-0000-8000-8000-000000000000",
    "batch_id": "01931b2e-0000-8000-8000-000000000000",
    "workspace_id": "01931b2e-0000-7000-8000-000000000000",
    "qr_id": "01931b2e-0000-7000-8000-000000000001",
    "user_id": "01931b2e-0000-7000-8000-000000000002",
    "project_id": "01931b2e-0000-7000-8000-000000000003",
    "domain_id": "00000000-0000-7000-8000-000000000001",
    "short_code": "menu",
    "route_version": 300,
    "scanned_at": 1800014400123,
    "received_at": 1800014401123,
    "outcome": "redirect",
    "rule_id": "",
    "variant": "",
    "is_bot": False,
    "bot_reason": "",
    "visitor": 9236376482852164442,
    "ip": "203.0.113.0",
    "language": "de",
    "device_type": "mobile",
    "os": "iOS",
    "browser": "Mobile Safari",
    "user_agent": PHONE.decode(),
    "referer": "",
}
_NOBODYS = {"device_type": "other", "os": "Other", "browser": "Other", "user_agent": "", "language": ""}
PINNED_ROWS = [
    _PHONE_ROW,
    _PHONE_ROW
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000001",
        "scanned_at": 1800014400124,
        "rule_id": "0193r",
        "variant": "b",
        "is_bot": True,
        "bot_reason": "prefetch",
        "visitor": 8513641895508127324,
        "ip": "2001:db8:1::",
        "language": "",
        "device_type": "bot",
        "os": "Other",
        "browser": "Googlebot",
        "user_agent": "Googlebot/2.1",
        "referer": "https://example.org/caf\ufffd",
    },
    _PHONE_ROW
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000002",
        "scanned_at": 1800014400125,
        "outcome": "head",
        "is_bot": True,
        "bot_reason": "link_preview",
        "visitor": 10579409078867349682,
        "language": "",
        "device_type": "bot",
        "os": "Other",
        "browser": "WhatsApp",
        "user_agent": "WhatsApp/2.23.20.0 A",
    },
    _PHONE_ROW
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000003",
        "scanned_at": 1800014400126,
        "outcome": "locked",
        "visitor": 15361966889955119454,
        "ip": "198.51.100.0",
        "language": "",
        "user_agent": f"{PHONE.decode()}, twice",
    },
    _PHONE_ROW
    | _NOBODYS
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000004",
        "scanned_at": 1800014400127,
        "visitor": 9598648967531387332,
        "ip": "2001:db8:cafe::",
        "language": "zz",
    },
    _PHONE_ROW
    | _NOBODYS
    | dict.fromkeys(("workspace_id", "qr_id", "user_id", "project_id"), str(UUID(int=0)))
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000005",
        "short_code": "m1sprint",
        "route_version": 0,
        "scanned_at": 1800014400128,
        "outcome": "unknown",
        "visitor": 0,
        "ip": "",
    },
    _PHONE_ROW
    | _NOBODYS
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000006",
        "scanned_at": 1799582400123,
        "outcome": "paused",
        "visitor": 0,
        "user_agent": "\ufffd" * 1024,
        "referer": "r" * 2048,
    },
    _PHONE_ROW
    | _NOBODYS
    | {
        "event_id": "01931b2e-0000-8000-8000-000000000007",
        "scanned_at": 1800014400129,
        "is_bot": True,
        "bot_reason": "mail_gateway",
        "visitor": 12777483472458252854,
        "ip": "10.0.0.0",
        "user_agent": "Barracuda Sentinel (EE)",
    },
]
