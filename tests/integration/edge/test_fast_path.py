"""Connections over real sockets: order, keep-alive, cuts at any byte, forms, clients that leave, draining."""

import asyncio
import random
import socket
import struct

import pytest
from argon2 import PasswordHasher

from scanhop.wire.domains import Domain
from scanhop.wire.route import Route, Status
from scanhop.wire.scan_record import Outcome
from tests.edge_worker import AWAY_POSTGRES, WITHIN_S, Answer, Client, EdgeWorker, eventually, until
from tests.http_heads import END, HOST, get, head, phone, post
from tests.redis_server import RedisServer
from tests.routes import new_id

PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("sesame")
FORM_TYPE = b"Content-Type: application/x-www-form-urlencoded"
RIGHT = b"password=sesame"


def form(body: bytes, *lines: bytes, first: bytes = b"POST /r/locked2 HTTP/1.1") -> bytes:
    return head(HOST, FORM_TYPE, b"Content-Length: %d" % len(body), *lines, first=first) + body


@pytest.fixture(autouse=True)
def generous(monkeypatch) -> None:
    """One client may ask for as many unknown codes, and try as many passwords, as a test needs."""
    monkeypatch.setattr("edge.unknown_budget.BURST", 1e9)
    monkeypatch.setattr("edge.passwords.TRIES_PER_NETWORK", 10**9)
    monkeypatch.setattr("edge.passwords.TRIES_PER_CODE", 10**9)


@pytest.fixture
async def stocked(worker: EdgeWorker) -> EdgeWorker:
    """With a code of each kind, none of them remembered yet."""
    await worker.complete()
    await worker.publish(code="abc2345", target_url="https://example.com/hot")
    await worker.publish(code="paused2", status=Status.PAUSED)
    await worker.publish(code="many234", max_scans=10**9, target_url="https://example.com/many")
    await worker.publish(code="query22", forward_query=True, target_url="https://example.com/query")
    await worker.publish(code="locked2", password_hash=PASSWORD_HASH, target_url="https://example.com/open")
    return worker


# What a phone may ask for, the status of the answer, and its Location or the beginning of its body.
KINDS: dict[str, tuple[bytes, int, bytes]] = {
    "hot": (phone(), 302, b"https://example.com/hot"),
    "hot behind a load balancer": (
        phone(b"/r/abc2345", b"X-Forwarded-For: 192.0.2.1"),
        302,
        b"https://example.com/hot",
    ),
    "state page": (phone(b"/r/paused2"), 410, b"<!"),
    "decided anew": (phone(b"/r/query22?a=b"), 302, b"https://example.com/query?a=b"),
    "unknown": (phone(b"/r/nosuch1"), 404, b"<!"),
    "impossible": (phone(b"/r/%00"), 404, b"<!"),
    "counted": (phone(b"/r/many234"), 302, b"https://example.com/many"),
    "locked": (phone(b"/r/locked2"), 200, b"<!"),
    "no path": (phone(b"/menu"), 404, b"<!"),
    "health": (phone(b"/healthz"), 200, b"ok\n"),
    "robots": (phone(b"/robots.txt"), 200, b"User-agent: *"),
    "other method": (head(HOST, first=b"DELETE /r/abc2345 HTTP/1.1"), 405, b""),
    "HEAD": (head(HOST, first=b"HEAD /r/abc2345 HTTP/1.1"), 302, b"https://example.com/hot"),
    "HEAD of a page": (head(HOST, first=b"HEAD /healthz HTTP/1.1"), 200, b""),
    "form": (form(RIGHT), 303, b"https://example.com/open"),
}


def is_answer_to(kind: str, answer: Answer) -> bool:
    _, status, said = KINDS[kind]
    told = answer.location.encode() if answer.location else answer.body[: len(said)]
    return (answer.status, told) == (status, said)


