"""`scanhop doctor`: what an operator would check by hand, each with its finding."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from control_api.credits.proof import TIMEOUT_S as PROOF_TIMEOUT_S
from control_api.credits.proof import LedgerProof
from scanhop.client_facts.geo import BrokenDatabase, describe_database
from scanhop.settings import Settings
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.errors import StoreError
from scanhop.stores.migrations import migrate
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import open_redis, redis_errors

OLDEST_REDIS = (6, 0)
PROBE_TIMEOUT_S = 5.0
MOST_TOLD = 20

Check = Callable[[Settings], str | Awaitable[str]]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    is_well: bool
    detail: str


class Ailment(Exception):
    """What is wrong, and what to do about it."""


async def examine(settings: Settings, *, ledger: bool = False) -> list[Finding]:
    """All findings, in the order in which they should be mended. `ledger`: also the proof of every wallet's books."""
    checks: list[tuple[str, Check]] = [
        ("postgres", _postgres),
        ("redis", _redis),
        ("clickhouse", _clickhouse),
        ("schema", _schema),
        ("spool", _spool),
        ("geoip", _geoip),
    ]
    found = [await _examine(subject, check, settings) for subject, check in checks]
    if ledger:
        found.append(await _examine("ledger", _ledger, settings, PROOF_TIMEOUT_S))
    return found


def print_findings(findings: list[Finding]) -> None:
    table = Table(show_header=False, box=None)
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.is_well else "[red]wrong[/]", finding.subject, finding.detail)
    Console().print(table)


async def _examine(subject: str, check: Check, settings: Settings, timeout_s: float = PROBE_TIMEOUT_S) -> Finding:
    try:
        async with asyncio.timeout(timeout_s):
            found = check(settings)
            return Finding(subject, True, found if isinstance(found, str) else await found)
    except (Ailment, StoreError, OSError) as error:  # a time-out is an OSError
        return Finding(subject, False, str(error) or "no answer")


async def _postgres(settings: Settings) -> str:
    postgres = Postgres(_needed(settings.postgres_dsn, "POSTGRES_DSN"), max_connections=1, command_timeout_s=2)
    try:
        async with postgres.connection() as connection:
            version: str = await connection.fetchval("SHOW server_version")
    finally:
        await postgres.close()
    return f"PostgreSQL {version}"


async def _redis(settings: Settings) -> str:
    redis = open_redis(_needed(settings.redis_url, "REDIS_URL"), timeout_s=2)
    try:
        with redis_errors():
            info = await redis.info()
    finally:
        await redis.aclose()
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise Ailment(f"Redis {version} is too old; 6.0 or newer is needed")
    if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
        raise Ailment(f"maxmemory-policy is {info['maxmemory_policy']}: routes would be evicted; use noeviction")
    return f"Redis {version}"


async def _clickhouse(settings: Settings) -> str:
    clickhouse = ClickHouse(_needed(settings.clickhouse_url, "CLICKHOUSE_URL"), timeout_s=2)
    try:
        client = await clickhouse.client()
        return f"ClickHouse {client.server_version}"
    finally:
        await clickhouse.close()


async def _schema(settings: Settings) -> str:
    dsn = _needed(settings.postgres_dsn, "POSTGRES_DSN")
    url = _needed(settings.clickhouse_url, "CLICKHOUSE_URL")
    pending = await migrate(dsn, url, dry_run=True)
    if pending:
        names = ", ".join(f"{step.store} {step.name}" for step in pending)
        raise Ailment(f"not up to date ({names}): run scanhop migrate")
    return "up to date"


async def _ledger(settings: Settings) -> str:
    dsn = _needed(settings.postgres_dsn, "POSTGRES_DSN")
    postgres = Postgres(dsn, max_connections=1, command_timeout_s=PROBE_TIMEOUT_S)
    try:
        report = await LedgerProof(postgres).examine()
    finally:
        await postgres.close()
    if not report.agrees:
        told = [str(each) for each in report.disagreements[:MOST_TOLD]]
        raise Ailment("\n".join((f"{len(report.disagreements)} wallet(s) disagree with their books:", *told)))
    return f"{report.entries} entries in {report.wallets} wallets agree with balances and lots"


def _spool(settings: Settings) -> str:
    root = settings.spool_root
    existing = next(path for path in (root, *root.resolve().parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Ailment(f"{existing} cannot be written")
    free = shutil.disk_usage(existing).free
    if free < settings.spool_max_bytes:
        raise Ailment(
            f"{_gib(free)} free at {existing}, less than SCANHOP_SPOOL_MAX_BYTES ({settings.spool_max_bytes})"
        )
    return f"{root}, {_gib(free)} free"


def _geoip(settings: Settings) -> str:
    path: Path | None = settings.geoip_path
    if path is None:
        return "no file set: countries and cities stay empty"
    files = sorted(path.glob("*.mmdb")) if path.is_dir() else [path]
    try:
        found = ", ".join(f"{file}: {describe_database(file)}" for file in files)
    except OSError as error:
        raise Ailment(f"{path} cannot be read: {error.strerror}; scanhop geoip fetch brings one") from error
    except BrokenDatabase as error:
        raise Ailment(f"{path} cannot be used: {error}") from error
    if not found:
        raise Ailment(f"{path} holds no .mmdb file; scanhop geoip fetch brings one")
    return found


def _needed(value: str | None, name: str) -> str:
    if value is None:
        raise Ailment(f"SCANHOP_{name} is not set, and no `scanhop up` runs on this data directory")
    return value


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
