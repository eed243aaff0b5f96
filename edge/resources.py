"""The pauses of the garbage collector.

What is there once the worker has warmed up stays for its life: it is frozen, so that no collection looks at it again,
and the memory that the start has used and freed is handed back. What a worker remembers of codes is not tracked at
all. Left to collect is what requests leave behind in cycles.
"""

import asyncio
import contextlib
import ctypes
import gc

WARM_UP_S = 5.0
GC_THRESHOLDS = (10_000, 20, 50)


async def freeze_when_warm() -> None:
    """Before serving and once more after the first requests, whose imports and memories stay too."""
    gc.set_threshold(*GC_THRESHOLDS)
    _freeze()
    await asyncio.sleep(WARM_UP_S)
    _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError):  # a C library that has no such call
        ctypes.CDLL(None).malloc_trim(0)
