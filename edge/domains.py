"""Which domain a scan belongs to, and which code its path spells.

Every Host that is no verified custom domain means the default domain. `/r/{code}` works on all of them, in either
case of the prefix; on a custom domain `/{code}` does too. A path that spells what cannot be a code is unknown without
a look-up.

The table of custom domains is small, and held whole.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

from scanhop.wire.domains import Domain
from scanhop.wire.ids import DEFAULT_DOMAIN_ID
from scanhop.wire.scan_record import encode_unknown_prefix
from scanhop.wire.short_codes import RESERVED, find_code, find_exact_code, fold_code

MAX_SCANNED_CODE = 63

_PREFIXED = re.compile(rb"/[rR]/([^/]+)")
_BARE = re.compile(rb"/([^/]+)")
_DEFAULT = Domain(id=DEFAULT_DOMAIN_ID.bytes, host="", is_exact=False, not_found_url=None)


class ScannedCode(msgspec.Struct, frozen=True, gc=False):
    """`key`: the domain's id and the code; None when no code can look like what was scanned (`text`)."""

    domain: Domain
    key: bytes | None
    text: str

    @property
    def is_on_default_domain(self) -> bool:
        return self.domain is _DEFAULT

    def unknown_prefix(self) -> bytes:
        return encode_unknown_prefix(
            self.domain.id, (self.text if self.domain.is_exact else fold_code(self.text))[:MAX_SCANNED_CODE]
        )


class Domains:
    """The table one worker goes by. `custom` is for reading, by host: the fast path looks into it without a call."""

    def __init__(self) -> None:
        self.custom: dict[bytes, Domain] = {}
        self._by_id: dict[bytes, Domain] = {}

    def replace(self, domains: Sequence[Domain]) -> bool:
        """Whether anything is different now."""
        by_id = {domain.id: domain for domain in domains}
        is_changed = by_id != self._by_id
        self._by_id = by_id
        self.custom.clear()
        self.custom.update({domain.host.encode(): domain for domain in domains})
        return is_changed

    def find(self, host: bytes | None) -> Domain:
        """The default domain where the host is no other."""
        return self.custom.get(host or b"", _DEFAULT)

    def of_key(self, key: bytes) -> Domain:
        return self._by_id.get(key[: len(_DEFAULT.id)], _DEFAULT)

    def find_scanned(self, host: bytes | None, path: bytes) -> ScannedCode | None:
        """`host` in lower case without a port, `path` as it was sent. None when the path is none of a scan."""
        domain = self.find(host)
        match = _PREFIXED.fullmatch(path) or (None if domain is _DEFAULT else _BARE.fullmatch(path))
        if match is None:
            return None
        text = unquote(match[1].decode("ascii"))
        if match.re is _BARE and text in RESERVED:  # /healthz is /healthz on every domain
            return None
        code = find_exact_code(text) if domain.is_exact else find_code(text)
        if code is None or code in RESERVED:
            return ScannedCode(domain, None, text)
        return ScannedCode(domain, domain.id + code.encode("ascii"), text)
