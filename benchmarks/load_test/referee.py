"""Judges every answer of a load test, and counts what it found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.load_test.promises import Edit, TargetHistory
from benchmarks.load_test.scan_mix import Scan


class Fault(StrEnum):
    """What can be wrong with an answer. A closed list; the names stand in locust's report."""

    NO_ANSWER = "no answer"
    WRONG_STATUS = "wrong status"
    STALE_TARGET = "target from before an edit that must be in effect"
    FOREIGN_TARGET = "target that this code never had"
    CACHEABLE = "redirect that may be cached"
    COOKIE = "cookie set"
    BODY_OF_HEAD = "body in answer to HEAD"
    TARGET_OF_UNKNOWN = "target for an unknown code"
    TOTAL_TOO_HIGH = "more scans in the analytics than were sent"
    TOTAL_FELL = "fewer scans in the analytics than a moment ago"
    TOTAL_TOO_LOW = "answered scans missing in the analytics"


@dataclass(frozen=True)
class Answer:
    """`status` 0: there was none. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body_length: int
    asked_at: float
    answered_at: float


@dataclass
class _Count:
    sent: int = 0
    answered: int = 0
    highest_total: int = 0


class Referee:
    """Knows the codes of a test, by short code, and their targets. `within_s`: how soon an edit must be in effect."""

    def __init__(self, targets: Mapping[str, str], within_s: float) -> None:
        self._histories = {code: TargetHistory(target, within_s) for code, target in targets.items()}
        self._counts = {code: _Count() for code in targets}
        self._edited: set[str] = set()
        self.faults: Counter[Fault] = Counter()
        self.checked: Counter[str] = Counter()

    def note_asked(self, scan: Scan) -> None:
        if scan.is_counted and scan.code is not None:
            self._counts[scan.code].sent += 1

    def judge(self, scan: Scan, answer: Answer) -> Fault | None:
        self.checked["scans"] += 1
        fault = self._find_fault(scan, answer)
        if scan.is_counted and scan.code is not None and answer.status == 302:
            self._counts[scan.code].answered += 1
        return self._noted(fault)

    def begin_edit(self, code: str, target: str, now: float) -> Edit | None:
        """None while another edit of the code is under way."""
        if code in self._edited:
            return None
        self._edited.add(code)
        return self._histories[code].note_sent(target, now)

    def end_edit(self, code: str, edit: Edit, status: int, now: float) -> Fault | None:
        """`status` 0, or of the 500s: nobody knows whether it was made."""
        self.checked["edits"] += 1
        self._edited.discard(code)
        if status == 200:
            edit.acknowledged_at = now
            return None
        if 400 <= status < 500:
            self._histories[code].note_refused(edit)
        return self._noted(Fault.WRONG_STATUS if status else Fault.NO_ANSWER)

    def highest_total(self, code: str) -> int:
        """What analytics have said already; asked for before they are read again."""
        return self._counts[code].highest_total

    def judge_total(self, code: str, total: int, highest_before: int) -> Fault | None:
        self.checked["totals"] += 1
        count = self._counts[code]
        count.highest_total = max(count.highest_total, total)
        if total > count.sent:
            return self._noted(Fault.TOTAL_TOO_HIGH)
        return self._noted(Fault.TOTAL_FELL if total < highest_before else None)

    def list_unsettled(self, totals: Mapping[str, int]) -> Sequence[str]:
        """Codes whose total is not yet what was answered."""
        return [code for code, total in totals.items() if total < self._counts[code].answered]

    def judge_settled(self, totals: Mapping[str, int]) -> None:
        """When no scan is under way, and ingest had the time it needs."""
        for code, total in totals.items():
            self.judge_total(code, total, 0)
            if total < self._counts[code].answered:
                self._noted(Fault.TOTAL_TOO_LOW)

    def _find_fault(self, scan: Scan, answer: Answer) -> Fault | None:
        if answer.status == 0:
            return Fault.NO_ANSWER
        if "set-cookie" in answer.headers:
            return Fault.COOKIE
        if scan.method == "HEAD" and answer.body_length:
            return Fault.BODY_OF_HEAD
        if scan.code is None:
            return self._find_fault_of_unknown(answer)
        return self._find_fault_of_redirect(self._histories[scan.code], answer)

    def _find_fault_of_unknown(self, answer: Answer) -> Fault | None:
        if answer.status != 404:
            return Fault.WRONG_STATUS
        return Fault.TARGET_OF_UNKNOWN if "location" in answer.headers else None

    def _find_fault_of_redirect(self, history: TargetHistory, answer: Answer) -> Fault | None:
        if answer.status != 302:
            return Fault.WRONG_STATUS
        judgement = history.judge(answer.headers.get("location"), answer.asked_at, answer.answered_at)
        if judgement != "allowed":
            return Fault.STALE_TARGET if judgement == "stale" else Fault.FOREIGN_TARGET
        return None if answer.headers.get("cache-control") == "private, no-store" else Fault.CACHEABLE

    def _noted(self, fault: Fault | None) -> Fault | None:
        if fault is not None:
            self.faults[fault] += 1
        return fault
