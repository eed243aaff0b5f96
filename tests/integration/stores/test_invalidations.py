import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from scanhop.stores import invalidations
from scanhop.stores.domains import DomainCache
from scanhop.stores.invalidations import Invalidations
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.domains import Domain
from scanhop.wire.redis_keys import PUBLISHED_KEY, route_key
from tests.redis_server import RedisServer
from tests.routes import new_id, new_route

WITHIN_S = 20


class Diary:
    """What a listener was told, in order."""

    def __init__(self):
        self.told = []
        self.published = []
        self._changed = asyncio.Event()

    def on_connected(self, run_id):
        self._note(("connected", run_id))

    def on_disconnected(self):
        self._note(("disconnected",))

    def on_codes(self, codes):
        for code in codes:
            self._note(("code", *code))

    def on_domains(self):
        self._note(("domains",))

    def on_everything(self):
        self._note(("everything",))

    def on_published(self, number):
        self.published.append(number)
        self._changed.set()

    def _note(self, entry):
        self.told.append(entry)
        self._changed.set()

    async def until(self, condition):
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def heard(self, *entry):
        await self.until(lambda: any(told[: len(entry)] == entry for told in self.told))

    def connections(self):
        return [told[1] for told in self.told if told[0] == "connected"]


@asynccontextmanager
async def following(url):
    """A diary that is connected."""
    diary = Diary()
    task = asyncio.create_task(Invalidations(url).follow(diary))
    try:
        await diary.heard("connected")
        yield diary
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def server(tmp_path):
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def redis(server):
    client = open_redis(server.url, timeout_s=2)
    yield client
    await client.aclose()


async def test_a_route_that_is_put_is_heard_of_and_one_that_is_there_already_is_not(server, redis):
    cache, route, last = RouteCache(redis), new_route(), new_route(code="last")
    async with following(server.url) as diary:
        await cache.put_if_newer(route)
        await diary.heard("code", route.domain_id, route.code)
        await cache.put_if_newer(route)
        await cache.put_if_newer(last)
        await diary.heard("code", last.domain_id, last.code)
        assert [told[2] for told in diary.told if told[0] == "code"] == [route.code, last.code]


async def test_many_routes_put_at_once_are_all_heard_of(server, redis):
    cache, routes = RouteCache(redis), [new_route(code=f"code{number}") for number in range(3000)]
    async with following(server.url) as diary:
        await asyncio.gather(*(cache.put_if_newer(route) for route in routes[:1500]))
        await cache.put_many_if_newer(routes[1500:])
        await diary.until(lambda: len(diary.told) > 3000)
        assert {told[2] for told in diary.told[1:]} == {route.code for route in routes}


async def test_domains_are_heard_of(server, redis):
    async with following(server.url) as diary:
        await DomainCache(redis).put_domains([Domain(new_id().bytes, "qr.example")], 1)
        await diary.heard("domains")
        assert [told[0] for told in diary.told] == ["connected", "domains"]


async def test_keys_that_are_no_code_of_ours_are_ignored(server, redis):
    route = new_route()
    async with following(server.url) as diary:
        for key in ("route:nonsense", "domains:of:others", "routes_complete", b"route:\xff"):
            await redis.set(key, "x")
        await RouteCache(redis).put_if_newer(route)
        await diary.heard("code", route.domain_id, route.code)
        assert len(diary.told) == 2


@pytest.mark.parametrize("flush", ["flushdb", "flushall"])
async def test_a_flush_is_heard_of_as_everything(server, redis, flush):
    await RouteCache(redis).put_if_newer(new_route())
    async with following(server.url) as diary:
        await redis.execute_command(flush)
        await diary.heard("everything")


async def test_it_tells_how_much_was_published(server, redis):
    cache = RouteCache(redis)
    async with following(server.url) as diary:
        await diary.until(lambda: diary.published == [0])
        await cache.put_many_if_newer([new_route(code="one"), new_route(code="two")])
        await diary.until(lambda: diary.published[-1] == 2)


