"""Which hosts a code may lead to, beyond what makes an address a target at all (scanhop.routing.targets).

Refused are the installation's own short domains (the host of the public URL and every verified custom domain: a code
that leads to a code may lead to itself), the hosts of the block list and, where there is an allow list, all others.
An entry of a list means the host itself and every host below it: `example.com` means `www.example.com` too, and not
`notexample.com`. The block list wins. What was saved before an entry was made goes on redirecting.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ada_url

from control_api.web.problem import InvalidParameter, Problem
from control_api.web.problem_catalogue import ProblemKind

TARGET_FIELDS = ("target_url", "fallback_url")

Target = tuple[str, str]  # the path of the field, and what it says


class TargetPolicy:
    """Hosts in lower case, as URLs are serialised."""

    def __init__(self, public_url: str, allow_hosts: Sequence[str] = (), block_hosts: Sequence[str] = ()) -> None:
        self._own = _authority(public_url)
        self._allow = tuple(allow_hosts)
        self._block = tuple(block_hosts)

    def hosts_of(self, targets: Iterable[Target]) -> set[str]:
        """Those that may be custom domains: whose port is a short URL's."""
        authorities = (_authority(url) for _, url in targets)
        return {host for host, port in authorities if port in ("", self._own[1])}

    def find_faults(self, targets: Iterable[Target], short_hosts: Collection[str]) -> list[InvalidParameter]:
        """`short_hosts`: the custom domains among `hosts_of`."""
        found = ((path, self._find_fault(*_authority(url), short_hosts)) for path, url in targets)
        return [InvalidParameter(name=path, reason=fault) for path, fault in found if fault]

    def require(self, targets: Iterable[Target], short_hosts: Collection[str]) -> None:
        """Raises Problem."""
        faults = self.find_faults(targets, short_hosts)
        if faults:
            detail = "; ".join(f"{fault.name}: {fault.reason}" for fault in faults[:3])
            raise Problem(ProblemKind.INVALID_PARAMETERS, detail, invalid_parameters=faults)

    def _find_fault(self, host: str, port: str, short_hosts: Collection[str]) -> str | None:
        if (host, port) == self._own or (host in short_hosts and port in ("", self._own[1])):
            return "must not lead to a short domain of this installation"
        if _is_among(host, self._block):
            return f"the host {host} is blocked"
        if self._allow and not _is_among(host, self._allow):
            return f"the host {host} is not allowed"
        return None


def targets_in(fields: Mapping[str, Any]) -> list[Target]:
    """Every address in the fields of a code, with its path."""
    direct = [(name, fields[name]) for name in TARGET_FIELDS if fields.get(name)]
    return direct + list(_targets_of_rules(fields.get("rules") or []))


def _targets_of_rules(rules: Sequence[Mapping[str, Any]]) -> Iterator[Target]:
    for at, rule in enumerate(rules):
        if "target_url" in rule:
            yield f"rules.{at}.target_url", rule["target_url"]
        for place, variant in enumerate(rule.get("variants", ())):
            yield f"rules.{at}.variants.{place}.target_url", variant["target_url"]


def _authority(url: str) -> tuple[str, str]:
    """Host and port; no port is the scheme's own."""
    parsed = ada_url.URL(url)
    return parsed.hostname.rstrip("."), parsed.port


def _is_among(host: str, entries: Iterable[str]) -> bool:
    return any(host == entry or host.endswith(f".{entry}") for entry in entries)
