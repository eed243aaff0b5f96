"""The path of a usual scan: a request whose bytes were seen before, for a code whose answer is everybody's.

Owns the look-up of a request by its bytes where they lie, the items that wait to leave, their records and the writing
of their answers. It exists twice: `_hot_path.c`, built at installation where a C compiler is at hand, and
`plain_hot_path.py`, which says what each part does. A test holds them to the same answers, records and calls. What
was built from another source than the one beside it, as where a later build has failed, does not run.

Invariants: what is not in the memories, whatever it is, is left to the connection's own `_receive`. A memory is only
ever a memory: what it has forgotten is read again. Nothing is kept beyond the bounds of the memories and the items of
one tick.
"""

import warnings
import zlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

SOURCE = Path(__file__).with_name("_hot_path.c")


def has_compiled() -> bool:
    """Whether there is one, of this source."""
    try:
        compiled = import_module("edge._hot_path")
    except ImportError:
        return False
    if not SOURCE.exists() or zlib.crc32(SOURCE.read_bytes()) == getattr(compiled, "SOURCE_CRC", None):
        return True
    warnings.warn(f"{SOURCE} is not what was built: run `make install`", RuntimeWarning, stacklevel=2)
    return False


IS_COMPILED = has_compiled()
if TYPE_CHECKING or not IS_COMPILED:
    from edge.plain_hot_path import HotConnection, HotPath, Memory, find_forwarded, pack_records, write_answers
else:
    from edge._hot_path import HotConnection, HotPath, Memory, find_forwarded, pack_records, write_answers

__all__ = ["IS_COMPILED", "HotConnection", "HotPath", "Memory", "find_forwarded", "pack_records", "write_answers"]
