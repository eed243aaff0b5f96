"""What the API needs to know, taken from the settings of the process."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from scanhop.settings import Network, Settings, derived_secret, derived_secrets, require


@dataclass(frozen=True)
class GoogleSettings:
    """How this installation is known to Google, or to another OpenID provider that stands in for it."""

    client_id: str
    client_secret: str = field(repr=False)
    discovery_url: str


@dataclass(frozen=True)
class ApiSettings:
    """`admin_key` None: nobody is platform admin by a key. `public_url`: base of short URLs, without a final slash.

    `seal_keys`: the first seals, all open what was sealed. `access_keys`, `state_keys`: the first signs, all verify;
    without any nobody signs in. `limits_key`: hides from readers of Redis who is limited. `api_url`: where browsers
    reach the API. `google` None: nobody signs in by Google.
    `x_api_key` None: there is no credit service.
    """

    postgres_dsn: str = field(repr=False)
    redis_url: str = field(repr=False)
    clickhouse_url: str = field(repr=False)
    public_url: str
    admin_key: str | None = field(default=None, repr=False)
    target_allow_hosts: tuple[str, ...] = ()
    target_block_hosts: tuple[str, ...] = ()
    geoip_path: Path | None = None
    ab_secret: bytes = field(default=b"", repr=False)
    x_api_key: str | None = field(default=None, repr=False)
    postgres_connections: int = 20
    postgres_timeout_s: float = 2.0
    postgres_connect_timeout_s: float = 1.5
    redis_timeout_s: float = 0.5
    rate_timeout_s: float = 0.1
    clickhouse_timeout_s: int = 15
    probe_timeout_s: float = 1.0
    seal_keys: tuple[bytes, ...] = field(default=(), repr=False)
    rate_per_second: int = 100
    rate_burst: int = 200
    access_keys: tuple[bytes, ...] = field(default=(), repr=False)
    state_keys: tuple[bytes, ...] = field(default=(), repr=False)
    limits_key: bytes = field(default=b"", repr=False)
    registration_open: bool = True
    trusted_proxies: tuple[Network, ...] = ()
    api_url: str = "http://127.0.0.1:8000"
    google: GoogleSettings | None = None
    max_body_bytes: int = 1 << 20
    max_exports: int = 8
    max_exports_each: int = 2
    max_listeners: int = 200
    max_listeners_each: int = 20
    version: str = version("scanhop")


def api_settings_from(settings: Settings) -> ApiSettings:
    """Raises InvalidSettings."""
    return ApiSettings(
        postgres_dsn=require(settings, "postgres_dsn"),
        redis_url=require(settings, "redis_url"),
        clickhouse_url=require(settings, "clickhouse_url"),
        public_url=public_url_from(settings),
        admin_key=settings.admin_key,
        seal_keys=derived_secrets(settings, "idempotency-answers"),
        rate_per_second=settings.api_rate_per_second,
        rate_burst=settings.api_rate_burst,
        access_keys=derived_secrets(settings, "access-token"),
        state_keys=derived_secrets(settings, "sign-in-state"),
        limits_key=derived_secret(settings, "limited-names"),
        registration_open=settings.registration == "open",
        trusted_proxies=settings.trusted_proxies,
        api_url=settings.api_url or f"http://{settings.api_bind}",
        google=_google_from(settings),
        target_allow_hosts=settings.target_allow_hosts,
        target_block_hosts=settings.target_block_hosts,
        geoip_path=settings.geoip_path,
        ab_secret=derived_secret(settings, "variants"),
        x_api_key=settings.x_api_key,
    )


def _google_from(settings: Settings) -> GoogleSettings | None:
    """Raises InvalidSettings when half of it is set."""
    if settings.google_client_id is None and settings.google_client_secret is None:
        return None
    return GoogleSettings(
        require(settings, "google_client_id"),
        require(settings, "google_client_secret"),
        settings.google_discovery_url,
    )


def public_url_from(settings: Settings) -> str:
    """The base of short URLs, without a final slash."""
    return settings.public_url or f"http://{settings.edge_bind}"
