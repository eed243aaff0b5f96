"""Errors as `application/problem+json` (RFC 9457).

Code that cannot do as asked raises Problem; everything else that goes wrong is turned into one here.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from control_api.web.problem_catalogue import ProblemKind
from scanhop.stores.errors import StoreUnavailable
from scanhop.telemetry.logs import get_logger

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
MAX_NAME = 100
_MAX_LISTED = 50
_BY_STATUS = {
    400: ProblemKind.BAD_REQUEST,
    401: ProblemKind.UNAUTHENTICATED,
    404: ProblemKind.NOT_FOUND,
    405: ProblemKind.METHOD_NOT_ALLOWED,
    413: ProblemKind.BODY_TOO_LARGE,
    415: ProblemKind.UNSUPPORTED_MEDIA_TYPE,
}


class InvalidParameter(BaseModel):
    """One thing that is wrong with the request."""

    name: str = Field(description="Where: the name of a parameter, or the path of a field in the body")
    reason: str


class ProblemDocument(BaseModel):
    """What an error answers (RFC 9457)."""

    type: str = Field(examples=["urn:scanhop:error:not_found"])
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for")
    code: str = Field(description="For programs; never changes its meaning", examples=["not_found"])
    invalid_parameters: list[InvalidParameter] | None = None


class Problem(Exception):
    """The request cannot be done, for a reason that its sender is told."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        invalid_parameters: Sequence[InvalidParameter] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.invalid_parameters = invalid_parameters
        self.headers = headers


class InvalidParts(ValueError):
    """What the validator of a field raises when it knows of several faults inside: (path in the body, reason)."""

    def __init__(self, parts: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {reason}" for path, reason in parts))
        self.parts = parts


def not_found(what: str) -> Problem:
    return Problem(ProblemKind.NOT_FOUND, f"There is no such {what}.")


def invalid_parameter(name: str, reason: str) -> Problem:
    return Problem(
        ProblemKind.INVALID_PARAMETERS,
        f"{name}: {reason}",
        invalid_parameters=[InvalidParameter(name=name, reason=reason)],
    )


def problem_response(scope: Scope, problem: Problem) -> Response:
    kind = problem.kind
    document: dict[str, Any] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": quote(scope["path"], safe="/:@-._~!$&'()*+,;="),
        "code": kind.code,
    }
    if problem.invalid_parameters:
        document["invalid_parameters"] = [each.model_dump() for each in problem.invalid_parameters]
    return Response(orjson.dumps(document), kind.status, problem.headers, MEDIA_TYPE)


def problem_responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: what it may answer besides what it is for."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(f"`{kind.code}`: {kind.title}")
    return {status: {"model": ProblemDocument, "description": "; ".join(listed)} for status, listed in titles.items()}


def answer_problems(app: FastAPI, allowed_methods: Mapping[str, str]) -> None:
    """Has `app` answer every error as a problem. `allowed_methods`: the `Allow` header of each path template."""

    async def answer_problem(request: Request, error: Exception) -> Response:
        return problem_response(request.scope, _problem_from(error, request.scope, allowed_methods))

    for kind in (Problem, HTTPException, RequestValidationError, StoreUnavailable):
        app.add_exception_handler(kind, answer_problem)


def _problem_from(error: Exception, scope: Scope, allowed_methods: Mapping[str, str]) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _problem_from_validation(error)
        case HTTPException():
            return _problem_from_http(error, scope, allowed_methods)
        case _:
            return _problem_from_store(error)


def _problem_from_store(error: Exception) -> Problem:
    get_logger().warning("store_unavailable", error=str(error))
    store = str(error).partition(":")[0]
    return Problem(
        ProblemKind.STORE_UNAVAILABLE,
        f"The API cannot reach {store} at present; try again.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def _problem_from_http(error: HTTPException, scope: Scope, allowed_methods: Mapping[str, str]) -> Problem:
    kind = _BY_STATUS.get(error.status_code, ProblemKind.BAD_REQUEST)
    if kind is ProblemKind.NOT_FOUND:
        return Problem(kind, "There is nothing at this path.")
    if kind is ProblemKind.METHOD_NOT_ALLOWED:
        allow = allowed_methods.get(getattr(scope.get("route"), "path", ""), (error.headers or {}).get("Allow", ""))
        return Problem(kind, f"{scope['path']} answers {allow} only.", headers={"Allow": allow})
    return Problem(kind, str(error.detail) or HTTPStatus(kind.status).phrase, headers=error.headers)


def _problem_from_validation(error: RequestValidationError) -> Problem:
    """A path that cannot name anything is not found; the rest is listed, without the values that were sent."""
    found = error.errors()
    if any(each["loc"][0] == "path" for each in found):
        return not_found("object")
    listed = _list_invalid(found)
    detail = "; ".join(f"{each.name}: {each.reason}" for each in listed[:3])
    return Problem(ProblemKind.INVALID_PARAMETERS, detail, invalid_parameters=listed)


def _list_invalid(found: Sequence[Any]) -> list[InvalidParameter]:
    return [one for each in found[:_MAX_LISTED] for one in _invalid_parameters(each)][:_MAX_LISTED]


def invalid_parameters_of(found: Sequence[Any]) -> list[InvalidParameter]:
    """What pydantic says of an object, as it would be said of a body that it is the whole of."""
    return _list_invalid([{**each, "loc": ("body", *each["loc"])} for each in found])


def _invalid_parameters(error: Mapping[str, Any]) -> list[InvalidParameter]:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InvalidParts):
        return [InvalidParameter(name=path[:MAX_NAME], reason=reason) for path, reason in cause.parts]
    where, *rest = error["loc"]
    name = ".".join(str(part) for part in rest) or str(where)
    unknown = error["type"] == "extra_forbidden"
    reason = "there is no such field" if unknown else str(error["msg"]).removeprefix("Value error, ")
    return [InvalidParameter(name=name[:MAX_NAME], reason=reason)]
