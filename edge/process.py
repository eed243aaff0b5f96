"""`scanhop edge`: one listening socket, and the workers that serve it.

The socket is opened once and inherited, so that a worker that dies takes no waiting connection with it and the next
one goes on where it was. A worker that dies is started again. SIGHUP replaces the workers one after the other: a new
one is ready before the old one is asked to stop, and reads the settings anew; addresses and the number of workers
stay as they are.
"""

import signal
import socket
import sys
from collections.abc import Sequence

from scanhop.settings import Settings
from scanhop.supervisor import AskedToStop, ProcessSpec, Supervisor
from scanhop.telemetry.logs import configure_logs, get_logger

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


def run_edge(settings: Settings, listen: socket.socket, metrics: socket.socket | None) -> None:
    """Runs until SIGTERM or SIGINT; each worker then finishes what it has begun. Raises ChildFailed at the start."""
    configure_logs("edge", settings.log_level)
    log = get_logger()
    supervisor = Supervisor(lambda event, name, facts: log.info(event, name=name, **facts))
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    signal.signal(signal.SIGHUP, lambda *_: supervisor.replace_each())
    if settings.secret_key is None:
        log.warning("secret_key_missing", consequence="which variant a phone gets can be worked out by anybody")
    siblings = _open_sibling_listeners(settings.edge_workers)
    specs = [_worker_spec(index, listen, metrics, siblings) for index in range(settings.edge_workers)]
    try:
        supervisor.start(specs, lambda: bool(stopping))
        log.info("edge_ready", workers=settings.edge_workers)
        supervisor.watch(lambda: bool(stopping))
    except AskedToStop:
        log.info("stopped_before_ready")
    finally:
        supervisor.stop_together()
        for listener in siblings:
            listener.close()


def _open_sibling_listeners(workers: int) -> list[socket.socket]:
    """One for each of several, on an abstract address that the kernel chooses."""
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(workers if workers > 1 else 0)]
    for listener in listeners:
        listener.bind("")
        listener.listen()
    return listeners


def _worker_spec(
    index: int, listen: socket.socket, metrics: socket.socket | None, siblings: Sequence[socket.socket]
) -> ProcessSpec:
    argv = [sys.executable, "-m", "scanhop", "edge", "--worker", str(index), "--listen-fd", str(listen.fileno())]
    fds = [listen.fileno()]
    if metrics is not None:
        argv += ["--metrics-fd", str(metrics.fileno())]
        fds.append(metrics.fileno())
    if siblings:
        numbers = [sibling.fileno() for sibling in siblings]
        argv += ["--sibling-fds", ",".join(map(str, numbers))]
        fds += numbers
    return ProcessSpec(
        f"edge-{index}",
        argv,
        tells_ready=True,
        ready_timeout_s=READY_TIMEOUT_S,
        stop_timeout_s=STOP_TIMEOUT_S,
        pass_fds=fds,
    )
