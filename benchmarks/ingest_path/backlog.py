"""Sealed segments as an edge would leave them: written by SpoolWriter, of phones of a made-up world.

20,000 User-Agents in the header blocks of phones (which differ by language too), drawn by Zipf's law; a million
addresses, drawn evenly, which is harder on caches than people are; 5,000 codes by Zipf's law.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.traffic.phones import list_header_blocks, user_agent
from benchmarks.traffic.world import list_addresses, written
from benchmarks.traffic.zipf import Zipf
from scanhop.spool import SpoolLimits, SpoolWriter
from scanhop.wire.scan_record import Outcome, encode_header, encode_headers, encode_route_prefix, encode_scan
from tests.routes import new_route

USER_AGENTS, ADDRESSES, CODES, SEED = 20_000, 1_000_000, 5_000, 7
SEGMENT = 50_000  # scans: the writer's own bound
PROXY = b"\x0a\0\0\7"
PROXIES = "10.0.0.0/8"
_TICK = 50


class Traffic:
    """Draws scans, by its seed."""

    def __init__(self) -> None:
        self._chance = random.Random(SEED)
        self._blocks = _encoded_blocks(self._chance)
        self.header_blocks = len(self._blocks)
        self._addresses = list_addresses(ADDRESSES, self._chance)
        self._prefixes = [encode_route_prefix(new_route(code=f"bench{number}")) for number in range(CODES)]
        self._which_block = Zipf(len(self._blocks), self._chance)
        self._which_code = Zipf(CODES, self._chance)

    def write(self, root: Path, segments: int, *, by_proxy: bool) -> None:
        """That many segments, in one spool directory below `root`. Their times are now."""
        limits = SpoolLimits(1 << 40, fsync_interval_s=3600, max_records=SEGMENT, max_age_s=3600)
        writer = SpoolWriter(root, limits)
        for _ in range(segments):
            for number, (prefix, peer, headers) in enumerate(self._draw(SEGMENT, by_proxy=by_proxy), 1):
                at_ns = writer.now_ns()
                writer.append(encode_scan(prefix, at_ns, Outcome.REDIRECT, peer, headers), at_ns=at_ns)
                if number % _TICK == 0:
                    writer.flush()
                    writer.seal_if_full()
        writer.close()

    def _draw(self, count: int, *, by_proxy: bool) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Prefix, peer and headers of each."""
        addresses = self._chance.choices(self._addresses, k=count)
        blocks = [self._blocks[number] for number in self._which_block.draw_many(count)]
        prefixes = [self._prefixes[number] for number in self._which_code.draw_many(count)]
        if not by_proxy:
            return zip(prefixes, addresses, blocks, strict=True)
        chains = [encode_header(b"x-forwarded-for", text.encode()) for text in written(addresses)]
        proxied = [block + chain for block, chain in zip(blocks, chains, strict=True)]
        return zip(prefixes, [PROXY] * count, proxied, strict=True)


def _encoded_blocks(chance: random.Random) -> list[bytes]:
    """Of the first USER_AGENTS User-Agents that turn up, all blocks."""
    known: set[str] = set()
    blocks = []
    for block in list_header_blocks(4 * USER_AGENTS, chance):
        if user_agent(block) in known or len(known) < USER_AGENTS:
            known.add(user_agent(block))
            blocks.append(encode_headers([(name.lower().encode(), value.encode()) for name, value in block]))
    return blocks
