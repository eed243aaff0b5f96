"""Where ingest's CPU goes: the same code in this process, once its caches are warm."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ingest.enrichment import Enrichment
from ingest.frozen_batch import batch_id
from ingest.process import CACHED_PLACES, tune_memory
from ingest.scan_rows import encode_rows
from ingest.visitors import Visitors
from scanhop.client_facts.geo import GeoReader
from scanhop.spool import read_segment
from scanhop.spool.claim import list_spools
from scanhop.spool.segment import SEALED, list_segments

WARM = 5  # segments, the last ones


def profile_steps(root: Path, database: Path) -> dict[str, float]:
    """CPU us a scan of each step, of the last segments below `root`; those before warm the caches."""
    tune_memory()
    enrichment = Enrichment(_visitors(), (), "truncated", GeoReader(database, cached_places=CACHED_PLACES))
    (spool_id,) = list_spools(root)
    names = list_segments(root, spool_id, SEALED)
    spent = {"segment": 0.0, "encode": 0.0}
    scans = 0
    for number, name in enumerate(names):
        if number == len(names) - WARM:
            before = enrichment.figures
        started = time.process_time()
        content = read_segment(name.path(root, SEALED), name)
        read = time.process_time()
        found, _ = enrichment.enrich(content.records)
        enriched = time.process_time()
        encode_rows(batch_id(name), time.time_ns(), found)
        if number >= len(names) - WARM:
            scans += len(found)
            spent["segment"] += read - started
            spent["encode"] += time.process_time() - enriched
    steps = {step: figures.seconds - before[step].seconds for step, figures in enrichment.figures.items()}
    everything = {"segment": spent["segment"], **steps, "encode": spent["encode"]}
    return {step: round(1e6 * seconds / scans, 2) for step, seconds in everything.items()}


def _visitors() -> Visitors:
    async def read_salts() -> Mapping[date, bytes]:
        today = datetime.now(UTC).date()
        return {today + timedelta(days=days): bytes(32) for days in (-1, 0, 1)}

    visitors = Visitors(read_salts)
    asyncio.run(visitors.refresh())
    return visitors
