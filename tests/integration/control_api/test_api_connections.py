"""What a client may not hold, over real sockets: each is told so by a problem, and nothing stays."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from functools import partial

import pytest

from control_api.app import build_app
from control_api.http_connection import MAX_FIELDS, MAX_HEAD, MAX_TARGET, PIPELINE, ApiConnection
from scanhop.serving import Served, _new_server
from tests.edge_worker import Client, eventually

LINE = b"GET / HTTP/1.1\r\nHost: api\r\n"
GET = LINE + b"\r\n"
VERIFY = b"POST /v1/public/verify-key HTTP/1.1\r\nHost: api\r\n"
KEY = b'{"key": "none"}'
CHUNKED = VERIFY + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"f\r\n" + KEY + b"\r\n"
SLOW = VERIFY + b"Content-Length: 15\r\n\r\n" + KEY[:5]


class Listener:
    """The API on a socket of its own, in the test's loop."""

    def __init__(self, port, server):
        self.port = port
        self.connections = server.server_state.connections

    async def connect(self):
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, data):
        async with await self.connect() as client:
            return await client.ask(data)


@pytest.fixture
def listen(settings):
    @asynccontextmanager
    async def listen_with(**bounds):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            app = build_app(settings)
            server = _new_server(Served(app, listener, partial(ApiConnection, **bounds)))
            serving = asyncio.create_task(server.serve([listener]))
            await server.has_started.wait()
            yield Listener(listener.getsockname()[1], server)
            server.should_exit = True
            await serving

    return listen_with


@pytest.fixture
async def listener(listen):
    async with listen() as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch):
    """Deadlines pass soon, and are looked at often."""
    for name, seconds in {"HEAD_S": 0.2, "WRITE_S": 0.2, "LINGER_S": 0.2, "SWEEP_S": 0.02}.items():
        monkeypatch.setattr(f"control_api.http_connection.{name}", seconds)
    monkeypatch.setattr("control_api.web.body_limit.BODY_S", 0.2)


def problem_of(answer, status, code):
    assert answer.status == status
    assert answer.header("content-type") == "application/problem+json"
    assert len(answer.header("x-request-id")) == 32
    problem = json.loads(answer.body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "code"}
    return problem


async def is_refused(client, status, code):
    answer = await client.read()
    problem_of(answer, status, code)
    assert answer.header("connection") == "close"
    assert await client.ends()
    return answer


TOO_LARGE = {
    "a field": (LINE + b"X: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431, "head_too_large"),
    "a field without end": (LINE + b"X: " + b"x" * (1 << 20), 431, "head_too_large"),
    "fields": (LINE + b"X: x\r\n" * MAX_FIELDS + b"\r\n", 431, "head_too_large"),
    "fields without end": (LINE + b"X: x\r\n" * (1 << 16), 431, "head_too_large"),
    "a target": (b"GET /" + b"x" * MAX_TARGET + b" HTTP/1.1\r\n\r\n", 414, "target_too_long"),
    "a target without end": (b"GET /" + b"x" * (1 << 20), 431, "head_too_large"),
}


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_a_head_that_is_too_large_is_refused(listener, what):
    data, status, code = TOO_LARGE[what]
    async with await listener.connect() as client:
        await client.send(data)
        await is_refused(client, status, code)
    await eventually(lambda: not listener.connections)


async def test_a_head_as_large_as_may_be_is_read_however_it_is_cut(listener):
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 300) for number in range(MAX_FIELDS - 1))
    target = b"/" + b"x" * (MAX_TARGET - 1)
    data = b"GET " + target + b" HTTP/1.1\r\nHost: api\r\n" + fields[: MAX_HEAD - 2000].rpartition(b"\r\n")[0]
    async with await listener.connect() as client:
        for at in range(0, len(data), 5000):
            await client.send(data[at : at + 5000])
        assert (await client.ask(b"\r\n\r\n")).status == 404
        assert (await client.ask(GET)).status == 200


NO_HTTP = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    "a line that is no field": LINE + b"no field at all\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a relative target": b"GET v1 HTTP/1.1\r\nHost: api\r\n\r\n",
    "a target beyond ASCII": b"GET /\xff\xc3\xa9 HTTP/1.1\r\nHost: api\r\n\r\n",
    "an absolute target without a path": b"GET http://api HTTP/1.1\r\nHost: api\r\n\r\n",
    "CONNECT": b"CONNECT api:443 HTTP/1.1\r\nHost: api\r\n\r\n",
    "a folded field": LINE + b"X: a\r\n b\r\n\r\n",
    "NUL in a field": LINE + b"X: a\x00b\r\n\r\n",
    "two lengths": VERIFY + b"Content-Length: 15\r\nContent-Length: 2\r\n\r\n" + KEY,
    "a length that is none": VERIFY + b"Content-Length: -1\r\n\r\n" + KEY,
    "a length beyond 64 bits": VERIFY + b"Content-Length: 99999999999999999999\r\n\r\n" + KEY,
    "a length and chunks": VERIFY + b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "a chunk whose size is no number": CHUNKED + b"zz\r\n" + KEY,
    "a chunk with a negative size": CHUNKED + b"-1\r\n" + KEY,
    "a chunk whose size is beyond 64 bits": CHUNKED + b"f" * 17 + b"\r\n" + KEY,
    "a chunk larger than it says": CHUNKED + b"2\r\n" + KEY + b"\r\n",
}


