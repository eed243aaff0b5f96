"""Wires the API: one application from its settings, nothing at import."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import control_api.analytics.endpoints
import control_api.analytics.live_endpoints
import control_api.analytics.query_endpoints
import control_api.analytics.report_endpoints
import control_api.audit.endpoints
import control_api.credits.admin_endpoints
import control_api.credits.endpoints
import control_api.domains.endpoints
import control_api.identity.endpoints
import control_api.images.endpoints
import control_api.jobs.endpoints
import control_api.projects.endpoints
import control_api.qr_codes.admin_endpoints
import control_api.qr_codes.bulk_endpoints
import control_api.qr_codes.dry_run_endpoints
import control_api.qr_codes.endpoints
import control_api.qr_codes.history_endpoints
import control_api.request_log.endpoints
import control_api.system.endpoints
from control_api.analytics.live import LiveScans
from control_api.analytics.platform import Platform
from control_api.analytics.query_service import ScanQueries
from control_api.analytics.scan_store import ScanStore
from control_api.analytics.service import Reports
from control_api.analytics.slots import Slots
from control_api.audit.repository import AuditRepository
from control_api.audit.service import AuditLog
from control_api.audit.trail import AuditTrail
from control_api.clock import Clock, utc_now
from control_api.credits.administration import Administration
from control_api.credits.charging import Charging
from control_api.credits.ledger import Ledger
from control_api.credits.platform_repository import PlatformRepository
from control_api.credits.prices import PriceList
from control_api.credits.repository import CreditRepository
from control_api.credits.service import Credits
from control_api.credits.token_usage import TokenUsage
from control_api.domains.repository import DomainRepository
from control_api.domains.service import Domains
from control_api.idempotency.repository import IdempotencyRecords
from control_api.idempotency.sealed_answer import AnswerSeal
from control_api.idempotency.service import Idempotency
from control_api.identity.wiring import close_identity, wire_identity
from control_api.images.repository import PrintedCodeRepository
from control_api.images.service import Images
from control_api.jobs.repository import JobRepository
from control_api.jobs.service import JobBoard
from control_api.projects.repository import ProjectRepository
from control_api.projects.service import Projects
from control_api.qr_codes.bans import CodeBans
from control_api.qr_codes.catalogue import CodeCatalogue
from control_api.qr_codes.change_code import CodeChanges
from control_api.qr_codes.create_code import CodeCreation
from control_api.qr_codes.dry_run import DryRun
from control_api.qr_codes.moves import CodeMoves
from control_api.qr_codes.password import PasswordMill
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.rollback import CodeHistory
from control_api.qr_codes.scheduling import ScheduledChanges
from control_api.qr_codes.service import QrCodes
from control_api.qr_codes.target_policy import TargetPolicy
from control_api.qr_codes.versions import VersionWriter
from control_api.rate_limits.admission import Admission
from control_api.rate_limits.local_buckets import LocalBuckets
from control_api.rate_limits.model import Limit
from control_api.rate_limits.service import RateLimits
from control_api.rate_limits.shared_buckets import SharedBuckets
from control_api.request_log.repository import RequestRepository
from control_api.request_log.service import Logs
from control_api.request_log.writer import RequestLog
from control_api.settings import ApiSettings
from control_api.system.service import Health
from control_api.web.body_limit import BodyLimit
from control_api.web.head_as_get import HeadAsGet
from control_api.web.json_answer import JsonAnswer
from control_api.web.openapi import complete_openapi
from control_api.web.problem import answer_problems
from control_api.web.reference_page import serve_reference
from control_api.web.request_frame import RequestFrame
from control_api.web.request_metrics import RequestMetrics
from scanhop.client_facts.client_address import TrustedNetworks
from scanhop.client_facts.device import DeviceReader
from scanhop.client_facts.geo import GeoReader
from scanhop.stores.clickhouse import ClickHouse
from scanhop.stores.domains import DomainCache, DomainTable
from scanhop.stores.postgres import Postgres
from scanhop.stores.redis import Redis, open_redis, redis_errors
from scanhop.stores.routes import RouteCache, RouteTable
from scanhop.stores.scan_counters import ScanCountTable
from scanhop.wire.short_codes import generate_code

BULK_PATH = "/v1/qr-codes/bulk"
MAX_BULK_BYTES = 5 << 20
DESCRIPTION = """QR codes, whose targets can change after printing, and what is known of their scans.

