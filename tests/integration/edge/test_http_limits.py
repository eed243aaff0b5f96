"""What a client may not do, over real sockets: each is refused with its status, it learns so, and nothing stays."""

import asyncio
import contextlib
import socket

import pytest

from edge.fast_path import MAX_REST
from edge.http_head import MAX_HEAD
from scanhop.wire.route import Status
from tests.edge_worker import WITHIN_S, Client, EdgeWorker, eventually, until
from tests.http_heads import MALFORMED, ODD, get, head, phone, post
from tests.redis_server import RedisServer

READ_AT_ONCE = 256 * 1024  # what the event loop hands over in one call
WRITE_BUFFER = 64 * 1024  # where the transport says that it has enough
TICK = 64 * 4096  # the answers to one tick's requests, at most


@pytest.fixture
def quick(monkeypatch) -> None:
    """Deadlines pass soon, and are looked at often."""
    for name, seconds in {"HEAD_S": 0.5, "LINGER_S": 0.5, "BEAT_S": 0.02, "SWEEP_S": 0.02}.items():
        monkeypatch.setattr(f"edge.fast_path.{name}", seconds)


@pytest.fixture
def impatient(quick, monkeypatch) -> None:
    monkeypatch.setattr("edge.fast_path.IDLE_S", 0.1)


async def test_each_malformed_request_is_refused_and_the_refusal_arrives_before_the_end(worker: EdgeWorker):
    await worker.publish()
    for name, (data, status) in MALFORMED.items():
        refused = worker.edge.connections.refused[status]
        async with await worker.connect() as client:
            await client.send(data)
            answer = await client.read()
            assert answer.status == status, name
            assert answer.header("connection") == "close", name
            assert await client.ends(), name
        assert worker.edge.connections.refused[status] == refused + 1, name
    assert worker.scans() == []


async def test_a_malformed_request_behind_good_ones_is_refused_too(worker: EdgeWorker):
    """Also where every other line of it is remembered."""
    await worker.publish()
    good = 0
    for name, (data, status) in MALFORMED.items():
        async with await worker.connect() as client:
            await client.send(phone() + get(), phone() + data)
            statuses = [(await client.read()).status for _ in range(4)]
            assert statuses == [302, 302, 302, status], name
            assert await client.ends(), name
            good += 3
    assert worker.outcomes() == ["redirect"] * good


async def test_a_malformed_request_is_refused_however_it_is_cut(worker: EdgeWorker):
    for name, (data, status) in MALFORMED.items():
        for at in {1, len(data) // 2, max(1, len(data) - 3), max(1, len(data) - 1)}:
            async with await worker.connect() as client:
                with contextlib.suppress(ConnectionError):  # it may be refused before its end
                    await client.send(data[:at])
                    await until(lambda: all(each._rest or each._is_refused for each in worker.edge.connections.open))
                    await client.send(data[at:])
                answer = await client.read()
                assert answer.status == status, (name, at)
            await until(lambda: not worker.edge.connections.open)


async def test_each_odd_request_is_answered(worker: EdgeWorker):
    for name, (data, _) in ODD.items():
        for _ in range(2):
            answer = await worker.ask(data)
            assert answer.status in (404, 405), name
    assert not worker.edge.connections.refused


async def test_nothing_is_read_behind_a_refusal(worker: EdgeWorker):
    await worker.publish()
    async with await worker.connect() as client:
        await client.send(get(b"X : a") + phone(), phone())
        assert (await client.read()).status == 400
        assert await client.ends()
    assert worker.scans() == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"Content-Length: 100000000"), 413),
        (post(b"Transfer-Encoding: chunked"), 411),
        (get(b"Content-Length: 100000000"), 400),
        (head(b"Host: a", b"Content-Length: 100000000", first=b"PUT /r/abc2345 HTTP/1.1"), 405),
        (head(b"Host: a", b"Content-Length: 100000000", first=b"DELETE /healthz HTTP/1.1"), 405),
        (b"GET /" + b"a" * 20_000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, 431),
    ],
    ids=["413", "411", "400", "405", "405 of the application", "414", "431"],
)
async def test_a_client_that_goes_on_sending_gets_its_refusal(worker: EdgeWorker, data, status):
    """A connection that is closed with bytes unread is reset, and the reset overtakes the answer."""
    for _ in range(5):
        async with await worker.connect() as client:
            await client.send(data)
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    await client.send(b"x" * 50_000)
            assert (await client.read()).status == status


