"""Scans that can be told apart in every table, and the rule that each is counted exactly once."""

from uuid import UUID, uuid4

from scanhop.spool import SpoolWriter
from scanhop.wire.scan_record import Outcome
from tests.integration.ingest.collecting import Rows
from tests.routes import new_route, write_scan


class SentScans:
    """Writes scans of two codes, each with a nonce in its Referer, and remembers them."""

    def __init__(self, spool: SpoolWriter) -> None:
        self._spool = spool
        self._routes = [new_route(), new_route()]
        self.nonces: list[str] = []
        self.counted = {UUID(bytes=route.qr_id): 0 for route in self._routes}
        self.segments = 0

    def write_segment(self, scans: int = 5) -> None:
        """Each third is a HEAD request, an event that is no scan."""
        for number in range(scans):
            route = self._routes[number % 2]
            nonce = f"https://{uuid4()}.example/"
            outcome = Outcome.HEAD if number % 3 == 2 else Outcome.REDIRECT
            write_scan(self._spool, route, outcome, headers=[(b"referer", nonce.encode())])
            self.nonces.append(nonce)
            self.counted[UUID(bytes=route.qr_id)] += outcome is Outcome.REDIRECT
        self._spool.seal_if_due()
        self.segments += 1

    async def check(self, rows: Rows) -> None:
        found = [row[0] for row in await rows("SELECT referer FROM qr_scan_events")]
        assert sorted(map(str, found)) == sorted(self.nonces)
        events, scans = (await rows("SELECT sum(events), sum(scans) FROM daily_aggregates"))[0]
        assert (events, scans) == (len(self.nonces), sum(self.counted.values()))
        by_code = dict(await rows("SELECT qr_id, sum(scans) FROM daily_aggregates GROUP BY qr_id"))
        assert by_code == {qr_id: count for qr_id, count in self.counted.items() if count}
        batches = await rows("SELECT count(), uniqExact(batch_id), sum(rows) FROM scan_batches")
        assert batches == [(self.segments, self.segments, len(self.nonces))]
