"""What the API needs to know, taken from the settings of the process."""

from dataclasses import dataclass
from importlib.metadata import version

from scanhop.settings import Network, Settings, require, secret_keys_of


@dataclass(frozen=True)
class ApiSettings:
    """`admin_key` None: there is no platform admin. `secret_keys`: the
    first signs and encrypts. `public_url`: the base of short URLs, without a final slash."""

    postgres_dsn: str
    redis_url: str
    clickhouse_url: str
    public_url: str
    admin_key: str | None = None
    postgres_connections: int = 20
    postgres_timeout_s: float = 2.0
    postgres_connect_timeout_s: float = 1.5
    redis_timeout_s: float = 0.5
    rate_timeout_s: float = 0.1
    clickhouse_timeout_s: int = 15
    probe_timeout_s: float = 1.0
    secret_keys: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    rate_per_second: int = 100
    rate_burst: int = 200
    max_body_bytes: int = 1 << 20
    version: str = version("scanhop")


def api_settings_from(settings: Settings) -> ApiSettings:
    """Raises InvalidSettings."""
    return ApiSettings(
        postgres_dsn=require(settings, "postgres_dsn"),
        redis_url=require(settings, "redis_url"),
        clickhouse_url=require(settings, "clickhouse_url"),
        public_url=settings.public_url or f"http://{settings.edge_bind}",
        admin_key=settings.admin_key,
        secret_keys=secret_keys_of(settings),
        trusted_proxies=settings.trusted_proxies,
        rate_per_second=settings.api_rate_per_second,
        rate_burst=settings.api_rate_burst,
    )
