"""`scanhop up`: the engines, the schema and every process, supervised from here.

The listening sockets are opened here and inherited by the edge and the API, so that a port in use is told before
anything starts, and a process that dies loses no waiting connection. Order of start: engines, schema, worker, API,
ingest, edge. They stop in the reverse order: the edge seals what it has, then ingest takes it, then the rest.
"""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from scanhop.cli.demo import DemoFailed, seed_demo
from scanhop.cli.failure import CommandFailed
from scanhop.cli.main import listen_for_metrics, listen_on, prepare_spool
from scanhop.cli.running_stack import running_stack
from scanhop.devstack import EmbeddedStack, StackFailed
from scanhop.settings import PREFIX, Bind, Settings
from scanhop.stores.errors import StoreError
from scanhop.stores.migrations import migrate
from scanhop.supervisor import AskedToStop, ChildFailed, ProcessSpec, Supervisor
from scanhop.telemetry.logs import configure_logs, get_logger

SERVICE_STOP_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class UpOptions:
    """What the command line says; None leaves it to the settings."""

    data_dir: Path | None
    edge_port: int | None
    api_port: int | None
    edge_workers: int | None
    demo: bool


class _StopFlag:
    """Set by SIGINT or SIGTERM; asked wherever `up` waits."""

    def __init__(self) -> None:
        self._is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set


def run_up(settings: Settings, options: UpOptions) -> None:
    """Runs until SIGINT or SIGTERM. Raises CommandFailed."""
    should_stop = _StopFlag()
    configure_logs("up", settings.log_level)
    data_dir = _make_data_dir(options.data_dir or settings.data_dir)
    edge = listen_on(_bind(settings.edge_bind, options.edge_port), "edge")
    api = listen_on(_bind(settings.api_bind, options.api_port), "api")
    metrics = listen_for_metrics(settings)
    prepare_spool(settings.spool_dir or data_dir / "spool")
    stack = EmbeddedStack(
        data_dir,
        postgres=settings.postgres_dsn is None,
        redis=settings.redis_url is None,
        clickhouse=settings.clickhouse_url is None,
    )
    try:
        with _supervisor() as supervisor:
            _run(_Run(settings, options, data_dir, stack, edge, api, metrics), supervisor, should_stop)
    except AskedToStop:
        get_logger().info("stopped_before_ready")
    except (ChildFailed, StackFailed, StoreError) as error:
        raise CommandFailed(str(error)) from error
    finally:
        stack.stop()


@dataclass(frozen=True)
class _Run:
    settings: Settings
    options: UpOptions
    data_dir: Path
    stack: EmbeddedStack
    edge: socket.socket
    api: socket.socket
    metrics: socket.socket | None

    @property
    def edge_url(self) -> str:
        return _url(self.edge)

    @property
    def api_url(self) -> str:
        return _url(self.api)

    def variables(self) -> dict[str, str]:
        """What every process is told, beside the environment as it is."""
        settings, addresses = self.settings, self.stack.addresses
        told = {
            "POSTGRES_DSN": settings.postgres_dsn or addresses.postgres_dsn or "",
            "REDIS_URL": settings.redis_url or addresses.redis_url or "",
            "CLICKHOUSE_URL": settings.clickhouse_url or addresses.clickhouse_url or "",
            "ADMIN_KEY": settings.admin_key or _kept_key(self.data_dir / "admin-key", "sh_admin_"),
            "SECRET_KEY": settings.secret_key or _kept_key(self.data_dir / "secret-key"),
            "PUBLIC_URL": settings.public_url or self.edge_url,
            "DATA_DIR": str(self.data_dir),
            "EDGE_BIND": str(_bound(self.edge)),
            "API_BIND": str(_bound(self.api)),
            "EDGE_WORKERS": str(self.options.edge_workers or settings.edge_workers),
        }
        return {PREFIX + name: value for name, value in told.items()}


def _run(run: _Run, supervisor: Supervisor, should_stop: _StopFlag) -> None:
    log = get_logger()
    log.info("starting_engines", data_dir=str(run.data_dir))
    supervisor.start(run.stack.prepare(), should_stop)
    variables = run.variables()
    for step in asyncio.run(migrate(variables[PREFIX + "POSTGRES_DSN"], variables[PREFIX + "CLICKHOUSE_URL"])):
        log.info("migrated", store=step.store, step=step.name)
    supervisor.start(_service_specs(run, variables), should_stop)
    with running_stack(run.data_dir, variables):
        _announce(run, variables[PREFIX + "ADMIN_KEY"])
        supervisor.watch(should_stop)


def _announce(run: _Run, admin_key: str) -> None:
    _tell(f"admin key: {admin_key}")
    if run.options.demo:
        _tell(_demo(run, admin_key))
    _tell(f"scanhop ready edge={run.edge_url} api={run.api_url}")


def _service_specs(run: _Run, variables: Mapping[str, str]) -> list[ProcessSpec]:
    env = {**os.environ, **variables}

    def spec(name: str, probe: str | None = None, **sockets: socket.socket | None) -> ProcessSpec:
        fds = {option: each.fileno() for option, each in sockets.items() if each is not None}
        inherited = [word for option, fd in fds.items() for word in (f"--{option}-fd", str(fd))]
        return ProcessSpec(
            name,
            [sys.executable, "-m", "scanhop", name, *inherited],
            env=env,
            is_ready=None if probe is None else lambda: _answers(probe),
            stop_timeout_s=SERVICE_STOP_TIMEOUT_S,
            pass_fds=list(fds.values()),
        )

    return [
        spec("worker"),
        spec("api", f"{run.api_url}/v1/public/health", listen=run.api),
        spec("ingest"),
        spec("edge", f"{run.edge_url}/readyz", listen=run.edge, metrics=run.metrics),
    ]


@contextmanager
def _supervisor() -> Iterator[Supervisor]:
    """A supervisor whose children are stopped in order, whatever happens."""
    log = get_logger()
    supervisor = Supervisor(lambda event, name, facts: log.info(event, name=name, **facts))
    try:
        yield supervisor
    finally:
        supervisor.stop()


def _demo(run: _Run, admin_key: str) -> str:
    try:
        return seed_demo(run.api_url, admin_key, run.data_dir)
    except DemoFailed as error:
        return f"no demo workspace: {error}"


def _bind(bind: Bind, port: int | None) -> Bind:
    return bind if port is None else Bind(host=bind.host, port=port)


def _make_data_dir(path: Path) -> Path:
    """Raises CommandFailed when it cannot be written."""
    resolved = path.resolve()
    try:
        resolved.mkdir(parents=True, exist_ok=True)
        probe = resolved / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CommandFailed(f"the data directory {resolved} cannot be written: {error.strerror}") from error
    return resolved


def _kept_key(path: Path, prefix: str = "") -> str:
    """Made at the first start, for its owner's eyes alone."""
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(f"{prefix}{secrets.token_urlsafe(30)}\n")
    return path.read_text().strip()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=PROBE_TIMEOUT_S) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _bound(listener: socket.socket) -> Bind:
    host, port = listener.getsockname()[:2]
    return Bind(host=host, port=port)


def _url(listener: socket.socket) -> str:
    """As this machine reaches it: a listener on every address is reached on loopback."""
    bound = _bound(listener)
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return f"http://{Bind(host=everywhere.get(bound.host, bound.host), port=bound.port)}"


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
