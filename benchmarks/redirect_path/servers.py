"""The contenders: each started on the server core, found ready, and ended with this program.

A peer that is not installed raises PeerMissing; its measurements are left out.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine.cores import Cores
from scanhop.supervisor import ChildProcess, ProcessSpec

PEERS = Path(__file__).parents[1] / "peers"
GO_PACKAGES = "golang-go golang-github-valyala-fasthttp-dev"
GO_ENVIRONMENT = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}


class PeerMissing(Exception):
    """What is not installed, and the package that brings it."""


@dataclass(frozen=True)
class Server:
    """A running contender. `spool`: where an edge puts its scans."""

    name: str
    port: int
    process: ChildProcess
    workers: int = 1
    spool: Path | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        self.process.ask_to_stop()
        self.process.wait_stopped()


class Servers:
    """Starts contenders, each in a folder of its own below `folder`."""

    def __init__(self, cores: Cores, folder: Path) -> None:
        self._cores = cores
        self._folder = folder
        self._running: list[Server] = []

    def edge(self, name: str, settings: Mapping[str, str], workers: int = 1) -> Server:
        port, folder = _free_port(), self._folder / name
        spool = folder / "spool"
        env = {key: value for key, value in os.environ.items() if not key.startswith("SCANHOP_")}
        env |= settings
        env |= {
            "SCANHOP_EDGE_BIND": f"127.0.0.1:{port}",
            "SCANHOP_EDGE_WORKERS": str(workers),
            "SCANHOP_DATA_DIR": str(folder),
            "SCANHOP_SPOOL_DIR": str(spool),
            "SCANHOP_LOG_LEVEL": "warning",
        }
        argv = [sys.executable, "-m", "scanhop", "edge"]
        return self._start(name, port, argv, env=env, workers=workers, spool=spool)

    def nginx(self, name: str, target: str, *, with_log: bool) -> Server:
        program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
        if program is None:
            raise PeerMissing("nginx is not installed; on Debian: apt-get install nginx-light")
        port, folder = _free_port(), self._folder / name
        folder.mkdir()
        log = f"{folder}/access.log combined" if with_log else "off"
        configuration = (PEERS / "nginx.conf").read_text()
        for mark, value in (("@PORT@", str(port)), ("@ACCESS_LOG@", log), ("@TARGET@", target)):
            configuration = configuration.replace(mark, value)
        (folder / "nginx.conf").write_text(configuration)
        argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        return self._start(name, port, argv)

    def fasthttp(self, path: str, target: str) -> Server:
        port = _free_port()
        program = self.build_go("fasthttp")
        env = {**os.environ, "GOMAXPROCS": "1"}
        return self._start("fasthttp", port, [str(program), f"127.0.0.1:{port}", path, target], env=env)

    def starlette_redis(self, redis_url: str) -> Server:
        port = _free_port()
        argv = [sys.executable, str(PEERS / "starlette_redis.py"), str(port), redis_url]
        return self._start("starlette-redis", port, argv)

    def build_go(self, name: str) -> Path:
        """The program of benchmarks/peers/NAME. Raises PeerMissing."""
        program = self._folder / "go" / name
        if shutil.which("go") is None:
            raise PeerMissing(f"Go is not installed; on Debian: apt-get install {GO_PACKAGES}")
        argv = ["go", "build", "-o", str(program), str(PEERS / name / "main.go")]
        build = subprocess.run(
            argv, env={**os.environ, **GO_ENVIRONMENT}, capture_output=True, text=True, check=False
        )
        if build.returncode != 0:
            raise PeerMissing(f"{name} could not be built; on Debian: apt-get install {GO_PACKAGES}: {build.stderr}")
        return program

    def stop(self) -> None:
        while self._running:
            self._running.pop().stop()

    def _start(  # noqa: PLR0913 - what a server is
        self,
        name: str,
        port: int,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        workers: int = 1,
        spool: Path | None = None,
    ) -> Server:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        spec = ProcessSpec(
            name,
            self._cores.on_the_server_core(argv),
            env=env,
            cwd=folder,  # where no .env lies
            is_ready=_accepts(port) if spool is None else _answers_readyz(port),
            log_path=folder / "log",
        )
        server = Server(name, port, ChildProcess(spec), workers, spool)
        self._running.append(server)
        server.process.wait_ready()
        return server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _accepts(port: int) -> Callable[[], bool]:
    def probe() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    return probe


def _answers_readyz(port: int) -> Callable[[], bool]:
    def probe() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False

    return probe
