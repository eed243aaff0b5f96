"""Who the client is when proxies stand in between.

Only a peer inside the configured trusted networks is believed. The list it forwards is walked from the right, since
the right end was written by the nearest proxy and the left end by anybody: the first address outside the trusted
networks is the client. `X-Forwarded-For` is read where present, else `Forwarded` (RFC 7239, section 5.2).
"""

import ipaddress
import re
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = bytes(10) + b"\xff\xff"
_QUOTE = re.compile(r'(?<!\\)"')
_PAIR = re.compile(r'\s*([^\s=;,"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*(?:;|$)')
_ELEMENT = re.compile(f"(?:{_PAIR.pattern})+")


def client_address(peer: bytes, headers: Mapping[bytes, bytes], trusted: Sequence[Network]) -> Address | None:
    """`peer`: 4 or 16 bytes, or none of a local socket. `headers` by lower-case name. None when unknown."""
    address = _peer_address(peer) if peer else None
    if address is None or not trusted or not is_trusted(address, trusted):
        return address
    for text in _hops_from_the_right(headers):
        hop = _parse_hop(text)
        if hop is None:  # obfuscated or garbage: who stands behind it cannot be known
            return address
        address = hop
        if not is_trusted(address, trusted):
            return address
    return address


def client_bytes(peer: bytes, headers: Mapping[bytes, bytes], trusted: Sequence[Network]) -> bytes:
    """The same as `client_address`, for who reads many: 4 or 16 bytes, none when unknown."""
    if not trusted:
        return peer[12:] if peer.startswith(_MAPPED) and len(peer) == 16 else peer
    address = client_address(peer, headers, trusted)
    return b"" if address is None else address.packed


@lru_cache(4096)
def _peer_address(peer: bytes) -> Address:
    """Most phones come by IPv4: `ip_address` would try things first that four bytes cannot be."""
    return ipaddress.IPv4Address(peer) if len(peer) == 4 else unmap(ipaddress.ip_address(peer))


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def unmap(address: Address) -> Address:
    """An IPv4 address written as IPv6 (::ffff:a.b.c.d) as what it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_of(address: bytes) -> str:
    """The truncated form: /24 for IPv4, /48 for IPv6, written as the network's first address."""
    if len(address) == 4:
        return "{}.{}.{}.0".format(*address)
    words = [f"{word:x}" for word in struct.unpack_from(">3H", address)]
    while words and words[-1] == "0":  # what is zero joins the zeros behind it
        words.pop()
    return ":".join(words) + "::"


def text_of(address: bytes) -> str:
    """As `ipaddress` writes it (RFC 5952)."""
    if len(address) == 4:
        return socket.inet_ntop(socket.AF_INET, address)
    text = socket.inet_ntop(socket.AF_INET6, address)
    return str(ipaddress.IPv6Address(address)) if "." in text else text


def _hops_from_the_right(headers: Mapping[bytes, bytes]) -> Iterator[str]:
    """Empty elements of a list mean nothing (RFC 9110, section 5.6.1)."""
    chain = headers.get(b"x-forwarded-for")
    if chain is not None:
        yield from filter(None, map(str.strip, reversed(chain.decode("latin-1").split(","))))
        return
    for element in _elements_from_the_right(headers.get(b"forwarded", b"").decode("latin-1")):
        yield _for_of(element)


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


def _parse_hop(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a zone is left out."""
    text = text.strip()
    with suppress(OSError, ValueError):  # most hops are IPv4, and `ip_address` would try more than that
        return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return unmap(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
