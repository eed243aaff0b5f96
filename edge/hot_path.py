"""The path of a usual scan: a request whose bytes were seen before, for a code whose answer is everybody's.

Owns the look-up of a request by its bytes where they lie, the items that wait to leave, their records and the writing
of their answers. It exists twice: `_hot_path.c`, built at installation where a C compiler is at hand, and
`plain_hot_path.py`, which says what each part does. A test holds them to the same answers, records and calls.

Invariants: what is not in the memories, whatever it is, is left to the connection's own `_receive`. A memory is only
ever a memory: what it has forgotten is read again. Nothing is kept beyond the bounds of the memories and the items of
one tick.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.plain_hot_path import HotConnection, HotPath, Memory, find_forwarded, pack_records, write_answers

    IS_COMPILED = True
else:
    try:
        from edge._hot_path import HotConnection, HotPath, Memory, find_forwarded, pack_records, write_answers

        IS_COMPILED = True
    except ImportError:
        from edge.plain_hot_path import HotConnection, HotPath, Memory, find_forwarded, pack_records, write_answers

        IS_COMPILED = False

__all__ = ["IS_COMPILED", "HotConnection", "HotPath", "Memory", "find_forwarded", "pack_records", "write_answers"]
