"""The import with its stores, from settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from ingest.csv_import.codes import Codes
from ingest.csv_import.derivation import Derivation
from ingest.csv_import.importer import DIRECTORY, Importer, Summary
from ingest.csv_import.known_events import KnownEvents
from ingest.csv_import.load import BatchLoader, OnLoaded
from ingest.csv_import.plan import OnRead, Planner, Reading
from ingest.loader import Loader
from scanhop.client_facts.geo import GeoReader
from scanhop.settings import Settings, require
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.postgres import Postgres

CLICKHOUSE_TIMEOUT_S = 130
POSTGRES_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class WhoseCodes:
    """Which codes the rows may name."""

    workspace_id: UUID | None = None
    domain: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)


async def import_scans(
    settings: Settings, reading: Reading, whose: WhoseCodes, on_read: OnRead, on_loaded: OnLoaded
) -> Summary:
    """Raises ImportRefused, InvalidSettings, StoreError or OSError."""
    postgres = Postgres(require(settings, "postgres_dsn"), max_connections=1, command_timeout_s=POSTGRES_TIMEOUT_S)
    clickhouse = ClickHouse(require(settings, "clickhouse_url"), timeout_s=CLICKHOUSE_TIMEOUT_S)
    try:
        codes = Codes(postgres, whose.workspace_id, whose.renamed)
        if whose.domain is not None:
            await codes.choose_domain(whose.domain)
        derivation = Derivation(GeoReader(settings.geoip_path), settings.ip_storage)
        planner = Planner(codes, KnownEvents(clickhouse), derivation, on_read)
        importer = Importer(settings.data_dir / DIRECTORY, planner, BatchLoader(Loader(clickhouse), on_loaded))
        return await importer.run(reading, repr((whose, settings.ip_storage, settings.geoip_path)))
    finally:
        await clickhouse.close()
        await postgres.close()
