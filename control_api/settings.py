"""What the API needs to know, taken from the settings of the process."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from scanhop.settings import Settings, derived_secret, require


@dataclass(frozen=True)
class ApiSettings:
    """`admin_key` None: there is no platform admin. `public_url`: the base of short URLs, without a final slash."""

    postgres_dsn: str
    redis_url: str
    clickhouse_url: str
    public_url: str
    admin_key: str | None = None
    target_allow_hosts: tuple[str, ...] = ()
    target_block_hosts: tuple[str, ...] = ()
    geoip_path: Path | None = None
    ab_secret: bytes = field(default=b"", repr=False)
    postgres_connections: int = 20
    postgres_timeout_s: float = 10.0
    redis_timeout_s: float = 0.5
    clickhouse_timeout_s: int = 15
    probe_timeout_s: float = 1.0
    max_body_bytes: int = 1 << 20
    version: str = version("scanhop")


def api_settings_from(settings: Settings) -> ApiSettings:
    """Raises InvalidSettings."""
    return ApiSettings(
        postgres_dsn=require(settings, "postgres_dsn"),
        redis_url=require(settings, "redis_url"),
        clickhouse_url=require(settings, "clickhouse_url"),
        public_url=public_url_from(settings),
        admin_key=settings.admin_key,
        target_allow_hosts=settings.target_allow_hosts,
        target_block_hosts=settings.target_block_hosts,
        geoip_path=settings.geoip_path,
        ab_secret=derived_secret(settings, "variants"),
    )


def public_url_from(settings: Settings) -> str:
    """The base of short URLs, without a final slash."""
    return settings.public_url or f"http://{settings.edge_bind}"
