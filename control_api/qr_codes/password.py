"""The passwords of codes: argon2id at OWASP's smallest memory, which the edge must afford at every try."""

import asyncio
import os
from collections.abc import Iterator, Sequence

from argon2 import PasswordHasher

from control_api.web.problem import Problem
from control_api.web.problem_catalogue import ProblemKind

MEMORY_KIB = 19_456
MAX_CHARACTERS = 128
MAX_BYTES = 256  # percent-encoded in the edge's form, whose body is at most 1 KB
MAX_WAITING = 2000  # two bulk calls
RETRY_AFTER_S = 1

_hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)


def parse_password(text: str) -> str:
    """Any characters a form can send. Raises ValueError."""
    if not 1 <= len(text) <= MAX_CHARACTERS or len(text.encode()) > MAX_BYTES:
        raise ValueError(f"must have 1 to {MAX_CHARACTERS} characters and at most {MAX_BYTES} bytes in UTF-8")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("must not contain control characters")
    return text


def hash_password(password: str) -> str:
    """In the PHC string format. Takes some 20 ms and MEMORY_KIB: call it in a thread."""
    return _hasher.hash(password)


class PasswordMill:
    """Hashes in threads, of all requests together as many at once as there are cores: each takes MEMORY_KIB.

    A request asks for no more places than there are, so that one with many passwords lets others in between; one that
    has no more is never refused. Beyond MAX_WAITING others are, which would wait for longer than clients do.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once or os.cpu_count() or 1
        self._places = asyncio.Semaphore(self._at_once)
        self._waiting = 0

    async def hash_many(self, passwords: Sequence[str | None]) -> list[str | None]:
        """In their order; None of None. Raises Problem."""
        given = [(place, password) for place, password in enumerate(passwords) if password is not None]
        if len(given) > self._at_once and self._waiting + len(given) > MAX_WAITING:
            detail = f"{self._waiting} passwords are waiting to be hashed."
            raise Problem(ProblemKind.PASSWORDS_BUSY, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        hashes: list[str | None] = [None] * len(passwords)
        rest = iter(given)
        self._waiting += len(given)
        try:
            await asyncio.gather(*(self._work(rest, hashes) for _ in range(self._at_once)))
        finally:
            self._waiting -= len(given)
        return hashes

    async def _work(self, given: Iterator[tuple[int, str]], hashes: list[str | None]) -> None:
        for place, password in given:
            async with self._places:
                hashes[place] = await asyncio.to_thread(hash_password, password)
