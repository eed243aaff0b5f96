"""One effect, one answer for each key: see the package's invariants."""

from collections.abc import Awaitable, Callable

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
_RENEWED = b"content-length"  # what Starlette writes anew with each answer


class _NotKept(Exception):
    """An answer that is no success: it undoes the transaction."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Idempotency:
    """Raises what `handle` raises, and Problem, StoreUnavailable."""

    def __init__(self, postgres: Postgres, records: IdempotencyRecords, seal: AnswerSeal, clock: Clock) -> None:
        self._postgres = postgres
        self._records = records
        self._seal = seal
        self._clock = clock

    async def answer(self, request: Request, caller: Caller, key: str, handle: Handler) -> Response:
        """What `handle` answers, or what it answered before."""
        try:
            record_id = record_id_of(principal_of(caller), parse_key(key))
        except InvalidKey as error:
            raise invalid_parameter(IDEMPOTENCY_KEY, str(error)) from None
        asked = request.scope["method"], request.scope["path"], request.scope["query_string"]
        request_hash = hash_request(*asked, await request.body())
        try:
            async with self._postgres.joined_transaction() as connection:
                return await self._answer_once(connection, record_id, request_hash, lambda: handle(request))
        except _NotKept as refused:
            return refused.response

    async def _answer_once(
        self,
        connection: Connection,
        record_id: bytes,
        request_hash: bytes,
        run: Callable[[], Awaitable[Response]],
    ) -> Response:
        if not await self._records.try_lock(connection, record_id):
            raise _in_use()
        now = self._clock()
        found = await self._records.find(connection, record_id, now)
        if found is not None:
            return self._replay(record_id, request_hash, *found)
        response = await run()
        if not 200 <= response.status_code < 300:
            raise _NotKept(response)
        if not isinstance(response, StreamingResponse):
            sealed = self._seal.seal(record_id, _answer_from(response))
            await self._records.put(connection, record_id, now, request_hash, sealed)
        return response

    def _replay(self, record_id: bytes, request_hash: bytes, first_hash: bytes, sealed: bytes) -> Response:
        if request_hash != first_hash:
            detail = f"The {IDEMPOTENCY_KEY} came with another request before; use a new one."
            raise Problem(ProblemKind.IDEMPOTENCY_KEY_REUSED, detail)
        try:
            return _response_from(self._seal.open(record_id, sealed))
        except UnreadableAnswer:
            detail = "The request was done before. Its answer cannot be read any more: the secret key is another now."
            raise Problem(ProblemKind.ANSWER_UNREADABLE, detail) from None


def principal_of(caller: Caller) -> str:
    """A key or a user, in one workspace; or the platform admin."""
    return f"{getattr(caller, 'workspace_id', None)} {caller.actor}"


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