`/v1/public` needs no key, `/v1` the key of a workspace or the access token of one of its members, `/v1/admin` the
platform-admin key or the access token of a platform admin. An access token works in the user's personal workspace
unless the header `Scanhop-Workspace` names another that they are in."""


class Stores:
    """The clients of the application; each connects on first use."""

    def __init__(self, settings: ApiSettings) -> None:
        self.postgres = Postgres(
            settings.postgres_dsn,
            max_connections=settings.postgres_connections,
            command_timeout_s=settings.postgres_timeout_s,
            connect_timeout_s=settings.postgres_connect_timeout_s,
        )
        self.redis: Redis = open_redis(settings.redis_url, timeout_s=settings.redis_timeout_s)
        self.redis_for_limits: Redis = open_redis(settings.redis_url, timeout_s=settings.rate_timeout_s)
        self.clickhouse = ClickHouse(settings.clickhouse_url, timeout_s=settings.clickhouse_timeout_s)

    async def ping_redis(self) -> None:
        with redis_errors():
            await self.redis.ping()

    async def close(self) -> None:
        await self.postgres.close()
        await self.redis.aclose()
        await self.redis_for_limits.aclose()
        await self.clickhouse.close()


def build_app(settings: ApiSettings, clock: Clock = utc_now) -> FastAPI:
    """The application, ready to serve; connects to nothing before the first request."""
    stores = Stores(settings)
    app = FastAPI(
        title="Scanhop",
        version=settings.version,
        description=DESCRIPTION,
        lifespan=_lifespan(stores),
        default_response_class=JsonAnswer,
        redirect_slashes=False,
        strict_content_type=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    _wire(app, settings, stores, clock)
    _wire_credits(app, stores, clock)
    routers = [
        control_api.system.endpoints.router,
        *control_api.identity.endpoints.routers,
        control_api.projects.endpoints.router,
        control_api.qr_codes.bulk_endpoints.router,
        control_api.qr_codes.endpoints.router,
        control_api.qr_codes.dry_run_endpoints.router,
        control_api.qr_codes.admin_endpoints.router,
        control_api.qr_codes.history_endpoints.router,
        control_api.images.endpoints.router,
        control_api.analytics.endpoints.router,
        control_api.analytics.live_endpoints.router,
        control_api.analytics.query_endpoints.router,
        control_api.analytics.report_endpoints.router,
        control_api.domains.endpoints.router,
        control_api.credits.endpoints.router,
        control_api.credits.admin_endpoints.router,
        control_api.jobs.endpoints.router,
        control_api.audit.endpoints.router,
        control_api.request_log.endpoints.router,
    ]
    for router in routers:
        app.include_router(router)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, by_path={BULK_PATH: MAX_BULK_BYTES})
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestFrame, metrics=app.state.metrics, on_finished=app.state.request_log.record)
    answer_problems(app, _allowed_methods(routers))
    complete_openapi(app)
    serve_reference(app)
    return app


def _wire(app: FastAPI, settings: ApiSettings, stores: Stores, clock: Clock) -> None:
    """What the endpoints find in `app.state`."""
    state = app.state
    state.settings = settings
    state.clock = clock
    state.metrics = RequestMetrics()
    state.admission = _admission(settings, stores, state.metrics)
    seal = AnswerSeal(settings.seal_keys)
    at_once = max(1, settings.postgres_connections // 2)
    state.idempotency = Idempotency(stores.postgres, IdempotencyRecords(), seal, clock, at_once=at_once)
    wire_identity(state, settings, stores.postgres, stores.redis, clock)
    state.domains = Domains(
        stores.postgres,
        DomainRepository(),
        DomainTable(stores.postgres),
        DomainCache(stores.redis),
        AuditTrail(),
        clock,
        settings.public_url,
    )
    state.audit_log = AuditLog(stores.postgres, AuditRepository())
    state.request_log = RequestLog(RequestRepository(stores.clickhouse), state.metrics, clock)
    state.logs = Logs(RequestRepository(stores.clickhouse), clock)
    _wire_codes(app, settings, stores, clock)
    state.images = Images(stores.postgres, PrintedCodeRepository(), settings.public_url)
    scans = ScanStore(stores.clickhouse)
    state.live = LiveScans(scans, Slots(settings.max_listeners, settings.max_listeners_each), clock)
    state.code_names = CodeCatalogue(stores.postgres)
    state.reports = Reports(scans, state.code_names)
    state.platform = Platform(stores.postgres, scans, clock)
    state.scan_queries = ScanQueries(scans, Slots(settings.max_exports, settings.max_exports_each))
    state.health = Health(
        {"postgres": stores.postgres.ping, "redis": stores.ping_redis, "clickhouse": stores.clickhouse.ping},
        settings.probe_timeout_s,
    )


def _admission(settings: ApiSettings, stores: Stores, metrics: RequestMetrics) -> Admission:
    limits = RateLimits(
        SharedBuckets(stores.redis_for_limits),
        LocalBuckets(),
        metrics,
        Limit("default", settings.rate_per_second, settings.rate_burst),
    )
    return Admission(limits, settings.limits_key, TrustedNetworks(settings.trusted_proxies))


def _wire_codes(app: FastAPI, settings: ApiSettings, stores: Stores, clock: Clock) -> None:
    """Once the domains are there."""
    state, postgres, repository = app.state, stores.postgres, QrCodeRepository()
    audit = AuditTrail()
    writer = VersionWriter(postgres, repository, RouteCache(stores.redis), audit)
    policy = TargetPolicy(settings.public_url, settings.target_allow_hosts, settings.target_block_hosts)
    mill = PasswordMill()
    parts = (postgres, repository, writer, policy, state.domains, mill, clock)
    state.qr_codes = QrCodes(postgres, repository)
    state.code_creation = CodeCreation(*parts, generate_code)
    state.code_changes = changes = CodeChanges(*parts)
    state.projects = Projects(postgres, ProjectRepository(), CodeMoves(repository, changes), audit, clock)
    state.code_bans = CodeBans(postgres, repository, changes)
    state.dry_run = DryRun(
        state.qr_codes,
        RouteTable(postgres),
        ScanCountTable(postgres),
        DeviceReader(cached=100),
        GeoReader(settings.geoip_path),
        settings.ab_secret,
        clock,
    )
    state.code_history = CodeHistory(postgres, repository, changes)
    state.scheduled_changes = ScheduledChanges(postgres, repository, writer, changes, audit, clock)


def _wire_credits(app: FastAPI, stores: Stores, clock: Clock) -> None:
    state, postgres, audit = app.state, stores.postgres, AuditTrail()
    repository, platform = CreditRepository(), PlatformRepository()
    ledger = Ledger(postgres)
    state.audit_trail = audit
    state.prices = PriceList(postgres, platform, clock)
    state.charging = Charging(postgres, ledger, state.prices)
    state.token_usage = TokenUsage(ledger, state.prices)
    state.credits = Credits(postgres, repository, ledger, audit, clock)
    state.credit_administration = Administration(postgres, repository, platform, ledger, state.credits, audit, clock)
    state.jobs = JobBoard(postgres, JobRepository(), audit, clock)


def _lifespan(stores: Stores) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        writing = asyncio.create_task(app.state.request_log.run())
        yield
        await app.state.request_log.close()
        await writing
        await close_identity(app.state)
        await stores.close()

    return lifespan


def _allowed_methods(routers: Iterable[APIRouter]) -> Mapping[str, str]:
    """The methods of each path, for `Allow`: each is a route of its own, and none knows of the others.

    HEAD is answered wherever GET is.
    """
    methods: dict[str, set[str]] = defaultdict(set)
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                names = route.methods or set()
                methods[route.path] |= names | ({"HEAD"} if "GET" in names else set())
    return {path: ", ".join(sorted(allowed)) for path, allowed in methods.items()}