# --- time ---


async def test_a_head_that_does_not_come_is_refused_though_each_byte_comes_in_time(quick, worker: EdgeWorker):
    async with await worker.connect() as client:
        await client.send(b"GET /r/abc2345 HTTP/1.1\r\nX: ")
        answering = asyncio.create_task(client.read())
        while not answering.done():
            await client.send(b"a")
            await asyncio.sleep(0.02)
        assert (await answering).status == 408
    assert worker.edge.connections.refused[408] == 1


async def test_a_head_that_does_not_come_behind_an_answer_is_refused(quick, worker: EdgeWorker):
    async with await worker.connect() as client:
        await client.send(phone() + phone()[:-1])
        assert [(await client.read()).status, (await client.read()).status] == [404, 408]
        assert await client.ends()


@pytest.mark.parametrize("is_pipelined", [True, False])
async def test_a_form_that_does_not_come_is_refused(quick, worker: EdgeWorker, is_pipelined):
    async with await worker.connect() as client:
        form = post(b"Content-Length: 10") + b"password"
        if is_pipelined:
            await client.send(phone() + form)
            assert (await client.read()).status == 404
        else:
            assert (await client.ask(phone())).status == 404
            await client.send(form)
        assert (await client.read()).status == 408
        assert await client.ends()


async def test_a_form_has_its_time_however_long_the_connection_was_idle(worker: EdgeWorker):
    async with await worker.connect() as client:
        assert (await client.ask(phone())).status == 404
        connections, connection = worker.edge.connections, worker.only_connection()
        connection._deadline = connections.hot.now + 0.1  # the idle time is nearly over
        await client.send(post(b"Content-Length: 10") + b"password")
        await until(lambda: connection._rest)
        assert connection._deadline > connections.hot.now + 10


async def test_an_idle_connection_is_closed_without_a_word(impatient, worker: EdgeWorker):
    async with await worker.connect() as client:
        assert (await client.ask(phone())).status == 404
        assert await client.ends()


async def test_a_connection_that_says_nothing_is_closed_without_a_word(quick, worker: EdgeWorker):
    async with await worker.connect() as client:
        assert await client.ends()
    assert not worker.edge.connections.refused


async def test_an_idle_connection_is_not_closed_before_its_time(quick, worker: EdgeWorker):
    async with await worker.connect() as client:
        assert (await client.ask(phone())).status == 404
        await asyncio.sleep(1)  # longer than a head may take
        assert (await client.ask(phone())).status == 404


# --- room ---


async def test_a_connection_too_many_is_refused(worker: EdgeWorker):
    worker.edge.connections.max_connections = 3
    held = [await worker.connect() for _ in range(3)]
    await until(lambda: len(worker.edge.connections.open) == 3)
    async with await worker.connect() as client:
        assert (await client.read()).status == 503
        assert await client.ends()
    assert worker.edge.connections.refused[503] == 1
    assert [(await client.ask(phone())).status for client in held] == [404, 404, 404]
    await held[0].close()
    await eventually(lambda: len(worker.edge.connections.open) == 2)
    assert (await worker.ask(phone())).status == 404


