"""Who the client is when proxies stand in between.

Only a peer inside the configured trusted networks is believed. The list it forwards is walked from the right, since
the right end was written by the nearest proxy and the left end by anybody: the first address outside the trusted
networks is the client. `X-Forwarded-For` is read where present, else `Forwarded` (RFC 7239, section 5.2).
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = bytes(10) + b"\xff\xff"
_QUOTE = re.compile(r'(?<!\\)"')
_PAIR = re.compile(r'\s*([^\s=;,"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*(?:;|$)')
_ELEMENT = re.compile(f"(?:{_PAIR.pattern})+")


class TrustedNetworks:
    """Networks whose word is taken; false when there are none."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._by_length: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            known = self._by_length[network.max_prefixlen // 8]
            known.append((int(network.network_address) >> shift, shift))

    def __bool__(self) -> bool:
        return any(self._by_length.values())

    def hold(self, address: bytes) -> bool:
        number = int.from_bytes(address)
        for network, shift in self._by_length[len(address)]:  # noqa: SIM110 - any() takes longer
            if number >> shift == network:
                return True
        return False


def client_address(peer: bytes, headers: Mapping[bytes, bytes], trusted: TrustedNetworks) -> Address | None:
    """`peer`: 4 or 16 bytes, or none of a local socket. `headers` by lower-case name. None when unknown."""
    return address_from(client_bytes(peer, headers, trusted))


def client_bytes(peer: bytes, headers: Mapping[bytes, bytes], trusted: TrustedNetworks) -> bytes:
    """The same, as 4 or 16 bytes, none when unknown."""
    address = _unmap_bytes(peer)
    if not address or not trusted.hold(address):
        return address
    for text in _hops_from_the_right(headers):
        hop = _parse_hop(text)
        if hop is None:  # obfuscated or garbage: who stands behind it cannot be known
            return address
        address = hop
        if not trusted.hold(address):
            return address
    return address


@lru_cache(4096)
def address_from(address: bytes) -> Address | None:
    """Most phones come by IPv4: `ip_address` would try things first that four bytes cannot be."""
    if not address:
        return None
    return ipaddress.IPv4Address(address) if len(address) == 4 else ipaddress.IPv6Address(address)


def _unmap_bytes(address: bytes) -> bytes:
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def unmap(address: Address) -> Address:
    """An IPv4 address written as IPv6 (::ffff:a.b.c.d) as what it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_of(address: bytes) -> str:
    """The truncated form: /24 for IPv4, /48 for IPv6, written as the network's first address."""
    return text_of(address[:3] + b"\0" if len(address) == 4 else address[:6] + bytes(10))


def text_of(address: bytes) -> str:
    """As `ipaddress` writes it (RFC 5952)."""
    if len(address) == 4:
        return socket.inet_ntop(socket.AF_INET, address)
    text = socket.inet_ntop(socket.AF_INET6, address)
    return str(ipaddress.IPv6Address(address)) if "." in text else text


def _hops_from_the_right(headers: Mapping[bytes, bytes]) -> Iterable[str]:
    """Empty elements of a list mean nothing (RFC 9110, section 5.6.1)."""
    chain = headers.get(b"x-forwarded-for")
    if chain is None:
        return map(_for_of, _elements_from_the_right(headers.get(b"forwarded", b"").decode("latin-1")))
    hops = [hop.strip() for hop in chain.decode("latin-1").split(",")]
    return filter(None, reversed(hops))


def _elements_from_the_right(forwarded: str) -> Iterator[str]:
    """A comma inside a quoted value ends no element. A quote that somebody farther left never closed harms nobody."""
    parts: list[str] = []
    is_quoted = False
    for part in reversed(forwarded.split(",")):
        parts.append(part)
        is_quoted ^= len(_QUOTE.findall(part)) % 2 == 1
        if not is_quoted:
            element = ",".join(reversed(parts)).strip()
            parts.clear()
            if element:
                yield element


def _for_of(element: str) -> str:
    """Empty when the element is garbage, or keeps its client to itself."""
    if _ELEMENT.fullmatch(element) is None:
        return ""
    return next((quoted or plain for name, quoted, plain in _PAIR.findall(element) if name.lower() == "for"), "")


def _parse_hop(text: str) -> bytes | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a zone is left out."""
    try:  # nearly every hop is a plain address; `ip_address` takes longer
        return _unmap_bytes(socket.inet_pton(socket.AF_INET6 if text.count(":") > 1 else socket.AF_INET, text))
    except (OSError, ValueError):
        return _parse_decorated(text)


def _parse_decorated(text: str) -> bytes | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return _unmap_bytes(ipaddress.ip_address(text.partition("%")[0]).packed)
    except ValueError:
        return None
