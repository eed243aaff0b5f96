"""Which targets a scan may be answered with, given the edits of its code that were sent and acknowledged.

An edit may take effect from the moment at which it was sent. From `within_s` after its acknowledgement no scan that
is asked then may be answered with an earlier target. An edit whose acknowledgement never came may or may not have
been made: it allows its target and ends no other. Times are seconds of one monotonic clock.
"""

from dataclasses import dataclass
from typing import Literal

KEPT_S = 120.0  # longer than any scan waits for its answer

Judgement = Literal["allowed", "stale", "foreign"]


@dataclass
class Edit:
    """`acknowledged_at`: None while nobody has said that it was made."""

    target: str
    sent_at: float
    acknowledged_at: float | None = None


class TargetHistory:
    """The targets that one code has had. Edits of one code are sent one after another."""

    def __init__(self, target: str, within_s: float) -> None:
        long_ago = float("-inf")
        self._within_s = within_s
        self._edits = [Edit(target, long_ago, long_ago)]
        self._forgotten: set[str] = set()

    def note_sent(self, target: str, now: float) -> Edit:
        self._forget(now)
        self._edits.append(Edit(target, now))
        return self._edits[-1]

    def note_refused(self, edit: Edit) -> None:
        """The API said that it was not made."""
        self._edits.remove(edit)

    def judge(self, location: str | None, asked_at: float, answered_at: float) -> Judgement:
        for edit in reversed(self._edits):
            if edit.sent_at <= answered_at and edit.target == location:
                return "allowed"
            if self._has_taken_effect(edit, asked_at):
                break
        is_earlier = location in self._forgotten or any(edit.target == location for edit in self._edits)
        return "stale" if is_earlier else "foreign"

    def _has_taken_effect(self, edit: Edit, asked_at: float) -> bool:
        return edit.acknowledged_at is not None and edit.acknowledged_at + self._within_s <= asked_at

    def _forget(self, now: float) -> None:
        """What no scan under way can still be answered with."""
        while len(self._edits) > 1 and self._has_taken_effect(self._edits[1], now - KEPT_S):
            self._forgotten.add(self._edits.pop(0).target)
