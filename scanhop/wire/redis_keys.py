"""The names of our keys in Redis.

Edges follow the changes of every key that begins with ROUTE_PREFIX or DOMAINS_KEY; no other key's name may.
"""

import hmac
import re
from uuid import UUID

ROUTE_PREFIX = "route:"
DOMAINS_KEY = "domains"
PUBLISHED_KEY = "published"  # counts the writes of routes and of the domains

ROUTES_COMPLETE_KEY = "routes_complete"  # the run id of the server that holds the route of every code
ROUTES_EVICTIONS_KEY = "routes_evictions"  # what that server had evicted when it was said to be complete
ROUTES_PUBLISHER_KEY = "routes_publisher"  # who is publishing everything, and that nothing was flushed since

RATE_PREFIX = "rate:"  # how often a caller of the API has asked; gone when it is as if they had not

SCANS_PREFIX = "scans:"
SCANS_DIRTY_KEY = "scans_dirty"  # counters that moved since they were handed on to be persisted
SCANS_PERSISTING_KEY = "scans_persisting"  # counters that are being persisted

ATTEMPTS_PREFIX = "attempts:"

_ROUTE_KEY = re.compile(rb"route:([0-9a-f]{32}):(.*)", re.DOTALL)


def route_key(domain_id: UUID | bytes, code: str) -> str:
    raw = domain_id if isinstance(domain_id, bytes) else domain_id.bytes
    return f"{ROUTE_PREFIX}{raw.hex()}:{code}"


def parse_route_key(key: bytes) -> tuple[bytes, str] | None:
    """Domain id and code; None when it is no key that `route_key` makes."""
    found = _ROUTE_KEY.fullmatch(key)
    if found is None:
        return None
    try:
        return bytes.fromhex(found[1].decode()), found[2].decode()
    except UnicodeDecodeError:
        return None


def scans_key(qr_id: bytes) -> str:
    """The counter of one code's counted scans."""
    return f"{SCANS_PREFIX}{qr_id.hex()}"


def attempts_key(what: str, kind: str, name: str) -> str:
    """How often a thing was tried, by an account or a network, whose `name` is hidden."""
    return f"{ATTEMPTS_PREFIX}{what}:{kind}:{name}"


def hidden_name(name: str, secret: bytes) -> str:
    """For an e-mail address or a network: a plain hash of one is found by trying them all."""
    return hmac.digest(secret, name.encode(), "sha256").hex()[:32]
