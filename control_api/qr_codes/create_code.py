"""Creating codes, one or up to a thousand in one transaction.

Each is created or refused by itself. Passwords are hashed beforehand: a transaction never waits for that.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from control_api.audit.trail import AuditedChange
from control_api.clock import Clock, new_id
from control_api.qr_codes.code_words import draw_decent
from control_api.qr_codes.model import Author, NewQrCode, QrCode
from control_api.qr_codes.password import PasswordMill
from control_api.qr_codes.repository import QrCodeRepository
from control_api.qr_codes.target_policy import TargetPolicy, targets_in
from control_api.qr_codes.validity import require_window
from control_api.qr_codes.versions import VersionWriter
from control_api.web.problem import Problem, invalid_parameter
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection, Postgres
from scanhop.wire.ids import DEFAULT_DOMAIN_ID, DomainId, WorkspaceId
from scanhop.wire.short_codes import fold_code

MAX_CODE_ATTEMPTS = 10
CREATED = "qr_code.created"

_COLUMNS = (
    *("name", "type", "target_url", "project_id", "fallback_url", "redirect_status", "forward_query", "rules"),
    *("starts_at", "expires_at", "max_scans", "tags", "design", "type_data"),
)


class NoFreeShortCode(RuntimeError):
    """Random codes collided again and again: the domain is as good as full."""


class CodeDomain(Protocol):
    """A custom domain that codes can sit on."""

    @property
    def id(self) -> DomainId: ...

    @property
    def is_exact(self) -> bool:
        """Whether the letter case of its codes counts."""


class DomainDirectory(Protocol):
    """Knows the custom domains."""

    async def hold_usable(self, connection: Connection, workspace_id: WorkspaceId, host: str) -> CodeDomain | None:
        """The verified domain of the workspace with that host, kept until the transaction ends."""


class _Wanted:
    """One that is not refused so far; `row` by the names of the columns."""

    def __init__(self, place: int, new: NewQrCode, row: dict[str, Any]) -> None:
        self.place = place
        self.is_drawn = new.short_code is None
        self.row = row


class CodeCreation:
    """Raises StoreUnavailable, and NoFreeShortCode when there is none."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        postgres: Postgres,
        repository: QrCodeRepository,
        writer: VersionWriter,
        policy: TargetPolicy,
        domains: DomainDirectory,
        mill: PasswordMill,
        clock: Clock,
        generate_code: Callable[[], str],
    ) -> None:
        self._postgres = postgres
        self._repository = repository
        self._writer = writer
        self._policy = policy
        self._domains = domains
        self._mill = mill
        self._clock = clock
        self._generate_code = generate_code

    async def create(self, author: Author, new: NewQrCode) -> QrCode:
        """Raises Problem."""
        [outcome] = await self.create_many(author, [new])
        if isinstance(outcome, Problem):
            raise outcome
        return outcome

    async def create_many(self, author: Author, news: Sequence[NewQrCode]) -> list[QrCode | Problem]:
        """Of each the code, or why there is none. Of two that want the same short code the first gets it."""
        now = self._clock()
        hashes = await self._mill.hash_many([new.password for new in news])
        async with self._postgres.transaction() as connection:
            wanted, outcomes = await self._prepare(connection, author, news, hashes, now)
            created = await self._insert(connection, author, wanted, now)
            entries = [AuditedChange(code.id, _audited(code)) for code in created.values()]
            routes = await self._writer.record(connection, author, entries, now, CREATED) if entries else []
        await self._writer.publish(routes)
        taken = {each.place: _taken(each.row["short_code"]) for each in wanted}
        return [outcomes.get(place) or created.get(place) or taken[place] for place in range(len(news))]

    async def _prepare(
        self,
        connection: Connection,
        author: Author,
        news: Sequence[NewQrCode],
        hashes: Sequence[str | None],
        now: datetime,
    ) -> tuple[list[_Wanted], dict[int, QrCode | Problem]]:
        """Those that can be inserted, and the problems of the others by their places."""
        workspace_id = author.workspace_id
        domains = {
            host: await self._domains.hold_usable(connection, workspace_id, host)
            for host in sorted({new.domain for new in news if new.domain is not None})
        }
        projects = await self._repository.hold_projects(connection, workspace_id, (new.project_id for new in news))
        hosts = self._policy.hosts_of(target for new in news for target in targets_in(vars(new)))
        short_hosts = await self._repository.list_short_hosts(connection, hosts)
        wanted, problems = [], dict[int, QrCode | Problem]()
        for place, (new, password_hash) in enumerate(zip(news, hashes, strict=True)):
            try:
                require_window(new, sent=("starts_at", "expires_at"))
                self._policy.require(targets_in(vars(new)), short_hosts)
                if new.project_id is not None and new.project_id not in projects:
                    raise invalid_parameter("project_id", "is no project of the workspace")
                row = self._row(new, _require_domain(new, domains), password_hash, now)
            except Problem as problem:
                problems[place] = problem
            else:
                wanted.append(_Wanted(place, new, row))
        return wanted, problems

    def _row(
        self, new: NewQrCode, domain: CodeDomain | None, password_hash: str | None, now: datetime
    ) -> dict[str, Any]:
        code = new.short_code
        if code is None:
            code = draw_decent(self._generate_code)
        elif not (domain and domain.is_exact):
            code = fold_code(code)
        row = {name: getattr(new, name) for name in _COLUMNS}
        return row | {
            "id": new_id(now),
            "domain_id": domain.id if domain else DEFAULT_DOMAIN_ID,
            "short_code": code,
            "password_hash": password_hash,
        }

    async def _insert(
        self, connection: Connection, author: Author, wanted: Sequence[_Wanted], now: datetime
    ) -> dict[int, QrCode]:
        """By place; those whose short code is taken are left out. In one order: nobody waits in a circle."""
        created: dict[int, QrCode] = {}
        open_ones = sorted(wanted, key=lambda each: (each.row["domain_id"], each.row["short_code"]))
        for _ in range(MAX_CODE_ATTEMPTS):
            if not open_ones:
                return created
            codes = await self._repository.create(connection, author, [each.row for each in open_ones], now)
            by_id = {code.id: code for code in codes}
            created |= {each.place: by_id[each.row["id"]] for each in open_ones if each.row["id"] in by_id}
            open_ones = [each for each in open_ones if each.is_drawn and each.row["id"] not in by_id]
            for each in open_ones:
                each.row["short_code"] = draw_decent(self._generate_code)
        if open_ones:
            raise NoFreeShortCode(f"{MAX_CODE_ATTEMPTS} random codes in a row were taken")
        return created


def _require_domain(new: NewQrCode, domains: Mapping[str, CodeDomain | None]) -> CodeDomain | None:
    """None is the default domain. Raises Problem."""
    domain = None if new.domain is None else domains[new.domain]
    if new.domain is not None and domain is None:
        raise invalid_parameter("domain", "is no verified domain of the workspace")
    return domain


def _taken(short_code: str) -> Problem:
    return Problem(ProblemKind.SHORT_CODE_TAKEN, f"The short code '{short_code}' is taken.")


def _audited(code: QrCode) -> dict[str, Any]:
    return {"name": code.name, "short_code": code.short_code, "target_url": code.target_url}