@pytest.mark.parametrize("what", NO_HTTP)
async def test_what_is_no_http_is_refused_alone_and_behind_other_requests(listener, what):
    async with await listener.connect() as client:
        await client.send(NO_HTTP[what])
        await is_refused(client, 400, "bad_request")
    async with await listener.connect() as client:
        await client.send(GET + GET + NO_HTTP[what])
        assert [(await client.read()).status for _ in range(2)] == [200, 200]
        await is_refused(client, 400, "bad_request")
    await eventually(lambda: not listener.connections)


async def test_pipelined_requests_are_answered_in_their_order_and_are_not_endless(listener):
    async with await listener.connect() as client:
        await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: api\r\n\r\n" % number for number in range(PIPELINE)))
        for number in range(PIPELINE):
            assert json.loads((await client.read()).body)["instance"] == f"/{number}"
        await client.send(GET * (PIPELINE + 2))
        assert [(await client.read()).status for _ in range(PIPELINE + 1)] == [200] * (PIPELINE + 1)
        await is_refused(client, 400, "bad_request")


async def test_old_clients_and_odd_ones_are_answered(listener):
    old = await listener.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (old.status, old.header("connection")) == (200, "close")
    assert (await listener.ask(b"GET http://api/v1/none HTTP/1.1\r\nHost: api\r\n\r\n")).status == 404
    async with await listener.connect() as client:
        await client.send(VERIFY + b"Content-Length: 15\r\nExpect: 100-continue\r\n\r\n")
        answer = await client.ask(KEY)
        assert (answer.status, answer.interim) == (200, (100,))


async def test_an_upgrade_is_ignored_and_its_body_read(listener):
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAA\r\n"
    async with await listener.connect() as client:
        for _ in range(2):
            assert (await client.ask(LINE + upgrade + b"\r\n")).status == 200
            head = VERIFY + upgrade + b"Content-Length: 15\r\n\r\n"
            assert (await client.ask(head + KEY)).status == 200
            await client.send(head)
            assert (await client.ask(KEY)).status == 200
        await client.send((LINE + upgrade + b"\r\n") * 3)
        assert [(await client.read()).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("data", [b"G", LINE, LINE + b"X: ", GET + LINE], ids=repr)
async def test_a_head_that_does_not_end_is_not_waited_for(listener, quick, data):
    async with await listener.connect() as client:
        await client.send(data)
        if data.startswith(GET):
            assert (await client.read()).status == 200
        await is_refused(client, 408, "request_timeout")


async def test_a_head_that_comes_byte_by_byte_has_the_same_time(listener, quick):
    async with await listener.connect() as client:
        await client.send(LINE + b"X: ")
        dripping = asyncio.create_task(drip(client))
        await is_refused(client, 408, "request_timeout")
        dripping.cancel()


async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(listener, quick):
    """Nor is what comes behind the answer read, so that the connection may end with a reset."""
    async with await listener.connect() as client:
        await client.send(VERIFY + b"Content-Length: 100000\r\n\r\n")
        dripping = asyncio.create_task(drip(client))
        answer = await client.read()
        dripping.cancel()
        problem_of(answer, 408, "request_timeout")
        assert answer.header("connection") == "close"
    await eventually(lambda: not listener.connections)


async def drip(client):
    while True:
        await client.send(b"x")
        await asyncio.sleep(0.01)


async def test_a_body_that_comes_fast_enough_has_more_time(listener, quick, monkeypatch):
    monkeypatch.setattr("control_api.web.body_limit.MIN_BYTES_PER_S", 1)
    async with await listener.connect() as client:
        await client.send(SLOW)
        await asyncio.sleep(0.5)
        assert (await client.ask(KEY[5:])).status == 200


@pytest.mark.parametrize("data", [b"", b"\r\n", GET, GET + b"\r\n"], ids=repr)
async def test_a_connection_that_asks_nothing_ends(listener, quick, data):
    async with await listener.connect() as client:
        await client.send(data)
        if data.startswith(GET):
            await client.read()
        assert await client.ends()


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(listener, quick):
    async with await listener.connect() as client:
        await client.send(b"POST /none HTTP/1.1\r\nHost: api\r\nContent-Length: 99999999\r\n\r\n")
        assert (await client.read()).status == 413
        dripping = asyncio.create_task(drip(client))
        await eventually(lambda: not listener.connections)
        dripping.cancel()


async def test_an_answer_that_is_not_taken_is_given_up(listener, quick):
    async with await listener.connect() as client:
        client.writer.transport.pause_reading()
        for _ in range(200):
            client.writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: api\r\n\r\n" * 10)
            await asyncio.sleep(0)
        await eventually(lambda: not listener.connections)


async def test_of_more_connections_than_may_be_each_is_told_so(listen):
    async with listen(max_connections=2) as listener:
        async with await listener.connect() as one, await listener.connect() as two:
            for client in (one, two):
                assert (await client.ask(GET)).status == 200
            async with await listener.connect() as third:
                await third.send(GET)
                assert int((await is_refused(third, 503, "too_many_connections")).header("retry-after")) > 0
            for client in (one, two):
                assert (await client.ask(GET)).status == 200
        await eventually(lambda: not listener.connections)
        assert (await listener.ask(GET)).status == 200
