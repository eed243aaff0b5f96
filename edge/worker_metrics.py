"""`/metrics` of all workers, whichever of them answers.

Each worker tells its own figures to whoever connects to its listener, an abstract Unix socket. The supervisor opened
these and holds them, so an address stays while workers come and go. The worker that is asked connects to the others,
waits TIMEOUT_S at most, and leaves out who has not answered by then; `scanhop_edge_workers` says how many did. Those
who ask meanwhile are answered from the same round. A worker that is alone opens no connection.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence

from edge.metrics import workers_text

TIMEOUT_S = 0.5
_END = b"# EOF\n"


class Siblings:
    """The listeners of all workers as one of them inherited them: it keeps its own, and the addresses of the rest."""

    def __init__(self, worker: int = 0, listeners: Sequence[socket.socket] = ()) -> None:
        self.own = listeners[worker] if listeners else None
        self.addresses: list[bytes] = []
        for listener in listeners:
            if listener is not self.own:
                self.addresses.append(listener.getsockname())
                listener.close()


class WorkerMetrics:
    """`own` is the text of this worker."""

    def __init__(self, own: Callable[[], bytes], siblings: Siblings) -> None:
        self._own = own
        self._siblings = siblings
        self._round: asyncio.Task[bytes] | None = None
        self._server: asyncio.Server | None = None

    async def text(self) -> bytes:
        """Of every worker that answers, each family once."""
        if not self._siblings.addresses:
            return self._own() + workers_text(answering=1, configured=1)
        if self._round is None:
            self._round = asyncio.create_task(self._gather())
            self._round.add_done_callback(self._end_round)
        return await asyncio.shield(self._round)

    async def tell_siblings(self) -> None:
        """Until `close`."""
        if self._siblings.own is not None:
            self._server = await asyncio.start_unix_server(self._tell, sock=self._siblings.own)

    def close(self) -> None:
        """No more: the successor has taken over, or nobody will."""
        if self._server is not None:
            self._server.close()
        if self._siblings.own is not None:
            self._siblings.own.close()

    def _end_round(self, _: asyncio.Task[bytes]) -> None:
        self._round = None

    async def _gather(self) -> bytes:
        told = await asyncio.gather(*(_ask(address) for address in self._siblings.addresses))
        texts = [self._own(), *(text for text in told if text)]
        return merge(texts) + workers_text(answering=len(texts), configured=len(told) + 1)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self._own() + _END)
            await writer.drain()
        except OSError:
            return  # who asked has gone
        finally:
            writer.close()


async def _ask(address: bytes) -> bytes | None:
    """None when it does not answer, or not in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _read(address)
    except (OSError, TimeoutError):
        return None


async def _read(address: bytes) -> bytes | None:
    """None when it broke off. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.setblocking(False)
        connection.connect(address)  # at once, or refused: it never waits
        reader, writer = await asyncio.open_unix_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
    try:
        told = await reader.read()
        return told.removesuffix(_END) if told.endswith(_END) else None
    finally:
        writer.close()


def merge(texts: Iterable[bytes]) -> bytes:
    """Texts in Prometheus' format as one, the samples of each family together."""
    families: dict[bytes, list[bytes]] = {}
    for text in texts:
        for family in text.split(b"# HELP ")[1:]:
            description, kind, samples = family.split(b"\n", 2)
            name = description.partition(b" ")[0]
            families.setdefault(name, [b"# HELP " + description, b"\n", kind, b"\n"]).append(samples)
    return b"".join(part for family in families.values() for part in family)
