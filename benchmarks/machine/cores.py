"""Who runs where: the server under test alone on the first core, everything else on the others.

A machine with one core cannot separate the two, and is refused.
"""

import os
from collections.abc import Sequence


class TooFewCores(Exception):
    """The message says what is needed."""


class Cores:
    """`server`: of the process under test. `others`: of the load generator, the stores and this program."""

    def __init__(self) -> None:
        first, *others = sorted(os.sched_getaffinity(0))
        if not others:
            raise TooFewCores("two cores are needed: one for the server under test, one for what asks it")
        self.server = first
        self.others = frozenset(others)

    def leave_the_server_core(self) -> None:
        """This process and all that it starts from now on."""
        os.sched_setaffinity(0, self.others)

    def on_the_server_core(self, argv: Sequence[str]) -> list[str]:
        """`argv`, pinned; taskset replaces itself by the program, so the process id is the program's."""
        return ["taskset", "--cpu-list", str(self.server), *argv]
