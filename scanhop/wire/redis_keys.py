"""The names of our keys in Redis."""

from uuid import UUID

ROUTE_PREFIX = "route:"


def route_key(domain_id: UUID | bytes, code: str) -> str:
    raw = domain_id if isinstance(domain_id, bytes) else domain_id.bytes
    return f"{ROUTE_PREFIX}{raw.hex()}:{code}"
