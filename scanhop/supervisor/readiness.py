"""How a child tells its supervisor that it serves: one byte through a pipe whose number is in its environment."""

import contextlib
import os

VARIABLE = "READY_FD"


class Readiness:
    """The supervisor's side of one start. `write_fd` is for the child."""

    def __init__(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._is_told = False
        self._is_open = True

    def is_told(self) -> bool:
        if self._is_open:
            with contextlib.suppress(BlockingIOError):
                self._is_told = os.read(self._read_fd, 1) != b""
                self.close()
        return self._is_told

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._read_fd)


def tell_ready() -> None:
    """To the supervisor, where one waits for it."""
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return
    with contextlib.suppress(OSError):  # the supervisor has died
        os.write(int(number), b"\n")
        os.close(int(number))
