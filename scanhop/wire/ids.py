"""Identifiers: UUID version 7 (RFC 9562, section 5.7), and the names of what they identify."""

import os
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
WorkspaceId = NewType("WorkspaceId", UUID)
ProjectId = NewType("ProjectId", UUID)
QrId = NewType("QrId", UUID)
DomainId = NewType("DomainId", UUID)

ZERO_UUID = UUID(int=0)
DEFAULT_DOMAIN_ID = DomainId(UUID("00000000-0000-7000-8000-000000000001"))


def uuid7(now_ns: int) -> UUID:
    """48 bits of Unix milliseconds, then 74 random bits: sortable by time, unguessable."""
    random = int.from_bytes(os.urandom(10))
    value = (now_ns // 1_000_000 & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return UUID(int=value)
