"""From a scan to its answer: decide, record. What the protocol class and the application have in common.

A scan that can be decided at once is `answer_now`'s. One that must wait for a scan count or a password is
`answer_waiting`'s: the states are judged first, so that a closed code costs no count; a password is judged before a
scan is counted; where the count cannot be had the limit does not hold.
"""

import time

import msgspec

from edge.answers import Answer, Answers
from edge.domains import Domains, ScannedCode
from edge.limits import ScanLimits
from edge.local_cache import CachedRoute, ready_route, undecided_route
from edge.passwords import Passwords, Try
from edge.recorder import Recorder
from edge.unknown_budget import UnknownBudget
from scanhop.client_facts.request_facts import FactReaders, RequestFacts
from scanhop.routing.decision import Decision, decide, is_plain, must_await
from scanhop.spool import BoundedWriter
from scanhop.wire.domains import Domain
from scanhop.wire.route import Route
from scanhop.wire.scan_record import (
    Outcome,
    decode_headers,
    encode_route_prefix,
    encode_unknown_prefix,
)

_TO_TARGET = (Outcome.REDIRECT, Outcome.LOCKED)
_PROBLEM_STATUS = {Try.WRONG: 403, Try.TOO_MANY: 429}


class Scan(msgspec.Struct, frozen=True, gc=False):
    """What a request says. `peer`: 4 or 16 bytes, or none; `headers`: those of the record, encoded."""

    peer: bytes
    headers: bytes
    query: bytes
    is_head: bool = False


class Redirector:
    """The answers of one worker. `unavailable` counts scans whose code could not be looked up."""

    def __init__(  # noqa: PLR0913 - what an answer depends on
        self,
        domains: Domains,
        recorder: Recorder,
        spool: BoundedWriter,
        answers: Answers,
        readers: FactReaders,
        limits: ScanLimits,
        passwords: Passwords,
        budget: UnknownBudget,
    ) -> None:
        self._domains = domains
        self._recorder = recorder
        self._spool = spool
        self._answers = answers
        self._readers = readers
        self._limits = limits
        self._passwords = passwords
        self._budget = budget
        self._is_budgeted_by_peer = not readers.trusted
        self.unavailable = 0

    def build_entry(self, key: bytes, raw: bytes, route: Route | None, stale_at: float) -> CachedRoute:
        """A code as it came from the stores, as the cache holds it. `route` None: unknown."""
        if route is None:
            prefix = encode_unknown_prefix(key[:16], key[16:].decode("ascii"))
            answer = self._answers.not_found(self._domains.of_key(key).not_found_url)
            return ready_route(answer, b"", prefix, stale_at)
        prefix = encode_route_prefix(route)
        if is_plain(route):
            return ready_route(self._answers.of(decide(route, self._facts(_NOBODY))), raw, prefix, stale_at)
        return undecided_route(route, raw, prefix, stale_at, must_wait=must_await(route))

    def answer_now(self, found: CachedRoute, scan: Scan) -> Answer | None:
        """Decided and recorded; None: it must wait."""
        if found.is_unknown:
            return self.answer_unknown(found.prefix, found, scan)
        if found.is_ready:
            self._record(found.prefix, found.outcome, scan)
            return found
        if found.route is None or found.must_wait:
            return None
        return self._conclude(found, scan, decide(found.route, self._facts(scan)))

    def answer_impossible(self, scanned: ScannedCode, scan: Scan) -> Answer:
        """A path that spells what cannot be a code."""
        return self.answer_unknown(
            scanned.unknown_prefix(), self._answers.not_found(scanned.domain.not_found_url), scan
        )

    def answer_unknown(self, prefix: bytes, answer: Answer, scan: Scan) -> Answer:
        if not self._budget.take(self._address(scan), time.monotonic()):
            return self._answers.short_not_found()
        self._record(prefix, Outcome.UNKNOWN, scan, is_unknown=True)
        return answer

    def answer_no_path(self, domain: Domain) -> Answer:
        """A path that is none of a scan: nothing is recorded."""
        return self._answers.not_found(domain.not_found_url)

    def answer_unavailable(self, scan: Scan) -> Answer:
        """No store could be asked; for a network over its budget Postgres was not."""
        if not self.may_ask_postgres(scan):
            self._budget.exceeded += 1
            return self._answers.short_not_found()
        self.unavailable += 1
        return self._answers.unavailable()

    def may_ask_postgres(self, scan: Scan) -> bool:
        """For a network that has asked for too many unknown codes it is not asked."""
        return self._budget.has_any(self._address(scan), time.monotonic())

    async def answer_waiting(self, found: CachedRoute, scan: Scan, password: bytes | None = None) -> Answer:
        """For what `answer_now` could not answer. `password`: what a form sent."""
        route = found.route
        facts = self._facts(scan)
        decision = decide(route, facts)
        if route is None or decision.outcome not in _TO_TARGET:
            return self._conclude(found, scan, decision)
        if route.password_hash is not None:
            facts.scans = await self._limits.read(route)
            decision = decide(route, facts)
            if decision.outcome is not Outcome.LOCKED or password is None:
                return self._conclude(found, scan, decision)
            tried = await self._passwords.check(route, password, self._address(scan))
            if tried is not Try.RIGHT:
                self._record(found.prefix, Outcome.LOCKED, scan)
                return self._answers.locked(tried, _PROBLEM_STATUS[tried])
            facts.is_unlocked = True
        is_counted = not scan.is_head and not facts.is_bot
        facts.scans = await (self._limits.admit(route) if is_counted else self._limits.read(route))
        return self._conclude(found, scan, decide(route, facts), after_post=password is not None)

    def _conclude(self, found: CachedRoute, scan: Scan, decision: Decision, *, after_post: bool = False) -> Answer:
        rule_id, variant = decision.rule_id.encode("ascii"), decision.variant.encode("ascii")
        self._record(found.prefix, decision.outcome, scan, rule_id=rule_id, variant=variant)
        return self._answers.of(decision, after_post=after_post)

    def _record(  # noqa: PLR0913 - the fields of the record
        self,
        prefix: bytes,
        outcome: Outcome,
        scan: Scan,
        *,
        is_unknown: bool = False,
        rule_id: bytes = b"",
        variant: bytes = b"",
    ) -> None:
        self._recorder.record(
            prefix,
            Outcome.HEAD if scan.is_head else outcome,
            scan.peer,
            scan.headers,
            is_unknown=is_unknown,
            rule_id=rule_id,
            variant=variant,
        )

    def _facts(self, scan: Scan) -> RequestFacts:
        return RequestFacts(self._spool.now_ns(), scan.peer, decode_headers(scan.headers), scan.query, self._readers)

    def _address(self, scan: Scan) -> bytes:
        """The client's, packed."""
        if self._is_budgeted_by_peer:
            return scan.peer
        address = self._facts(scan).address
        return scan.peer if address is None else address.packed


_NOBODY = Scan(b"", b"", b"")