async def read_answer_to(client, kind: str) -> Answer:
    answer = await client.read(is_head=kind.startswith("HEAD"))
    assert is_answer_to(kind, answer), (kind, answer)
    return answer


# --- one after the other ---


async def test_a_connection_is_kept_for_the_next_request(stocked):
    async with await stocked.connect() as client:
        for _ in range(3):
            for kind, (data, _, _) in KINDS.items():
                await client.send(data)
                assert (await read_answer_to(client, kind)).header("connection") is None
    assert len(stocked.scans()) == 3 * 10


async def test_a_client_that_wants_the_end_gets_it_behind_its_answer(stocked):
    for kind in [*KINDS] * 2:
        data = KINDS[kind][0].replace(b"\r\nConnection: keep-alive", b"")
        closing = data.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1)
        older = data.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
        for asked in (closing, older):
            async with await stocked.connect() as client:
                await client.send(asked + KINDS["hot"][0])
                answer = await read_answer_to(client, kind)
                assert answer.header("connection") == "close"
                assert await client.ends()


async def test_a_thousand_requests_at_once_are_answered_in_order(stocked):
    chance = random.Random(7)
    codes = [f"cold{number}" for number in range(50)]
    for code in codes:
        await stocked.publish(code=code, target_url=f"https://example.com/{code}")
    kinds = [chance.choice([*KINDS, "cold"]) for _ in range(1000)]
    cold = iter(codes)
    expected = [(kind, next(cold, "abc2345") if kind == "cold" else "") for kind in kinds]
    sent = b"".join(phone(b"/r/" + code.encode()) if code else KINDS[kind][0] for kind, code in expected)
    async with await stocked.connect() as client:
        sending = asyncio.create_task(client.send(*cut(sent, chance)))
        for kind, code in expected:
            if code:
                known = "hot" if code == "abc2345" else code
                assert (await client.read()).location == f"https://example.com/{known}"
            else:
                await read_answer_to(client, kind)
        await sending
    recorded = stocked.outcomes()
    assert recorded.count("paused") == kinds.count("state page")
    assert recorded.count("head") == kinds.count("HEAD")
    assert recorded.count("locked") == kinds.count("locked")
    assert recorded.count("unknown") == kinds.count("unknown") + kinds.count("impossible")


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """In parts of any length, the first of them long."""
    parts, at = [], 0
    while at < len(data):
        end = at + (100_000 if not parts else chance.randint(1, 3000))
        parts.append(data[at:end])
        at = end
    return parts


async def test_a_thousand_hot_requests_at_once_are_all_answered_and_recorded(stocked):
    async with await stocked.connect() as client:
        await client.send(phone() * 1000)
        for _ in range(1000):
            await read_answer_to(client, "hot")
    assert stocked.outcomes() == ["redirect"] * 1000


async def test_requests_on_many_connections_share_the_write_and_lose_nothing(stocked):
    clients = [await stocked.connect() for _ in range(50)]
    for _ in range(4):
        for client in clients:
            client.writer.write(phone())
        for client in clients:
            await read_answer_to(client, "hot")
    assert stocked.outcomes() == ["redirect"] * 200


# --- cuts ---


@pytest.mark.parametrize("kind", ["hot", "hot behind a load balancer", "decided anew", "health", "form"])
async def test_a_request_may_be_cut_at_every_byte(stocked, kind):
    data = KINDS[kind][0]
    async with await stocked.connect() as client:
        for _ in range(2):
            await client.send(data)
            await read_answer_to(client, kind)
        connection = stocked.only_connection()
        for at in range(1, len(data)):
            await client.send(data[:at])
            await until(lambda at=at: len(connection._rest) == at)
            await client.send(data[at:])
            await read_answer_to(client, kind)


async def test_a_request_may_come_byte_by_byte(stocked):
    async with await stocked.connect() as client:
        for kind in [*KINDS] * 2:
            data = KINDS[kind][0]
            await client.send(*(data[at : at + 1] for at in range(len(data))))
            await read_answer_to(client, kind)


