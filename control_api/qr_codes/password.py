"""The passwords of codes: argon2id at OWASP's smallest memory, which the edge must afford at every try."""

import asyncio
import os
from collections.abc import Iterator, Sequence

from argon2 import PasswordHasher

MEMORY_KIB = 19_456
MAX_CHARACTERS = 128
MAX_BYTES = 256  # percent-encoded in the edge's form, whose body is at most 1 KB

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

    A request asks for no more places than there are, so that one with many passwords lets others in between.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once or os.cpu_count() or 1
        self._places = asyncio.Semaphore(self._at_once)

    async def hash_many(self, passwords: Sequence[str | None]) -> list[str | None]:
        """In their order; None of None."""
        given = iter([(place, password) for place, password in enumerate(passwords) if password is not None])
        hashes: list[str | None] = [None] * len(passwords)
        await asyncio.gather(*(self._work(given, hashes) for _ in range(self._at_once)))
        return hashes

    async def _work(self, given: Iterator[tuple[int, str]], hashes: list[str | None]) -> None:
        for place, password in given:
            async with self._places:
                hashes[place] = await asyncio.to_thread(hash_password, password)
