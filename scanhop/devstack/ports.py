"""Free ports on loopback.

Engines bind their port themselves, so a port must be free between its choice and the engine's start. Invariants:
the port is held, bound but not listening, until `release`; it lies below the range from which the kernel gives
ports to outgoing connections, so that none of those takes it while an engine restarts.
"""

import errno
import random
import socket
from dataclasses import dataclass

from scanhop.devstack.failure import StackFailed

PORTS = range(15_000, 32_000)
TRIES = 200


@dataclass(frozen=True)
class ReservedPort:
    number: int
    _holder: socket.socket

    def release(self) -> None:
        """Let the engine bind it. May be called again."""
        self._holder.close()


def reserve_port() -> ReservedPort:
    """Raises StackFailed when every port that was tried is taken."""
    chooser = random.SystemRandom()
    for _ in range(TRIES):
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        number = chooser.choice(PORTS)
        try:
            holder.bind(("127.0.0.1", number))
        except OSError as error:
            holder.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return ReservedPort(number, holder)
    raise StackFailed(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")