async def test_empty_lines_between_requests_are_passed_over(stocked):
    data = b"\r\n" + phone() + b"\r\n" + phone() + b"\r\n\r\n\r\n" + phone()
    async with await stocked.connect() as client:
        await client.send(data)
        for _ in range(3):
            await read_answer_to(client, "hot")
        for byte in data:
            await client.send(bytes((byte,)))
        for _ in range(3):
            await read_answer_to(client, "hot")


# --- what is remembered changes nothing ---


@pytest.mark.parametrize(
    "tail", [b"X-Forwarded-For: 192.0.2.66\r\n", b"x-forwarded-for: 192.0.2.66\r\n", b"\r\n", b"G"]
)
async def test_what_follows_a_remembered_request_is_none_of_its_headers(stocked, tail):
    for _ in range(3):
        await stocked.ask(get())
        await stocked.ask(get(b"X-Forwarded-For: 192.0.2.1"))
    async with await stocked.connect() as client:
        await client.send(get() + tail)
        await read_answer_to(client, "hot")
        connection = stocked.only_connection()
        await until(lambda: connection._rest == tail)
    assert stocked.scans()[-1].headers == {}


async def test_a_remembered_request_is_another_one_for_another_host(stocked):
    domain = Domain(new_id().bytes, "qr.custom")
    await stocked.publish(domain_id=domain.id, target_url="https://example.com/custom")
    elsewhere = get().replace(b"qr.example", b"QR.Custom:8080")
    for _ in range(3):
        assert (await stocked.ask(elsewhere)).location == "https://example.com/hot"
        assert (await stocked.ask(get())).location == "https://example.com/hot"
    await stocked.put_domains([domain], 1)
    await stocked.until_domains([domain])
    for _ in range(3):
        assert (await stocked.ask(elsewhere)).location == "https://example.com/custom"
        assert (await stocked.ask(get())).location == "https://example.com/hot"
    await stocked.put_domains([], 2)
    await stocked.until_domains([])
    for _ in range(3):
        assert (await stocked.ask(elsewhere)).location == "https://example.com/hot"


async def test_each_scan_is_recorded_with_its_own_headers(stocked):
    for number in range(6):
        lines = b"X-Forwarded-For: 192.0.2.%d" % number, b"Referer: https://a.example/%d" % (number % 2)
        await stocked.ask(phone(b"/r/abc2345", *lines))
    for number, scan in enumerate(stocked.scans()):
        assert scan.headers[b"x-forwarded-for"] == b"192.0.2.%d" % number
        assert scan.headers[b"referer"] == b"https://a.example/%d" % (number % 2)


async def test_a_bad_line_is_refused_though_all_others_are_remembered(stocked):
    for _ in range(3):
        await stocked.ask(phone(b"/r/abc2345", b"X-Forwarded-For: 192.0.2.1"))
    for bad in (b"X-Forwarded-For: \x00", b"X-Forwarded-For : a", b"X-Forwarded-For: a\rb", b"Host: b"):
        assert (await stocked.ask(phone(b"/r/abc2345", bad))).status == 400
    assert len(stocked.scans()) == 3


async def test_a_stale_code_is_not_answered_from_memory(stocked):
    route = await stocked.publish(code="edited2", target_url="https://example.com/old")
    for _ in range(3):
        assert (await stocked.get("/r/edited2")).location == "https://example.com/old"
    new = Route(
        **{
            **{name: getattr(route, name) for name in route.__struct_fields__},
            "version": 2,
            "target_url": "https://example.com/new",
        }
    )
    await stocked.routes.put_if_newer(new)
    stocked.edge.resolver.invalidate(route.domain_id + b"edited2")
    assert (await stocked.get("/r/edited2")).location == "https://example.com/new"


# --- forms ---


