"""Whether the running task was told to end, though nobody raised CancelledError here.

A library may swallow a cancellation (`asyncio.wait_for` on Python 3.11 does, so redis-py does), and the errors of a
TaskGroup's tasks take its place. What goes on until it is cancelled therefore asks after each turn.
"""

import asyncio


def is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
