"""The embedded Postgres, Redis and ClickHouse, from wheels, for development and tests only.

Owns: one data directory and the three child processes that work in it, each reached over loopback exactly as in
production.

Invariants:
- One stack per data directory at a time, held by a lock that the kernel drops with its owner.
- Ports are chosen once per stack and stay through an engine's restart.
- Nothing outside the data directory is changed: no users, no modes, no files.

An engine whose wheel is missing, a data directory of another user or in use by another stack: `StackFailed`, with
a message that says what to do.
"""

from scanhop.devstack.failure import StackFailed
from scanhop.devstack.stack import EmbeddedStack, StackAddresses

__all__ = ["EmbeddedStack", "StackAddresses", "StackFailed"]
