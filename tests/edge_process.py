"""`scanhop edge` as an operator runs it: its supervisor and its workers as processes of their own, and their phones.

A phone keeps its connection, or opens one for each scan. It never tries again by itself, so that whatever the edge
does to a connection is seen. Each scan carries a nonce in `Referer`, which is looked for in the spool.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import redis

from scanhop.devstack.ports import reserve_port
from scanhop.spool import SpoolId
from scanhop.wire.redis_keys import route_key
from scanhop.wire.route import Route, encode_route
from scanhop.wire.scan_record import decode_scan
from tests.product import eventually
from tests.unit.spool.crashes import payloads

START_TIMEOUT_S = 60
KEY = "a secret of this test alone"


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


class EdgeProcess:
    """A running `scanhop edge` in `folder`, which holds its data, its log and its `.env`. Use with `with`."""

    def __init__(self, folder: Path, redis_url: str, postgres_dsn: str, workers: int = 1, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.log_path = folder / "log"
        reserved = reserve_port()
        self.port = reserved.number
        reserved.release()
        told = {
            "REDIS_URL": redis_url,
            "POSTGRES_DSN": postgres_dsn,
            "EDGE_BIND": f"127.0.0.1:{self.port}",
            "EDGE_WORKERS": str(workers),
            "DATA_DIR": str(folder / "data"),
            "SECRET_KEY": KEY,
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SCANHOP_")}
        self._env = clean | {f"SCANHOP_{name}": value for name, value in (told | settings).items()}
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self.log_path.write_bytes(b"")
        with self.log_path.open("ab") as log:
            argv = [sys.executable, "-m", "scanhop", "edge"]
            self._process = subprocess.Popen(argv, env=self._env, stderr=log, cwd=self.folder)
        eventually(lambda: self._process.poll() is not None or self.count("edge_ready") == 1, START_TIMEOUT_S)
        assert self._process.poll() is None, self.log_path.read_text()[-4000:]
        return self

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """The exit code."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self._process.wait(60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def workers(self) -> list[int]:
        """Those that run their program: to stop a child before that holds up its supervisor."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"--worker" in _command_line(child)]

    def events(self, event: str) -> list[dict[str, Any]]:
        """What the log says of it; a line that is not whole yet is not read."""
        lines = self.log_path.read_text().split("\n")[:-1]
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in told if line["event"] == event]

    def count(self, event: str) -> int:
        return len(self.events(event))

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=20)

    def status_of(self, code: str) -> int:
        return self.get(f"/r/{code}").status_code

    def nonces(self) -> list[str]:
        """The `Referer` of every record in the spool."""
        root = self.folder / "data" / "spool"
        directories = [SpoolId(UUID(path.name)) for path in root.iterdir()]
        scans = [decode_scan(payload) for spool_id in directories for payload in payloads(root, spool_id)]
        return [scan.headers.get(b"referer", b"").decode() for scan in scans]


def publish(redis_url: str, *routes: Route) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for route in routes:
            client.set(route_key(route.domain_id, route.code), encode_route(route))


class Load:
    """Phones that scan `code` until the block is left. `refused`: connections that were; `broken`: what happened to
    scans that got no whole answer; `others`: answers that were no redirect."""

    def __init__(self, edge: EdgeProcess, code: str, keeping: int = 4, opening: int = 2) -> None:
        self._address = ("127.0.0.1", edge.port)
        self._code = code
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._scan, args=(is_keeping,))
            for is_keeping in (*itertools.repeat(True, keeping), *itertools.repeat(False, opening))
        ]
        self.sent: set[str] = set()
        self.answered: list[str] = []
        self.refused: list[str] = []
        self.broken: dict[str, str] = {}
        self.others: list[bytes] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, answers: int) -> None:
        """Until so many more scans were answered."""
        wanted = len(self.answered) + answers
        eventually(lambda: len(self.answered) >= wanted, 60)

    def check_spool(self, nonces: list[str]) -> None:
        """Every answered scan is there once, and nothing that was not sent."""
        ours = [nonce for nonce in nonces if nonce in self.sent]
        assert len(ours) == len(set(ours)), "a scan is in the spool twice"
        assert not set(self.answered) - set(ours), "an answered scan is not in the spool"
        assert not set(ours) - set(self.answered) - set(self.broken)

    def _scan(self, is_keeping: bool) -> None:
        phone: _Phone | None = None
        while not self._stopping.is_set():
            nonce = f"https://{uuid4()}.example/"
            self.sent.add(nonce)
            try:
                phone = phone or _Phone(self._address)
                head = phone.get(self._code, nonce)
            except ConnectionRefusedError:
                self.refused.append(nonce)
                phone = None
            except OSError as error:
                self.broken[nonce] = repr(error)
                phone = phone and phone.close()
            else:
                (self.answered if head.startswith(b"HTTP/1.1 302 ") else self.others).append(nonce)  # type: ignore[arg-type]
                if not is_keeping or b"\r\nConnection: close\r\n" in head:
                    phone = phone.close()
            time.sleep(0.005)
        if phone is not None:
            phone.close()


class _Phone:
    """One connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=20)

    def get(self, code: str, nonce: str) -> bytes:
        """The head of the answer, which has no body. Raises OSError."""
        request = f"GET /r/{code} HTTP/1.1\r\nHost: x\r\nUser-Agent: phone\r\nReferer: {nonce}\r\n\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionResetError(f"closed after {len(head)} bytes")
            head += part
        return head

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def samples(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Name and labels of each sample of a text in Prometheus' format."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels = rest.rpartition("}")[0]
            yield name, dict(part.replace('"', "").split("=", 1) for part in labels.split(",") if part)
