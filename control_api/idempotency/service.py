"""One effect, one answer for each key: see the package's invariants."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from control_api.clock import Clock
from control_api.idempotency.repository import IdempotencyRecords
from control_api.idempotency.request_print import InvalidKey, hash_request, parse_key, record_id_of
from control_api.idempotency.sealed_answer import Answer, AnswerSeal, UnreadableAnswer
from control_api.web.authentication import Caller
from control_api.web.guarded_route import IDEMPOTENCY_KEY, Handler
from control_api.web.problem import Problem, invalid_parameter
from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.postgres import Connection, Postgres

REPLAYED = "Idempotency-Replayed"
RETRY_AFTER_S = 1
Run = Callable[[], Awaitable[Response]]
_RENEWED = b"content-length"  # what Starlette writes anew with each answer


class _Answered(Exception):
    """The answer is there already, or it is no success and must not be kept: either way the transaction is undone."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True)
class _Asked:
    """A request as it is known by its record."""

    record_id: bytes
    request_hash: bytes
    at: datetime


class Idempotency:
    """Raises what `handle` raises, and Problem, StoreUnavailable."""

    def __init__(
        self, postgres: Postgres, records: IdempotencyRecords, seal: AnswerSeal, clock: Clock, *, at_once: int
    ) -> None:
        """`at_once`: how many changes may hold a connection; the others wait for them, without one."""
        self._postgres = postgres
        self._records = records
        self._seal = seal
        self._clock = clock
        self._reading: set[bytes] = set()
        self._places = asyncio.Semaphore(at_once)

    async def answer(
        self, request: Request, caller: Caller, key: str, handle: Handler, *, only_reads: bool
    ) -> Response:
        """What `handle` answers, or what it answered before."""
        try:
            record_id = record_id_of(principal_of(caller), parse_key(key))
        except InvalidKey as error:
            raise invalid_parameter(IDEMPOTENCY_KEY, str(error)) from None
        sent = request.scope["method"], request.scope["path"], request.scope["query_string"]
        asked = _Asked(record_id, hash_request(*sent, await request.body()), self._clock())
        try:
            async with self._postgres.connection() as connection:
                await self._require_new(connection, asked)
            return await (self._read if only_reads else self._change)(asked, lambda: handle(request))
        except _Answered as answered:
            return answered.response

    async def _change(self, asked: _Asked, run: Run) -> Response:
        async with self._postgres.joined_transaction(
            first=lambda connection: self._claim(connection, asked), places=self._places
        ):
            response = await run()
            if not _is_success(response):
                raise _Answered(response)
            await self._keep(asked, response)
        return response

    async def _read(self, asked: _Asked, run: Run) -> Response:
        if asked.record_id in self._reading:
            raise _in_use()
        self._reading.add(asked.record_id)
        try:
            response = await run()
            if _is_success(response):
                await self._keep(asked, response)
            return response
        finally:
            self._reading.remove(asked.record_id)

    async def _claim(self, connection: Connection, asked: _Asked) -> None:
        if not await self._records.try_lock(connection, asked.record_id):
            raise _in_use()
        await self._require_new(connection, asked)

    async def _require_new(self, connection: Connection, asked: _Asked) -> None:
        """Raises _Answered, or Problem where the key belongs to another request."""
        found = await self._records.find(connection, asked.record_id, asked.at)
        if found is not None:
            raise _Answered(self._replay(asked, *found))

    async def _keep(self, asked: _Asked, response: Response) -> None:
        if isinstance(response, StreamingResponse):
            return
        sealed = self._seal.seal(asked.record_id, _answer_from(response))
        async with self._postgres.connection() as connection:
            await self._records.put(connection, asked.record_id, asked.at, asked.request_hash, sealed)

    def _replay(self, asked: _Asked, first_hash: bytes, sealed: bytes) -> Response:
        if asked.request_hash != first_hash:
            detail = f"The {IDEMPOTENCY_KEY} came with another request before; use a new one."
            raise Problem(ProblemKind.IDEMPOTENCY_KEY_REUSED, detail)
        try:
            return _response_from(self._seal.open(asked.record_id, sealed))
        except UnreadableAnswer:
            detail = "The request was done before. Its answer cannot be read any more: the secret key is another now."
            raise Problem(ProblemKind.ANSWER_UNREADABLE, detail) from None


def principal_of(caller: Caller) -> str:
    """A key or a user, in one workspace; or the platform admin."""
    return f"{getattr(caller, 'workspace_id', None)} {caller.actor}"


def _is_success(response: Response) -> bool:
    return 200 <= response.status_code < 300


def _in_use() -> Problem:
    return Problem(
        ProblemKind.IDEMPOTENCY_KEY_IN_USE,
        "The first request with this key is still running; send it again in a moment.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _answer_from(response: Response) -> Answer:
    headers = [(name, value) for name, value in response.raw_headers if name != _RENEWED]
    return Answer(response.status_code, headers, bytes(response.body))


def _response_from(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    length = [(name, value) for name, value in response.raw_headers if name == _RENEWED]
    response.raw_headers = [*answer.headers, *length, (REPLAYED.lower().encode(), b"true")]
    return response