async def test_what_is_published_was_told_before_its_number_is(server, redis, monkeypatch):
    """Redis does both in one tick of its loop: it replies first, and then tells what changed."""
    monkeypatch.setattr(invalidations, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(invalidations, "HEARTBEAT_TIMEOUT_S", WITHIN_S)
    host, port = "127.0.0.1", redis.connection_pool.connection_kwargs["port"]
    key = route_key(new_route().domain_id, "abc")
    async with following(server.url) as diary:
        for number in range(1, 4):
            with socket.create_connection((host, port)) as writer:
                server.pause()
                writer.sendall(b"MULTI\r\nSET %b %d\r\nINCR %b\r\nEXEC\r\n" % (key.encode(), number, b"published"))
                await asyncio.sleep(0.1)  # a heartbeat is sent meanwhile
                server.resume()
                await diary.until(lambda number=number: diary.published[-1:] == [number])
            assert sum(told[0] == "code" for told in diary.told) == number


async def test_a_server_that_is_killed_is_lost_and_found_again_under_another_run_id(server, redis):
    route = new_route()
    async with following(server.url) as diary:
        await asyncio.to_thread(server.kill)
        await diary.heard("disconnected")
        await asyncio.to_thread(server.start)
        await diary.until(lambda: len(diary.connections()) == 2)
        first, second = diary.connections()
        assert first != second
        assert diary.told == [("connected", first), ("disconnected",), ("connected", second)]
        await RouteCache(redis).put_if_newer(route)
        await diary.heard("code", route.domain_id, route.code)


async def test_a_server_that_hangs_is_given_up(server):
    async with following(server.url) as diary:
        server.pause()
        await diary.heard("disconnected")
        server.resume()
        await diary.until(lambda: len(diary.connections()) == 2)
        assert len(set(diary.connections())) == 1


async def test_the_run_id_is_the_servers(server, redis):
    async with following(server.url) as diary:
        assert diary.connections() == [(await redis.info("server"))["run_id"]]


async def test_who_is_cancelled_is_told_that_it_is_disconnected(server):
    async with following(server.url) as diary:
        pass
    assert diary.told[-1] == ("disconnected",)


async def test_the_number_is_that_of_its_own_database(server):
    url = server.database_url(3)
    client, other = open_redis(url, timeout_s=2), open_redis(server.url, timeout_s=2)
    await other.set(PUBLISHED_KEY, 77)
    async with following(url) as diary:
        await RouteCache(client).put_if_newer(new_route())
        await diary.until(lambda: diary.published[-1:] == [1])
        assert 77 not in diary.published
    await client.aclose()
    await other.aclose()


async def test_options_of_the_url_do_not_change_how_it_listens(server, redis):
    route = new_route()
    async with following(f"{server.url}?protocol=2&socket_timeout=0.2&decode_responses=true") as diary:
        await diary.until(lambda: len(diary.published) == 2)
        await RouteCache(redis).put_if_newer(route)
        await diary.heard("code", route.domain_id, route.code)
        assert len(diary.connections()) == 1


async def test_a_password_and_a_socket_file_are_taken_from_the_url(tmp_path):
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path / "redis", "--unixsocket", str(path), password="open sesame") as server:
        client = open_redis(server.url, timeout_s=2)
        for number, url in enumerate([server.database_url(2), f"unix://:open%20sesame@{path}?db=2"]):
            route = new_route(code=f"code{number}")
            async with following(url) as diary:
                await RouteCache(client).put_if_newer(route)
                await diary.heard("code", route.domain_id, route.code)
        await client.aclose()


async def test_a_wrong_password_is_tried_again_until_it_is_right(tmp_path):
    with RedisServer(tmp_path / "redis", password="right") as server:
        diary = Diary()
        task = asyncio.create_task(Invalidations(server.url.replace("right", "wrong")).follow(diary))
        client = open_redis(server.url, timeout_s=2)
        await client.config_set("requirepass", "wrong")
        await diary.heard("connected")
        task.cancel()
        await client.aclose()


async def test_a_listener_that_fails_is_not_hidden(server, redis):
    class Failing(Diary):
        def on_codes(self, codes):
            raise ZeroDivisionError

    diary = Failing()
    task = asyncio.create_task(Invalidations(server.url).follow(diary))
    await diary.heard("connected")
    await RouteCache(redis).put_if_newer(msgspec.structs.replace(new_route(), version=9))
    with pytest.raises(ExceptionGroup) as raised:
        await task
    assert raised.group_contains(ZeroDivisionError)


async def test_who_is_cancelled_ends_though_the_connection_breaks_at_that_moment(server, monkeypatch):
    """A TaskGroup raises its tasks' errors in the place of its own cancellation."""
    read = invalidations._Session._read

    async def break_when_cancelled(session):
        try:
            await read(session)
        except asyncio.CancelledError:
            raise ConnectionError from None

    monkeypatch.setattr(invalidations._Session, "_read", break_when_cancelled)
    diary = Diary()
    task = asyncio.create_task(Invalidations(server.url).follow(diary))
    await diary.heard("connected")
    task.cancel()
    await asyncio.wait([task], timeout=WITHIN_S)
    assert task.cancelled()
