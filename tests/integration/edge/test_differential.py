"""The protocol class and the application give the same answers and write the same records.

Two workers on the same stores: one as it is, one whose protocol class hands every request to the application. Each
request is sent to both three times on a kept connection, so that the memories answer too.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.http_head import BadHead, HeadReader
from scanhop.routing.rule_compilation import compile_rule
from scanhop.routing.rules import parse_rules
from scanhop.spool.frame import FRAME_HEAD, find_frame
from scanhop.spool.segment import OPEN
from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.route import Rule, Status
from scanhop.wire.scan_record import Outcome, ScanRecord, decode_scan
from tests.edge_worker import Answer, Client, EdgeWorker
from tests.http_heads import head, read
from tests.routes import PHONE, new_id
from tests.unit.client_facts.mmdb import maxmind, write_mmdb

MARKER = b"this must never be written"
FOLDING = Domain(new_id().bytes, "qr.custom", not_found_url="https://custom.example/404")
EXACT = Domain(new_id().bytes, "exact.custom", is_exact=True)
EXAMPLES, SOAK_EXAMPLES = 2_000, 50_000
OUTCOME = [name for name in ScanRecord.__struct_fields__ if name != "scanned_at_ns"].index("outcome")
BOT = b"facebookexternalhit/1.1"


def rules(*raw: dict[str, Any]) -> tuple[Rule, ...]:
    return tuple(compile_rule(rule) for rule in parse_rules(list(raw)))


def rule(field: str, value: object, target: str, **more: object) -> dict[str, Any]:
    return {
        "when": [{"field": field, "op": "in", "value": value, **more}],
        "target_url": f"https://rule.example/{target}",
    }


VARIANTS = [{"name": name, "weight": 1, "target_url": f"https://{name}.example/"} for name in ("a", "b", "c")]
CODES: dict[str, dict[str, Any]] = {
    "plain22": {},
    "moved301": {"redirect_status": 301},
    "kept307": {"redirect_status": 307},
    "moved308": {"redirect_status": 308},
    "archived": {"status": Status.ARCHIVED},
    "paused2": {"status": Status.PAUSED},
    "fallback": {"status": Status.PAUSED, "fallback_url": "https://example.com/closed?x=1#y"},
    "deleted": {"status": Status.DELETED},
    "banned2": {"status": Status.BANNED},
    "law-451": {"status": Status.BANNED, "banned_for_legal_reason": True},
    "not_yet": {"opens_at_ns": 2**62},
    "open222": {"opens_at_ns": 1, "closes_at_ns": 2**62},
    "expired": {"closes_at_ns": 1, "fallback_url": "https://example.com/expired"},
    "forward": {"forward_query": True, "target_url": "https://example.com/?a=own&b=own#end", "pinned_query": ("b",)},
    "device2": {"rules": rules(rule("device", ["mobile"], "phone"), rule("browser", ["firefox"], "fox"))},
    "tongues": {"rules": rules(rule("language", ["de", "fr-CA"], "language"))},
    "country": {"rules": rules(rule("country", ["AT"], "at"), rule("ip", ["198.51.100.0/24"], "net"))},
    "asked22": {"rules": rules(rule("query", ["x", "y"], "query", key="q")), "forward_query": True},
    "hours22": {"rules": rules(rule("weekday", ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "day"))},
    "variant": {
        "rules": rules({**rule("device", ["mobile", "desktop"], ""), "target_url": None, "variants": VARIANTS})
    },
    "limited": {"max_scans": 10**9},
    "full222": {"max_scans": 0},
    "counted": {
        "rules": rules({**rule("scans", 10**9, "few"), "when": [{"field": "scans", "op": "lt", "value": 10**9}]})
    },
    "locked2": {"password_hash": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("sesame")},
}
ON_CUSTOM: list[tuple[Domain, str]] = [(FOLDING, "menu"), (FOLDING, "plain22"), (EXACT, "Menu"), (EXACT, "MENU")]
UNKNOWN = [
    "nosuch1",
    "NoSuch1",
    "menu",
    "%00",
    "%ff",
    "a%2Fb",
    "x" * 63,
    "x" * 64,
    "-a",
    "healthz",
    "a.b",
    "%0A",
    "%E2%84%AA",
]


# --- requests ---


def spelt(code: str) -> st.SearchStrategy[str]:
    """A code in upper case, in lower case, with characters percent-encoded."""
    one = st.sampled_from([str, str.upper, str.swapcase, lambda c: f"%{ord(c):02x}", lambda c: f"%{ord(c):02X}"])
    usual = st.sampled_from([code, code, code.upper(), code.lower()])
    return st.one_of(usual, st.lists(one, min_size=len(code), max_size=len(code)).map(lambda how: spell(code, how)))


def spell(code: str, how: list[Callable[[str], str]]) -> str:
    return "".join(change(character) for change, character in zip(how, code, strict=True))


codes = st.one_of(
    st.sampled_from([*CODES, *(code for _, code in ON_CUSTOM)]).flatmap(spelt),
    st.sampled_from([*CODES, *UNKNOWN, *(code for _, code in ON_CUSTOM)]),
)
prefixes = st.sampled_from(
    ["/r/", "/r/", "/r/", "/R/", "/", "//", "/r//", "/%72/", "http://qr.custom:80/", "HTTPS://x.y/r/"]
)
suffixes = st.sampled_from(
    ["", "", "", "", "/", "?", "?q=x", "?a=1&b=2&q=y", "?%0d%0a=%ff&&a", "#top", "?a#b?c", "?" + "q=z&" * 40]
)
others = st.sampled_from(["/", "/healthz", "/robots.txt", "/favicon.ico", "/v1", "/docs/x", "/HEALTHZ", "/x%0Ay"])
targets = st.one_of(st.builds(lambda *parts: "".join(parts), prefixes, codes, suffixes), others)

AGENTS = [
    PHONE,
    BOT,
    b"",
    b"Mozilla/5.0 (Windows NT 10.0; rv:126.0) Gecko/20100101 Firefox/126.0",
    b"caf\xe9",
    b"x" * 3000,
]
FORWARDED = [
    b"198.51.100.7",
    b"203.0.113.5, 10.0.0.1",
    b"81.10.0.9",
    b"",
    b"nonsense",
    b"::1",
    b"1, " * 900 + b"203.0.113.5",
]
NAMED: dict[bytes, list[bytes]] = {
    b"User-Agent": AGENTS,
    b"Accept-Language": [b"de-AT,de;q=0.9", b"fr-CA", b"*", b"en;q=0", b""],
    b"X-Forwarded-For": FORWARDED,
    b"Forwarded": [b"for=198.51.100.9", b'for="[2001:db8::1]:80"', b"for=_hidden"],
    b"Referer": [b"https://a.example/", b"", b"r" * 2500],
    b"Cookie": [MARKER],
    b"Authorization": [b"Bearer " + MARKER],
    b"Proxy-Authorization": [MARKER],
    b"X-Api-Key": [MARKER],
    b"Purpose": [b"prefetch"],
    b"Sec-Purpose": [b"prefetch;prerender", b""],
    b"X-Moz": [b"Prefetch"],
    b"Connection": [b"keep-alive", b"Upgrade"],
    b"Upgrade": [b"h2c"],
    b"Content-Length": [b"0"],
    b"Expect": [b"100-continue"],
    b"Accept": [b"text/html", b"a\tb"],
}


def cased(name: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([name, name.lower(), name.upper()])


lines = st.sampled_from([*NAMED, b"X-Forwarded-For", b"User-Agent"]).flatmap(
    lambda name: st.builds(
        lambda sent, space, value: sent + b":" + space + value,
        cased(name),
        st.sampled_from([b" ", b"", b" \t"]),
        st.sampled_from(NAMED[name]),
    )
)
hosts = st.sampled_from(
    [b"qr.example", b"qr.example", b"qr.custom", b"QR.Custom:8080", b"exact.custom.", b"", b"192.0.2.1:80"]
)
heads = st.builds(
    lambda method, target, version, host, some, at: head(
        *some[:at], b"Host: " + host, *some[at:], first=f"{method} {target} HTTP/1.{version}".encode()
    ),
    st.sampled_from(["GET", "GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "BREW"]),
    targets,
    st.sampled_from("1111110"),
    hosts,
    st.lists(lines, max_size=6),
    st.integers(0, 6),
)


def each_kind() -> Iterator[bytes]:
    """Every code there is, asked for by people and programs; and forms."""
    for code in [*CODES, *UNKNOWN]:
        for method, agent in ((b"GET", PHONE), (b"GET", BOT), (b"HEAD", PHONE)):
            first = method + b" /r/" + code.encode() + b"?q=x HTTP/1.1"
            yield head(b"Host: qr.example", b"User-Agent: " + agent, b"Cookie: " + MARKER, first=first)
    for domain, code in ON_CUSTOM:
        for path in (
            code,
            code.swapcase(),
            f"r/{code}",
            f"R/{code}",
            "nosuch1",
            "healthz",
            "%68ealthz",
            "robots.txt",
        ):
            yield head(b"Host: " + domain.host.encode(), first=f"GET /{path} HTTP/1.1".encode())
    for code in ("locked2", "plain22", "nosuch1"):
        for body in (b"password=sesame", b"password=wrong", b"password=", b"nonsense", b"\xff=%zz&&"):
            for form_type in (b"application/x-www-form-urlencoded; charset=UTF-8", b"text/plain"):
                lines = b"Content-Type: " + form_type, b"Content-Length: %d" % len(body)
                yield head(b"Host: a", *lines, first=f"POST /r/{code} HTTP/1.1".encode()) + body


def is_taken(data: bytes) -> bool:
    """A head that is refused comes to neither of the two."""
    try:
        read(HeadReader(), data)
    except BadHead:
        return False
    return True


# --- the two workers ---


class Asked:
    """One worker, a connection to it, and how far its records were read."""

    def __init__(self, worker: EdgeWorker) -> None:
        self.worker = worker
        self._client: Client | None = None
        self._read_bytes: Counter[str] = Counter()

    async def ask(self, data: bytes) -> tuple[object, ...]:
        """What is compared: the answer, what was recorded of it, and whether the connection is kept."""
        if self._client is None:
            self._client = Client(*await asyncio.open_connection("127.0.0.1", self.worker.port))
        answer = await self._client.ask(data)
        is_last = answer.header("connection") == "close"
        if is_last:
            assert await self._client.ends()
            await self.close()
        return without_date(answer), is_last

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def new_scans(self) -> list[tuple[object, ...]]:
        scans = []
        for path in sorted((self.worker._root / str(self.worker.spool.spool_id)).glob(f"*{OPEN}")):
            with path.open("rb") as file:
                file.seek(self._read_bytes[path.name])
                data = file.read()
            at = 0
            while (found := find_frame(data, at)) is not None:
                start, at, _ = found
                scans.append(decode_scan(data[start + FRAME_HEAD.size : at]))
            self._read_bytes[path.name] += at
        assert all(abs(time.time_ns() - scan.scanned_at_ns) < 3600 * 10**9 for scan in scans)
        return [without_time(scan) for scan in scans]


def without_date(answer: Answer) -> tuple[object, ...]:
    assert answer.header("date") is not None
    return answer.status, Counter(pair for pair in answer.headers if pair[0] != "date"), answer.body, answer.interim


def without_time(scan: ScanRecord) -> tuple[object, ...]:
    return tuple(getattr(scan, name) for name in scan.__struct_fields__ if name != "scanned_at_ns")


class Pair:
    """Both workers."""

    def __init__(self, by_protocol: EdgeWorker, by_application: EdgeWorker) -> None:
        self.workers = by_protocol, by_application
        self.answered: Counter[int] = Counter()
        self.recorded: Counter[object] = Counter()

    async def open(self) -> None:
        publisher = self.workers[0]
        await publisher.put_domains([FOLDING, EXACT], 1)
        for worker in self.workers:
            await worker.start()
            await worker.until_domains([FOLDING, EXACT])
        for code, fields in CODES.items():
            await publisher.publish(code=code, **fields)
        for domain, code in ON_CUSTOM:
            await publisher.publish(domain_id=domain.id, code=code, target_url=f"https://example.com/{code}")
        await publisher.complete()
        await asyncio.gather(*(worker.get("/r/plain22") for worker in self.workers))
        self.asked = [Asked(worker) for worker in self.workers]
        for asked in self.asked:
            asked.new_scans()

    async def compare(self, data: bytes) -> None:
        for _ in range(3):
            first, second = [await asked.ask(data) for asked in self.asked]
            assert first == second
            self.answered[first[0][0]] += 1
        first_scans, second_scans = [asked.new_scans() for asked in self.asked]
        assert first_scans == second_scans
        assert len(first_scans) in (0, 3)
        self.recorded += Counter(scan[OUTCOME] for scan in first_scans)

    async def close(self) -> None:
        for asked in self.asked:
            await asked.close()
        for worker in self.workers:
            await worker.close()


def run(redis_url, postgres_dsn, spool_root, monkeypatch, examples: int) -> Pair:
    monkeypatch.setattr("edge.unknown_budget.BURST", 1e12)
    monkeypatch.setattr("edge.passwords.TRIES_PER_NETWORK", 10**9)
    monkeypatch.setattr("edge.passwords.TRIES_PER_CODE", 10**9)
    geoip = write_mmdb(spool_root / "geo.mmdb", {"81.10.0.0/16": maxmind("AT", "Wien", "Wien")})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def build() -> Pair:
            options = {"trusted": ["127.0.0.0/8", "10.0.0.0/8"], "geoip_path": geoip}
            pair = Pair(
                EdgeWorker(redis_url, postgres_dsn, spool_root, **options),
                EdgeWorker(redis_url, postgres_dsn, spool_root, by_application=True, **options),
            )
            await pair.open()
            return pair

        pair = runner.run(build())

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(heads.filter(is_taken))
        def compare(data: bytes) -> None:
            runner.run(pair.compare(data))

        try:
            for data in each_kind():
                runner.run(pair.compare(data))
            compare()
            for worker in pair.workers:
                assert MARKER not in worker.spool_bytes()
        finally:
            runner.run(pair.close())
    return pair


def test_both_ways_answer_and_record_the_same(redis_url, postgres_dsn, spool_root, monkeypatch):
    pair = run(redis_url, postgres_dsn, spool_root, monkeypatch, EXAMPLES)
    by_protocol = pair.workers[0].edge.connections
    assert set(pair.answered) >= {200, 301, 302, 303, 307, 308, 403, 404, 405, 410, 451}
    assert set(pair.recorded) == set(Outcome)
    assert by_protocol.outbox.ready_scans > EXAMPLES / 20, "the memories hardly ever answered"
    assert by_protocol.hits > EXAMPLES / 10


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_both_ways_answer_and_record_the_same_for_long(redis_url, postgres_dsn, spool_root, monkeypatch):
    run(redis_url, postgres_dsn, spool_root, monkeypatch, SOAK_EXAMPLES)


def test_the_default_domain_is_none_of_the_custom_ones():
    assert DEFAULT_DOMAIN_ID.bytes not in (FOLDING.id, EXACT.id)
