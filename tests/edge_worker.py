"""One edge worker in the test's own loop, on a real listening socket and real stores, and clients of it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import asyncpg
import msgspec
from uvicorn.server import ServerState

from edge.app import Edge
from edge.domains import Domains
from edge.fast_path import Connection
from edge.pages import Brand
from scanhop.client_facts.device import DeviceReader
from scanhop.client_facts.geo import GeoReader
from scanhop.client_facts.request_facts import FactReaders
from scanhop.spool import BoundedWriter, SpoolLimits, SpoolWriter
from scanhop.stores.domains import DomainCache
from scanhop.stores.invalidations import Invalidations
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis
from scanhop.stores.routes import RouteCache
from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.redis_keys import ROUTES_COMPLETE_KEY
from scanhop.wire.route import Route
from scanhop.wire.scan_record import ScanRecord, decode_scan
from tests.routes import new_id, new_route
from tests.unit.spool.crashes import payloads

AWAY_POSTGRES = "postgresql://nobody@127.0.0.1:1/none"
AWAY_REDIS = "redis://127.0.0.1:1/0"
SECRET = b"the same on all workers"
WITHIN_S = 20
DEVICES = DeviceReader()


async def until(probe: Callable[[], bool]) -> None:
    """Wait until `probe()`, which the loop itself brings about; TimeoutError when it does not come true."""
    async with asyncio.timeout(WITHIN_S):
        while not probe():  # noqa: ASYNC110 - any state
            await asyncio.sleep(0)


async def eventually(probe: Callable[[], Awaitable[bool] | bool], within_s: float = WITHIN_S) -> None:
    """Wait until `probe()`; TimeoutError when it does not come true."""
    async with asyncio.timeout(within_s):
        while True:
            found = probe()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


class Answer(msgspec.Struct, frozen=True):
    """`headers` as they came, names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple[int, ...] = ()

    def header(self, name: str) -> str | None:
        """None when it is absent; it must not be there twice."""
        found = [value for sent, value in self.headers if sent == name]
        assert len(found) <= 1, f"{name} stands there {len(found)} times"
        return found[0] if found else None

    @property
    def location(self) -> str | None:
        return self.header("location")


