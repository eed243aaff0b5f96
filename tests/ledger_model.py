"""The ledger as plain Python, credit by credit: what the real one is held against.

Every credit is an object of its own. It lies in a lot, and is free, held by a reservation or gone with an entry. What
the ledger adds up is counted here, and nothing is kept beside the credits that could disagree with them.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Lot:
    """Sorts as lots are burnt."""

    priority: int
    expires_at: datetime
    source: str
    seq: int


@dataclass(eq=False)
class Credit:
    """`holder`: the reservation it is held by; `gone_with`: the number of the entry that took it."""

    lot: Lot
    holder: "Reservation | None" = None
    gone_with: int | None = None


@dataclass(eq=False)
class Reservation:
    amount: int
    expires_at: datetime
    state: str = "open"
    settled_with: int | None = None
    result: tuple = ()


@dataclass(frozen=True)
class Entry:
    kind: str
    parts: dict  # credits by the number of their lot, negative where they went
    balance_after: int

    @property
    def amount(self):
        return sum(self.parts.values())


@dataclass
class LedgerModel:
    """One wallet at `now`. Each operation answers (outcome, charged, shortfall)."""

    now: datetime
    refund_grace: object
    credits: list = field(default_factory=list)
    lots: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    reservations: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)

    def count(self, *, lot=None, is_held=False):
        return sum(
            each.gone_with is None and (lot is None or each.lot is lot) and (not is_held or each.holder is not None)
            for each in self.credits
        )

    def credit(self, kind, amount, priority, expires_at, key):
        def credit():
            lot = self._add_lot(priority, expires_at, "purchased" if kind == "purchase" else "granted")
            self._append(kind, [self._add_credit(lot) for _ in range(amount)], +1)
            return "done", amount, 0

        return self._once(key, (kind, "in"), amount, credit)

    def debit(self, kind, amount, partly, key):
        def debit():
            taken = self._free()[:amount]
            if len(taken) < amount and not partly:
                return "insufficient", 0, amount
            if not taken:
                return "nothing", 0, amount
            self._append(kind, taken, -1)
            return "done", len(taken), amount - len(taken)

        return self._once(key, (kind, "out"), amount, debit)

    def use_tokens(self, request_id, price):
        self.tidy()
        name = "tokens", request_id
        if name not in self.answers:
            taken = self._free()[:price]
            if taken:
                self._append("usage", taken, -1)
            self.answers[name] = len(taken), price - len(taken)
            return "done", *self.answers[name]
        return "replayed", *self.answers[name]

    def reserve(self, amount, hold, key):
        """(answer, the reservation or None)"""
        self.tidy()
        name = "reservation", key
        if key is not None and name in self.answers:
            earlier = self.answers[name]
            if earlier.amount != amount:
                return ("conflict", 0, 0), None
            return ("replayed" if earlier.state == "open" else "closed", 0, 0), earlier
        held = self._free()[:amount]
        if len(held) < amount:
            return ("insufficient", 0, amount), None
        reservation = Reservation(amount, self.now + hold)
        for each in held:
            each.holder = reservation
        self.reservations.append(reservation)
        self.answers[name] = reservation
        return ("done", 0, 0), reservation

    def settle(self, reservation, amount):
        self.tidy()
        if reservation.state == "settled" and reservation.settled_with == amount:
            return "replayed", *reservation.result
        if reservation.state in {"settled", "released"}:
            return "closed", 0, 0
        taken = (self._held(reservation) + self._free())[:amount]
        self._end(reservation, "settled")
        if taken:
            self._append("usage", taken, -1)
        reservation.settled_with, reservation.result = amount, (len(taken), amount - len(taken))
        self.tidy()
        return "done", *reservation.result

    def release(self, reservation):
        self.tidy()
        if reservation.state == "settled":
            return "closed", 0, 0
        if reservation.state != "open":
            return "replayed", 0, 0
        self._end(reservation, "released")
        self.tidy()
        return "done", 0, 0

    def refund(self, seq, amount, key):
        """`seq`: of an entry that took credits."""

        def refund():
            gone = sorted((each for each in self.credits if each.gone_with == seq), key=_place, reverse=True)
            back = gone[: len(gone) if amount is None else amount]
            if not back or len(back) < (amount or 0):
                return "excessive", 0, len(gone)
            expired = [lot for lot in self.lots if lot.seq in self.entries[seq - 1].parts and self._is_over(lot)]
            if any(self._is_over(each.lot) for each in back):
                priority, source = max(lot.priority for lot in expired), max(lot.source for lot in expired)
                late = self._add_lot(priority, self.now + self.refund_grace, source)
            for each in back:
                each.lot = late if self._is_over(each.lot) else each.lot
            self._append("refund", back, +1)
            return "done", len(back), 0

        return self._once(key, ("refund", seq), amount, refund)

    def tidy(self):
        """Whatever has run out is gone."""
        for reservation in self.reservations:
            if reservation.state == "open" and reservation.expires_at <= self.now:
                self._end(reservation, "timed_out")
        for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.seq)):
            over = [each for each in self._free(of_all=True) if each.lot is lot and self._is_over(lot)]
            if over:
                self._append("expiry", over, -1)

    def _once(self, key, what, amount, do):
        self.tidy()
        earlier = self.answers.get(("entry", key)) if key is not None else None
        if earlier is None:
            answer = do()
            if answer[0] == "done":
                self.answers["entry", key] = what, sum(answer[1:]), answer
            return answer
        if earlier[0] == what and amount in (None, earlier[1]):
            return "replayed", *earlier[2][1:]
        return "conflict", 0, 0

    def _append(self, kind, moved, sign):
        seq = len(self.entries) + 1
        for each in moved:
            each.gone_with, each.holder = (seq if sign < 0 else None), None
        parts = {lot: sign * count for lot, count in Counter(each.lot.seq for each in moved).items()}
        self.entries.append(Entry(kind, parts, self.count()))

    def _add_lot(self, priority, expires_at, source):
        """Under the number of the entry that follows."""
        lot = Lot(priority, expires_at, source, len(self.entries) + 1)
        self.lots.append(lot)
        return lot

    def _add_credit(self, lot):
        self.credits.append(Credit(lot))
        return self.credits[-1]

    def _free(self, *, of_all=False):
        free = [each for each in self.credits if each.gone_with is None and each.holder is None]
        return sorted((each for each in free if of_all or not self._is_over(each.lot)), key=_place)

    def _held(self, reservation):
        return sorted((each for each in self.credits if each.holder is reservation), key=_place)

    def _end(self, reservation, state):
        for each in self._held(reservation):
            each.holder = None
        reservation.state = state

    def _is_over(self, lot):
        return lot.expires_at <= self.now


def _place(credit):
    return credit.lot