async def prepare(worker: EdgeWorker) -> dict[str, bytes]:
    """Requests of each kind, all known to the worker."""
    await worker.complete()
    await worker.publish(code="hot2345", target_url="https://example.com/" + "x" * 1500)
    await worker.publish(code="paused2", status=Status.PAUSED)
    await worker.publish(code="many234", max_scans=10**9, target_url="https://example.com/" + "x" * 1500)
    hot, paused, many = (phone(b"/r/" + code) for code in (b"hot2345", b"paused2", b"many234"))
    closing = head(b"Host: a", b"Connection: close", first=b"GET /r/hot2345 HTTP/1.1")
    for data in (hot, paused, many):
        await worker.ask(data)
    page = phone(b"/metrics")
    return {
        "hot": hot,
        "state": paused,
        "application": page,
        "mixed": hot * 40 + page + paused * 10 + many,
        "closing": hot * 60_000 + closing,
    }


@pytest.mark.parametrize("kind", ["hot", "state", "application", "mixed", "closing"])
async def test_a_client_that_takes_no_answers_holds_little_and_not_for_long(worker: EdgeWorker, monkeypatch, kind):
    requests = (await prepare(worker))[kind]
    await eventually(lambda: not worker.edge.connections.open)
    for name, seconds in {"HEAD_S": 1.0, "BEAT_S": 0.02, "SWEEP_S": 0.02}.items():
        monkeypatch.setattr(f"edge.fast_path.{name}", seconds)
    if kind != "closing":
        requests *= 1 + 30_000_000 // len(requests)
    loop = asyncio.get_running_loop()
    most = 0
    with socket.socket() as phone_socket:
        phone_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        phone_socket.setblocking(False)
        await loop.sock_connect(phone_socket, ("127.0.0.1", worker.port))
        await eventually(lambda: len(worker.edge.connections.open) == 1)
        connection = worker.only_connection()
        sending = asyncio.create_task(loop.sock_sendall(phone_socket, requests))
        async with asyncio.timeout(WITHIN_S):
            while connection in worker.edge.connections.open:
                with contextlib.suppress(RuntimeError):  # closed
                    held = connection._transport.get_write_buffer_size() + len(connection._rest)
                    most = max(most, held)
                await asyncio.sleep(0.005)
        sending.cancel()
        await asyncio.wait([sending])
        with contextlib.suppress(asyncio.CancelledError):
            sending.exception()
    assert 0 < most <= WRITE_BUFFER + TICK + MAX_REST + 2 * READ_AT_ONCE


async def test_what_a_client_sends_while_it_waits_is_bounded_and_answered_afterwards(new_worker, tmp_path):
    with RedisServer(tmp_path / "redis") as redis:
        worker = await new_worker(redis=redis.url, redis_timeout_s=WITHIN_S)
        await worker.publish()
        redis.pause()
        client = await worker.connect()
        requests = 40_000
        sending = asyncio.create_task(client.send(get() * requests))
        await eventually(lambda: len(worker.edge.connections.open) == 1)
        connection = worker.only_connection()
        await eventually(lambda: len(connection._rest) > MAX_REST)
        await asyncio.sleep(0.2)
        assert len(connection._rest) <= MAX_REST + READ_AT_ONCE
        redis.resume()
        for _ in range(requests):
            assert (await client.read()).status == 302
        await sending


async def test_an_endless_head_is_not_kept(worker: EdgeWorker):
    async with await worker.connect() as client:
        await client.send(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while not worker.edge.connections.refused:
                await client.send(b"X: " + b"a" * 1000 + b"\r\n")
                assert all(len(each._rest) <= MAX_HEAD + READ_AT_ONCE for each in worker.edge.connections.open)
        assert (await client.read()).status == 431


async def test_bad_clients_leave_nothing_behind(quick, worker: EdgeWorker):
    """They come, say half of something, and go."""
    clients: list[Client] = []
    for _, (data, _) in zip(range(60), MALFORMED.values(), strict=False):
        client = await worker.connect()
        await client.send(data[: len(data) // 2])
        clients.append(client)
    for client in clients:
        client.writer.transport.abort()
    await eventually(lambda: not worker.edge.connections.open and not worker.state.tasks)
