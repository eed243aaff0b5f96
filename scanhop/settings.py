"""Every setting of Scanhop: one `SCANHOP_*` variable each, read once at the start of a process.

Read from the environment, then from `.env` in the current folder. An unknown `SCANHOP_*` variable or a bad value
raises InvalidSettings, whose message names each. `docs/settings.md` and `.env.example` describe them all.
"""

import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import ada_url
from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

PREFIX = "SCANHOP_"
MIN_KEY = 16
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SCHEMES = {
    "postgres_dsn": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
}
_BASE_URL = re.compile(r"https?://[^\s/?#:][^\s/?#]*(?:/[^\s?#]*)?")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
# Control characters, line breaks, marks that turn the direction of writing, and bytes that were no UTF-8.
_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
Port = Annotated[int, Field(ge=0, le=65535)]


class InvalidSettings(ValueError):
    """A variable is unknown or its value is bad; the message names each of them, a line each."""


class Bind(BaseModel):
    """A listening address, written `HOST:PORT` or `[IPV6]:PORT`; port 0 is any free one."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Settings(BaseModel):
    """The settings, by their variables' names in lower case without the prefix. No `repr` tells a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    postgres_dsn: str | None = Field(default=None, repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    clickhouse_url: str | None = Field(default=None, repr=False)
    clickhouse_cluster: str | None = None
    admin_key: str | None = Field(default=None, min_length=MIN_KEY, repr=False)
    secret_key: str | None = Field(default=None, min_length=MIN_KEY, repr=False)
    public_url: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    target_allow_hosts: tuple[str, ...] = ()
    target_block_hosts: tuple[str, ...] = ()
    geoip_path: Path | None = None
    geoip_url: str | None = None
    data_dir: Path = Path(".scanhop")
    edge_bind: Bind = Bind(host="127.0.0.1", port=8080)
    api_bind: Bind = Bind(host="127.0.0.1", port=8000)
    metrics_bind: Bind | None = None
    ingest_metrics_bind: Bind | None = None
    api_rate_per_second: int = Field(default=100, ge=1, le=100_000)
    api_rate_burst: int = Field(default=200, ge=1, le=1_000_000)
    edge_workers: int = Field(default=1, ge=1, le=256)
    spool_dir: Path | None = None
    spool_max_bytes: int = Field(default=4 << 30, ge=1 << 20)
    spool_fsync_ms: int = Field(default=200, ge=0, le=60_000)
    ip_storage: Literal["truncated", "full", "none"] = "truncated"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    brand_name: str | None = Field(default=None, max_length=60)
    brand_color: str | None = None
    registration: Literal["open", "closed"] = "open"
    api_url: str | None = None
    google_client_id: str | None = None
    google_client_secret: str | None = Field(default=None, repr=False)
    google_discovery_url: str = "https://accounts.google.com/.well-known/openid-configuration"
    x_api_key: str | None = Field(default=None, repr=False)
    portkey_url: str | None = None
    portkey_api_key: str | None = Field(default=None, repr=False)
    portkey_workspace_slug: str | None = None

    @property
    def spool_root(self) -> Path:
        return self.spool_dir or self.data_dir / "spool"

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return [ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip()]
        except ValueError:
            raise ValueError("must be networks such as 10.0.0.0/8, with commas between them") from None

    @field_validator("target_allow_hosts", "target_block_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        hosts = [_host_from(part) for part in value.split(",") if part.strip()]
        if None in hosts:
            raise ValueError("must be hosts such as example.com, with commas between them")
        return hosts

    @field_validator("edge_bind", "api_bind", "metrics_bind", "ingest_metrics_bind", mode="before")
    @classmethod
    def _bind(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, _, port = value.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isascii() or not port.isdigit():
            raise ValueError("must be HOST:PORT")
        return Bind(host=host, port=int(port))

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: str | None) -> str | None:
        if value is not None and any(len(key.strip()) < MIN_KEY for key in value.split(",")):
            raise ValueError(f"must be keys of at least {MIN_KEY} characters, with commas between them")
        return value

    @field_validator(
        "postgres_dsn",
        "redis_url",
        "clickhouse_url",
        "public_url",
        "api_url",
        "geoip_url",
        "google_discovery_url",
        "portkey_url",
    )
    @classmethod
    def _address(cls, value: str | None, info: ValidationInfo) -> str | None:
        schemes = _SCHEMES.get(str(info.field_name), ("http://", "https://"))
        if value is not None and not value.startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return value

    @field_validator("public_url", "api_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is not None and _BASE_URL.fullmatch(value) is None:
            raise ValueError("must be a host, with a port and a path if need be, and nothing behind them")
        return value.rstrip("/") if value else None

    @field_validator("brand_name")
    @classmethod
    def _plain_text(cls, value: str | None) -> str | None:
        if value is not None and _NOT_PLAIN.search(value):
            raise ValueError("must be plain text in one line")
        return value.strip() or None if value else None

    @field_validator("brand_color")
    @classmethod
    def _color(cls, value: str | None) -> str | None:
        if value is not None and _COLOR.fullmatch(value) is None:
            raise ValueError("must be a colour such as #0a7d55")
        return value

    @field_validator("clickhouse_cluster")
    @classmethod
    def _no_cluster(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError("clusters are not supported yet; unset it")
        return value


def _host_from(text: str) -> str | None:
    """As it stands in a URL: in lower case, in Punycode; None when it cannot stand in one."""
    host = text.strip().removeprefix("*.").strip(".")
    try:
        url = ada_url.URL(f"http://{host}/")
    except ValueError:
        return None
    is_host = not url.port and url.pathname == "/" and not url.username and not url.search and not url.hash
    return url.hostname if is_host else None


def load_settings(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Raises InvalidSettings."""
    found = _variables(dotenv_values(dotenv, interpolate=False)) if dotenv.is_file() else {}
    found |= _variables(os.environ if environ is None else environ)
    try:
        return Settings.model_validate(found)
    except ValidationError as error:
        raise InvalidSettings("\n".join(_describe(problem) for problem in error.errors())) from None


def _variables(environ: Mapping[str, str | None]) -> dict[str, Any]:
    """Empty values count as unset, so that a copied `.env.example` works as it is."""
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value
    }


def _describe(problem: Mapping[str, Any]) -> str:
    name = PREFIX + str(problem["loc"][0]).upper()
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such setting (docs/settings.md lists them)"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def require(settings: Settings, name: str) -> str:
    """The value of a text setting that this process cannot do without. Raises InvalidSettings."""
    value: str | None = getattr(settings, name)
    if value is None:
        raise InvalidSettings(f"{PREFIX}{name.upper()}: must be set for this command")
    return value


def derived_secret(settings: Settings, label: str) -> bytes:
    """32 bytes for one purpose, by HKDF (RFC 5869) with SHA-256; of several secret keys the first counts.

    Without a secret key the bytes are the same on every installation: good enough to spread, not to keep anybody out.
    """
    key = (settings.secret_key or "").partition(",")[0].strip()
    return _derived(key, label)


def derived_secrets(settings: Settings, label: str) -> tuple[bytes, ...]:
    """The same of every secret key, in their order: the first is for what is new, all are for what is there already.

    None without a secret key: these may keep somebody out.
    """
    if settings.secret_key is None:
        return ()
    return tuple(_derived(key.strip(), label) for key in settings.secret_key.split(","))


def _derived(key: str, label: str) -> bytes:
    extracted = hmac.digest(b"scanhop", key.encode(), "sha256")
    return hmac.digest(extracted, label.encode() + b"\x01", "sha256")