class Client:
    """A connection. What it reads must be well-formed HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *data: bytes) -> None:
        """Each part in a segment of its own."""
        for part in data:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def read(self, *, is_head: bool = False) -> Answer:
        """The next answer. Raises asyncio.IncompleteReadError at the end of the connection."""
        async with asyncio.timeout(WITHIN_S):
            interim = []
            while True:
                status, headers = await self._read_head()
                if status >= 200:
                    break
                interim.append(status)
            lengths = [value for name, value in headers if name == "content-length"]
            assert len(lengths) == 1, "the answer does not say how long it is"
            body = b"" if is_head else await self.reader.readexactly(int(lengths[0]))
        return Answer(status, headers, body, tuple(interim))

    async def _read_head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines]
        return int(status), tuple((name.lower(), value) for name, value in pairs)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.read(is_head=data.startswith(b"HEAD "))

    async def ends(self) -> bool:
        """Whether the server closes, without a reset and without another word."""
        async with asyncio.timeout(WITHIN_S):
            return await self.reader.read(1) == b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class NothingScanned(Domains):
    """For a protocol class that leaves every request to the application."""

    def find_scanned(self, host: bytes | None, path: bytes) -> None:
        return None


class EdgeWorker:
    """A worker, as edge.worker wires it. `host` is what requests name unless they say otherwise.

    `by_application`: every request is answered by the Starlette application, none by the protocol class.
    """

    host = "qr.example"

    def __init__(
        self,
        redis_url: str,
        postgres_dsn: str,
        spool_root: Path,
        *,
        trusted: Sequence[str] = (),
        geoip_path: Path | None = None,
        max_bytes: int = 1 << 30,
        redis_timeout_s: float = 1.0,
        by_application: bool = False,
    ) -> None:
        self._root = spool_root
        self.redis = open_redis(redis_url, timeout_s=redis_timeout_s)
        self.postgres = Postgres(postgres_dsn, max_connections=4, command_timeout_s=2)
        limits = SpoolLimits(max_bytes, max_age_s=3600, max_records=1 << 30, max_segment_bytes=1 << 30)
        self.spool = BoundedWriter(SpoolWriter(spool_root, limits))
        readers = FactReaders([ip_network(text) for text in trusted], DEVICES, GeoReader(geoip_path), SECRET)
        self.edge = Edge(
            0,
            self.redis,
            self.postgres,
            self.spool,
            readers,
            Brand(),
            Invalidations(redis_url),
            with_metrics=True,
        )
        if by_application:
            self.edge.connections.domains = NothingScanned()
        self.routes = RouteCache(self.redis)
        self.state = ServerState()
        self._clients: list[Client] = []
        self._reads = 0
        self._read_domains = self.edge.follower._read_domains
        self.edge.follower._read_domains = self._read_domains_observed  # type: ignore[method-assign]

    async def _read_domains_observed(self) -> bool:
        self._reads += 1
        try:
            return await self._read_domains()
        finally:
            self._reads -= 1

    async def start(self, *, until_connected: bool = True) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = listener.getsockname()[1]
        self._running = asyncio.create_task(self.edge.run())
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self.edge.connections.new_connection(server_state=self.state), sock=listener
        )
        if until_connected:
            await eventually(lambda: self.edge.follower.is_connected)
        return self

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        self._server.close()
        for connection in list(self.edge.connections.open):
            connection._transport.abort()
        await eventually(lambda: not self.edge.connections.open and not self.state.tasks)
        # Who connects while it is cancelled, or while its pool is closed, may leave a socket open.
        await eventually(lambda: not self._reads and not self.edge.resolver._tasks)
        self._running.cancel()
        await asyncio.wait([self._running], timeout=WITHIN_S)
        assert self._running.cancelled()
        self.spool.close()
        await self.redis.aclose()
        await self.postgres.close()

    # --- clients ---

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        """On a connection of its own."""
        async with await self.connect() as client:
            return await client.ask(data)

    def only_connection(self) -> Connection:
        """The worker's end of the one connection there is."""
        (connection,) = self.edge.connections.open
        return connection

    async def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", host: str = ""
    ) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return await self.ask("\r\n".join((*lines, "", "")).encode("latin-1") + body)

    async def get(self, target: str, *headers: tuple[str, str], host: str = "") -> Answer:
        return await self.request("GET", target, headers, host=host)

    async def head(self, target: str, *headers: tuple[str, str], host: str = "") -> Answer:
        return await self.request("HEAD", target, headers, host=host)

    async def send_form(self, target: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        usual = ("Content-Type", "application/x-www-form-urlencoded")
        return await self.request("POST", target, [usual, *headers], body)

    # --- what there is, and what came of it ---

    async def publish(self, **fields: Any) -> Route:
        route = new_route(**fields)
        assert await self.routes.put_if_newer(route)
        return route

    async def put_domains(self, domains: Sequence[Domain], version: int) -> None:
        await DomainCache(self.redis).put_domains(domains, version)

    async def until_domains(self, domains: Sequence[Domain]) -> None:
        """Until this worker goes by them."""
        hosts = {domain.host.encode() for domain in domains}
        await eventually(lambda: self.edge.domains.custom.keys() == hosts)

    async def complete(self) -> None:
        """Redis says that it holds every route."""
        run_id = (await self.redis.info("server"))["run_id"]
        await self.redis.set(ROUTES_COMPLETE_KEY, run_id)

    def scans(self) -> list[ScanRecord]:
        return [decode_scan(payload) for payload in payloads(self._root, self.spool.spool_id)]

    def outcomes(self) -> list[str]:
        return [scan.outcome.label for scan in self.scans()]

    def spool_bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self._root / str(self.spool.spool_id)).iterdir()))


@contextlib.asynccontextmanager
async def running(worker: EdgeWorker, *, until_connected: bool = True) -> AsyncIterator[EdgeWorker]:
    await worker.start(until_connected=until_connected)
    try:
        yield worker
    finally:
        await worker.close()


async def insert_code(dsn: str, code: str, **columns: object) -> None:
    """A code in Postgres, with its own user and workspace."""
    connection = await asyncpg.connect(dsn)
    try:
        workspace = new_id()
        await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'w')", workspace)
        usual = {
            "id": new_id(),
            "workspace_id": workspace,
            "domain_id": DEFAULT_DOMAIN_ID,
            "short_code": code,
            "name": code,
            "target_url": "https://example.com/from-postgres",
        }
        row = usual | columns
        names = ", ".join(row)
        places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await connection.execute(f"INSERT INTO qr_codes ({names}) VALUES ({places})", *row.values())
    finally:
        await connection.close()
