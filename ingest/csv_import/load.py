"""Sends the batches of a manifest, each until ClickHouse has it, and then deletes its file."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ingest.csv_import.manifest import NAME, Manifest, PlannedBatch
from ingest.frozen_batch import read_batch
from ingest.loader import Loader
from scanhop.spool.segment import BATCH, PARKED
from scanhop.stores.errors import StoreRejected, StoreUnavailable
from scanhop.telemetry.logs import get_logger

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)

_log = get_logger()

OnLoaded = Callable[[int, int], None]


@dataclass
class Loaded:
    """Rows that ClickHouse accepted, now or before the program was killed, and rows that it refused."""

    rows: int = 0
    refused: int = 0


class BatchLoader:
    """`on_loaded` is told how many rows of how many were sent. Raises StoreUnavailable when ClickHouse stays away."""

    def __init__(
        self, loader: Loader, on_loaded: OnLoaded, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._loader = loader
        self._on_loaded = on_loaded
        self._pause = pause

    async def load(self, directory: Path, manifest: Manifest) -> Loaded:
        """The directory is gone in the end, but for batches that were refused."""
        result = Loaded()
        for batch in manifest.batches:
            if batch.path(directory, BATCH).exists():
                await self._load(directory, batch)
            is_refused = batch.path(directory, PARKED).exists()
            result.refused += batch.rows * is_refused
            result.rows += batch.rows * (not is_refused)
            self._on_loaded(result.rows + result.refused, manifest.rows)
        (directory / NAME).unlink()
        if not result.refused:
            shutil.rmtree(directory)
        return result

    async def _load(self, directory: Path, batch: PlannedBatch) -> None:
        path = batch.path(directory, BATCH)
        header, body = await asyncio.to_thread(read_batch, path)
        for pause in (*PAUSES_S, None):
            try:
                await self._loader.load(header, body)
            except StoreRejected as error:
                _log.error("batch_parked", batch=header.token, rows=header.rows, reason=str(error))
                path.rename(batch.path(directory, PARKED))
                return
            except StoreUnavailable as error:
                if pause is None:
                    raise
                _log.warning("batch_not_loaded", batch=header.token, error=str(error), again_in_s=pause)
                await self._pause(pause)
            else:
                path.unlink()
                return
