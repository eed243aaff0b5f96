"""The network a client is in, as limits of attempts know it: /24 of IPv4, /48 of IPv6."""

from fastapi import Request

from control_api.web.client_address import client_address
from scanhop.client_facts.client_address import network_of

UNKNOWN = "unknown"


def client_network(request: Request) -> str:
    """`unknown` for a local socket. Only the trusted proxies are believed."""
    address = client_address(request, request.app.state.trusted_networks)
    return network_of(address) if address else UNKNOWN
