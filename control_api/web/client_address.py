"""Where a request comes from, by the proxies that are trusted."""

import ipaddress

from fastapi import Request

from scanhop.client_facts.client_address import TrustedNetworks, client_bytes


def client_address(request: Request, trusted: TrustedNetworks) -> bytes:
    """4 or 16 bytes; none of a local socket."""
    return client_bytes(_peer_of(request), _joined_headers(request), trusted)


def _joined_headers(request: Request) -> dict[bytes, bytes]:
    """A header that came in several lines is one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in request.headers.raw:
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined


def _peer_of(request: Request) -> bytes:
    try:
        return ipaddress.ip_address(request.client.host).packed if request.client else b""
    except ValueError:
        return b""