@pytest.mark.parametrize("at", [-15, -1, 0])
async def test_a_form_may_come_in_parts(stocked, at):
    data = form(RIGHT)
    async with await stocked.connect() as client:
        await client.send(data[: len(data) + at], data[len(data) + at :] + phone())
        await read_answer_to(client, "form")
        await read_answer_to(client, "hot")


async def test_who_expects_to_be_asked_for_the_form_is_asked_once(stocked):
    data = form(RIGHT, b"Expect: 100-continue")
    async with await stocked.connect() as client:
        await client.send(data[: -len(RIGHT)])
        status, _ = await asyncio.wait_for(client._read_head(), WITHIN_S)
        assert status == 100
        await client.send(RIGHT[:4], RIGHT[4:])
        assert (await read_answer_to(client, "form")).interim == ()
        await client.send(data)
        assert (await read_answer_to(client, "form")).interim == ()


async def test_an_older_client_is_not_asked_for_its_form(stocked):
    data = form(RIGHT, b"Expect: 100-continue", first=b"POST /r/locked2 HTTP/1.0")
    async with await stocked.connect() as client:
        await client.send(data[: -len(RIGHT)])
        await until(lambda: stocked.only_connection()._rest)
        await client.send(RIGHT)
        assert (await read_answer_to(client, "form")).interim == ()


async def test_the_form_is_asked_for_behind_the_answers_before_it(stocked):
    await stocked.ask(phone())
    data = form(RIGHT, b"Expect: 100-continue")
    async with await stocked.connect() as client:
        await client.send(phone() * 3 + data[: -len(RIGHT)])
        for _ in range(3):
            assert (await read_answer_to(client, "hot")).interim == ()
        status, _ = await asyncio.wait_for(client._read_head(), WITHIN_S)
        assert status == 100
        await client.send(RIGHT)
        await read_answer_to(client, "form")


async def test_a_form_that_is_too_long_is_not_asked_for(stocked):
    data = head(HOST, FORM_TYPE, b"Content-Length: 1025", b"Expect: 100-continue", first=b"POST /r/locked2 HTTP/1.1")
    async with await stocked.connect() as client:
        answer = await client.ask(data)
        assert (answer.status, answer.interim) == (413, ())
        assert await client.ends()


async def test_a_form_for_a_code_without_a_password_is_answered_405_and_the_connection_kept(stocked):
    async with await stocked.connect() as client:
        for _ in range(2):
            await client.send(form(RIGHT, first=b"POST /r/abc2345 HTTP/1.1"))
            assert (await client.read()).status == 405
        await client.send(post())
        assert (await client.read()).status == 405


# --- clients that leave ---


async def test_a_client_that_has_said_all_still_gets_its_answer(stocked):
    for kind in [*KINDS] * 3:
        async with await stocked.connect() as client:
            client.writer.write(KINDS[kind][0])
            client.writer.write_eof()
            await read_answer_to(client, kind)
            assert await client.ends()


@pytest.mark.parametrize("kinds", [["hot"] * 200, ["cold", "hot", "state page", "hot"], ["hot", "counted", "hot"]])
async def test_a_client_that_has_said_all_gets_all_its_answers(stocked, kinds):
    await stocked.publish(code="cold234", target_url="https://example.com/hot")
    async with await stocked.connect() as client:
        for kind in kinds:
            client.writer.write(phone(b"/r/cold234") if kind == "cold" else KINDS[kind][0])
        client.writer.write_eof()
        for kind in kinds:
            await read_answer_to(client, "hot" if kind == "cold" else kind)
        assert await client.ends()


async def test_a_client_that_says_half_of_something_and_that_it_was_all_is_let_go(stocked):
    async with await stocked.connect() as client:
        client.writer.write(phone()[:50])
        client.writer.write_eof()
        assert await client.ends()


@pytest.fixture
async def slow_redis(tmp_path):
    with RedisServer(tmp_path / "redis") as redis:
        yield redis


