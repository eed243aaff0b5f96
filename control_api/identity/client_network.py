"""The network a client is in, as limits of attempts know it: /24 of IPv4, /48 of IPv6."""

import ipaddress

from fastapi import Request

from scanhop.client_facts.client_address import TrustedNetworks, client_bytes, network_of

UNKNOWN = "unknown"


def client_network(request: Request) -> str:
    """`unknown` for a local socket. Only the trusted proxies are believed."""
    trusted: TrustedNetworks = request.app.state.trusted_networks
    headers = _joined_headers(request)
    address = client_bytes(_peer(request), headers, trusted)
    return network_of(address) if address else UNKNOWN


def _joined_headers(request: Request) -> dict[bytes, bytes]:
    """A header that came in several lines is one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in request.headers.raw:
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined


def _peer(request: Request) -> bytes:
    try:
        return ipaddress.ip_address(request.client.host).packed if request.client else b""
    except ValueError:
        return b""
