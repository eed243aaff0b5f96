"""Logs on stderr by structlog: JSON lines, on a terminal readable ones. The standard library's end there too.

Where stderr leads may hang (a file on a disk that stalls, a pipe that nobody reads), and a process whose loop must
not hang with it leaves the writing to a thread. Lines that it cannot keep up with are dropped and counted. At the end
of the process what is left is written, within CLOSE_WAIT_S.
"""

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading

import structlog

MAX_WAITING = 1000
CLOSE_WAIT_S = 1.0

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logs(process: str, level: str, *, may_wait: bool = True) -> None:
    """Once, at the start of a process; `process` stands in every line. `level`: debug, info, warning or error.

    `may_wait` False: nobody who logs waits for stderr; a thread does.
    """
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr) if may_wait else _ThreadHandler(sys.stderr.fileno())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)


class _ThreadHandler(logging.Handler):
    """Formats where it is called, writes in a thread of its own."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd  # not a stream: at the end of the process Python would wait for one that hangs
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log-write", daemon=True)
        self._thread.start()
        atexit.register(self._finish)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if self._dropped:
                self._lines.put_nowait(
                    f'{{"event": "log_lines_dropped", "level": "warning", "lines": {self._dropped}}}'
                )
                self._dropped = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - as the standard handlers do: a bad line ends nothing
            self.handleError(record)

    def _finish(self) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_WAIT_S)
            self._thread.join(CLOSE_WAIT_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            data = line.encode(errors="backslashreplace") + b"\n"
            with contextlib.suppress(OSError):  # full, or nobody reads: there is nowhere to tell
                while data:
                    data = data[os.write(self._fd, data) :]


def _renderers() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        # Not the rich traceback, which is the default where rich is installed: it tells every local variable.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def get_logger() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
