"""The rows of a file between reading and freezing: on disk, counted, and given back by time.

A SQLite file without journal and without fsync: nobody reads it after a crash.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from ingest.csv_import.codes import Code
from ingest.csv_import.derivation import Facts
from ingest.csv_import.identity import event_id

CACHE_KIB = 32 << 10
_MS_PER_DAY = 86_400_000

_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -{CACHE_KIB};
PRAGMA temp_store = FILE;
CREATE TABLE seen (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE codes (qr_id BLOB PRIMARY KEY, code BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE scans (month INTEGER, at_ms INTEGER, event_id BLOB, qr_id BLOB, facts BLOB);
"""
_COUNT = """
INSERT INTO seen (digest, times) VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET times = times + 1 RETURNING times
"""
_BY_TIME = """
SELECT month, at_ms, event_id, code, facts FROM scans JOIN codes USING (qr_id) ORDER BY month, at_ms, event_id
"""


class StoredScan(msgspec.Struct, frozen=True, gc=False):
    """One scan, ready to be a row."""

    event_id: bytes
    scanned_at_ms: int
    code: Code
    facts: Facts


class RowStore:
    """Raises OSError or sqlite3.Error when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        self._codes: set[bytes] = set()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_code = lru_cache(4096)(msgspec.msgpack.Decoder(Code).decode)
        self._decode_facts = msgspec.msgpack.Decoder(Facts).decode

    def add(self, digest: bytes, at_ms: int, code: Code, facts: Facts) -> None:
        (number,) = self._database.execute(_COUNT, (digest,)).fetchone()
        self._add_code(code)
        row = (_month(at_ms // _MS_PER_DAY), at_ms, event_id(digest, number), code.qr_id, self._encode(facts))
        self._database.execute("INSERT INTO scans VALUES (?, ?, ?, ?, ?)", row)

    def _add_code(self, code: Code) -> None:
        if code.qr_id not in self._codes:
            if len(self._codes) > 100_000:
                self._codes.clear()
            self._codes.add(code.qr_id)
            self._database.execute("INSERT OR IGNORE INTO codes VALUES (?, ?)", (code.qr_id, self._encode(code)))

    def batches(self, size: int) -> Iterator[list[StoredScan]]:
        """By time, each of at most `size` rows of one UTC month."""
        cursor = self._database.execute(_BY_TIME)
        for _, rows in groupby(cursor, key=itemgetter(0)):
            batch: list[StoredScan] = []
            for _, at_ms, identity, code, facts in rows:
                batch.append(StoredScan(identity, at_ms, self._decode_code(code), self._decode_facts(facts)))
                if len(batch) == size:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def close(self) -> None:
        self._database.close()


@lru_cache(4096)
def _month(day: int) -> int:
    at = datetime.fromtimestamp(day * _MS_PER_DAY // 1000, UTC)
    return at.year * 100 + at.month