@pytest.fixture
async def waiting(slow_redis, new_worker) -> EdgeWorker:
    """A worker whose look-ups do not end before `slow_redis.resume()`."""
    worker = await new_worker(redis=slow_redis.url, postgres=AWAY_POSTGRES, redis_timeout_s=WITHIN_S)
    await worker.publish(target_url="https://example.com/hot")
    slow_redis.pause()
    return worker


def reset(client: Client) -> None:
    at_once = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    client.writer.transport.abort()


async def test_a_client_that_goes_while_its_code_is_looked_up_is_not_recorded(waiting, slow_redis):
    gone, patient = await waiting.connect(), await waiting.connect()
    await gone.send(phone() * 3)
    await patient.send(phone())
    await eventually(lambda: sum(each._is_waiting for each in waiting.edge.connections.open) == 2)
    reset(gone)
    await eventually(lambda: len(waiting.edge.connections.open) == 1)
    slow_redis.resume()
    await read_answer_to(patient, "hot")
    assert waiting.outcomes() == ["redirect"]
    await patient.send(phone())
    await read_answer_to(patient, "hot")


async def test_clients_that_go_at_any_moment_break_nothing(stocked):
    chance = random.Random(3)
    for _ in range(100):
        client = await stocked.connect()
        data = b"".join(chance.choice(list(KINDS.values()))[0] for _ in range(20))
        client.writer.write(data[: chance.randint(1, len(data))])
        for _ in range(chance.randint(0, 20)):
            await asyncio.sleep(0)
        chance.choice([reset, lambda client: client.writer.transport.abort()])(client)
    await eventually(lambda: not stocked.edge.connections.open and not stocked.state.tasks)
    await stocked.ask(phone())
    assert stocked.scans()[-1].outcome is Outcome.REDIRECT


# --- draining ---


async def test_the_next_answer_of_a_worker_that_drains_is_the_last_one(stocked):
    connections = stocked.edge.connections
    for kind, (data, _, _) in KINDS.items():
        connections.hot.is_draining = False
        used, new = await stocked.connect(), await stocked.connect()
        await used.send(data)
        await read_answer_to(used, kind)
        await eventually(lambda: len(connections.open) == 2)
        connections.drain()
        for client in (used, new):
            await client.send(data)
            assert (await read_answer_to(client, kind)).header("connection") == "close"
            assert await client.ends()
            await client.close()
        await eventually(lambda: not connections.open)


async def test_a_worker_that_drains_closes_what_is_idle(stocked, monkeypatch):
    for name, seconds in {"LINGER_S": 0.05, "BEAT_S": 0.02, "SWEEP_S": 0.02}.items():
        monkeypatch.setattr(f"edge.fast_path.{name}", seconds)
    used, new = await stocked.connect(), await stocked.connect()
    await used.send(phone())
    await read_answer_to(used, "hot")
    await eventually(lambda: len(stocked.edge.connections.open) == 2)
    stocked.edge.drain()
    assert await used.ends()
    assert await new.ends()
    await eventually(lambda: not stocked.edge.connections.open)


async def test_what_is_under_way_when_a_worker_drains_is_answered(waiting, slow_redis, monkeypatch):
    for name, seconds in {"LINGER_S": 0.0, "BEAT_S": 0.02, "SWEEP_S": 0.02}.items():
        monkeypatch.setattr(f"edge.fast_path.{name}", seconds)
    client = await waiting.connect()
    await client.send(phone())
    await eventually(lambda: waiting.edge.connections.open and waiting.only_connection()._is_waiting)
    waiting.edge.drain()
    await asyncio.sleep(0.3)  # some sweeps
    slow_redis.resume()
    assert (await read_answer_to(client, "hot")).header("connection") == "close"
    assert await client.ends()
    assert waiting.outcomes() == ["redirect"]


async def test_an_answer_is_dated(stocked):
    for data in (phone(), phone(), phone(b"/healthz"), phone() + END):
        assert (await stocked.ask(data)).header("date").endswith(" GMT")
