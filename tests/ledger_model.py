"""The ledger as plain Python: what the real one is held against."""

from dataclasses import dataclass, field


@dataclass
class ModelLot:
    source: str
    priority: int
    expires_at: object
    seq: int
    remaining: int
    held: int = 0

    @property
    def free(self):
        return self.remaining - self.held


@dataclass
class ModelReservation:
    amount: int
    expires_at: object
    holds: dict = field(default_factory=dict)
    state: str = "open"
    asked: int | None = None
    result: tuple | None = None


class LedgerModel:
    """One wallet. Times are numbers; `FOREVER` is none. Each operation answers (outcome, charged, shortfall)."""

    FOREVER = float("inf")

    def __init__(self, refund_grace):
        self.lots = {}
        self.entries = []  # (kind, amount, {lot: amount}, asked)
        self.keys = {}
        self.reservations = {}
        self.refunded = {}
        self._grace = refund_grace

    @property
    def balance(self):
        return sum(lot.remaining for lot in self.lots.values())

    @property
    def reserved(self):
        return sum(lot.held for lot in self.lots.values())

    @property
    def available(self):
        return self.balance - self.reserved

    def tidy(self, now):
        for reservation in self.reservations.values():
            if reservation.state == "open" and reservation.expires_at <= now:
                self._unhold(reservation)
                reservation.state = "timed_out"
        for lot in sorted(self.lots.values(), key=lambda lot: (lot.expires_at, lot.seq)):
            if lot.expires_at <= now and lot.free:
                self._append("expiry", {lot.seq: -lot.free}, lot.free)

    def credit(self, now, kind, amount, priority, expires_at, key):
        self.tidy(now)
        if (earlier := self._replay(key, kind, amount)) is not None:
            return earlier
        source = "purchased" if kind == "purchase" else "granted"
        seq = self._append(kind, {}, amount, key)
        self._add_lot(seq, source, priority, amount, expires_at)
        return "done", amount, 0

    def debit(self, now, amount, partly, key):
        self.tidy(now)
        if (earlier := self._replay(key, "usage", amount)) is not None:
            return earlier
        taken = min(amount, self.available) if partly else amount
        if taken > self.available:
            return "insufficient", 0, amount
        if taken == 0:
            return "nothing", 0, amount
        self._append("usage", self._burn(now, taken), amount, key)
        return "done", taken, amount - taken

    def reserve(self, now, name, amount, expires_at):
        self.tidy(now)
        if amount > self.available:
            return "insufficient", 0, amount
        reservation = self.reservations[name] = ModelReservation(amount, expires_at)
        for seq, part in self._burn(now, amount).items():
            reservation.holds[seq] = -part
            self.lots[seq].held -= part
        return "done", 0, 0

    def settle(self, now, name, amount):
        self.tidy(now)
        reservation = self.reservations[name]
        if reservation.state == "settled" and reservation.asked == amount:
            return "replayed", *reservation.result
        if reservation.state in {"settled", "released"}:
            return "closed", 0, 0
        holds = dict(reservation.holds) if reservation.state == "open" else {}
        self._unhold(reservation)
        taken = min(amount, self.available)
        beyond = max(0, taken - sum(holds.values())) if holds else 0
        rest, parts = taken, {}
        for lot in self._in_order(self.lots[seq] for seq in holds):
            used = min(rest, holds[lot.seq])
            if lot.expires_at > now:
                more = min(beyond, lot.free - holds[lot.seq])
                beyond -= more
                used += more
            rest -= used
            if used:
                parts[lot.seq] = -used
        if taken:
            self._append("usage", parts | self._burn(now, rest, without=parts), amount)
        reservation.state, reservation.asked = "settled", amount
        reservation.result = taken, amount - taken
        self.tidy(now)
        return "done", taken, amount - taken

    def release(self, now, name):
        self.tidy(now)
        reservation = self.reservations[name]
        if reservation.state == "settled":
            return "closed", 0, 0
        if reservation.state != "open":
            return "replayed", 0, 0
        self._unhold(reservation)
        reservation.state = "released"
        self.tidy(now)
        return "done", 0, 0

    def refund(self, now, entry, amount):
        """`entry`: the place of a usage in `entries`."""
        self.tidy(now)
        taken = self.entries[entry][2]
        skipped = self.refunded.get(entry, 0)
        left = -sum(taken.values()) - skipped
        given = left if amount is None else amount
        if given > left or given == 0:
            return "excessive", 0, left
        self.refunded[entry] = skipped + given
        seq = self._append("refund", {}, given)
        revived, rest = 0, given
        for lot in reversed(self._in_order(self.lots[each] for each in taken)):
            part = min(rest, max(0, -taken[lot.seq] - skipped))
            skipped = max(0, skipped + taken[lot.seq])
            rest -= part
            if lot.expires_at > now:
                lot.remaining += part
            else:
                revived += part
        if revived:
            late = [self.lots[each] for each in taken if self.lots[each].expires_at <= now]
            source, priority = max(lot.source for lot in late), max(lot.priority for lot in late)
            self._add_lot(seq, source, priority, revived, now + self._grace)
        return "done", given, 0

    def _replay(self, key, kind, asked):
        if key is None or key not in self.keys:
            return None
        earlier_kind, amount, _, earlier_asked = self.entries[self.keys[key]]
        if (earlier_kind, earlier_asked) == (kind, asked):
            return "replayed", abs(amount), earlier_asked - abs(amount)
        return "conflict", 0, 0

    def _append(self, kind, parts, asked, key=None):
        for seq, part in parts.items():
            self.lots[seq].remaining += part
        self.entries.append((kind, sum(parts.values()) or asked, parts, asked))
        if key is not None:
            self.keys[key] = len(self.entries) - 1
        return len(self.entries)

    def _add_lot(self, seq, source, priority, amount, expires_at):
        self.lots[seq] = ModelLot(source, priority, expires_at, seq, amount)

    def _unhold(self, reservation):
        for seq, part in reservation.holds.items():
            self.lots[seq].held -= part
        reservation.holds = {}

    def _burn(self, now, amount, without=()):
        parts = {}
        for lot in self._in_order(self.lots.values()):
            if amount and lot.expires_at > now and lot.free and lot.seq not in without:
                parts[lot.seq] = -min(amount, lot.free)
                amount += parts[lot.seq]
        assert amount == 0
        return parts

    @staticmethod
    def _in_order(lots):
        return sorted(lots, key=lambda lot: (lot.priority, lot.expires_at, lot.source, lot.seq))
