"""`scanhop edge`: one listening socket, and the workers that serve it.

The socket is opened once and inherited, so that a worker that dies takes no waiting connection with it and the next
one goes on where it was. A worker that dies is started again.
"""

import signal
import socket
import sys

from scanhop.settings import Settings
from scanhop.supervisor import ProcessSpec, Supervisor
from scanhop.telemetry.logs import configure_logs, get_logger


def run_edge(settings: Settings, listen: socket.socket, metrics: socket.socket | None) -> None:
    """Runs until SIGTERM or SIGINT; each worker then finishes what it has begun."""
    configure_logs("edge", settings.log_level)
    log = get_logger()
    supervisor = Supervisor(lambda event, name, facts: log.info(event, name=name, **facts))
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    supervisor.start([_worker_spec(index, listen, metrics) for index in range(settings.edge_workers)])
    supervisor.watch(lambda: bool(stopping))
    supervisor.stop_together()


def _worker_spec(index: int, listen: socket.socket, metrics: socket.socket | None) -> ProcessSpec:
    argv = [sys.executable, "-m", "scanhop", "edge", "--worker", str(index), "--listen-fd", str(listen.fileno())]
    fds = [listen.fileno()]
    if metrics is not None:
        argv += ["--metrics-fd", str(metrics.fileno())]
        fds.append(metrics.fileno())
    return ProcessSpec(f"edge-{index}", argv, pass_fds=fds)
