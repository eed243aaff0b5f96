"""What FastAPI cannot know of is put into the OpenAPI document: errors as `application/problem+json`, what each route
answers beside its own errors, the header fields of rate limits and `Idempotency-Key`, an example of each body."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from control_api.web.authentication import WORKSPACE_HEADER
from control_api.web.problem import MEDIA_TYPE, ProblemDocument
from control_api.web.problem_catalogue import ProblemKind
from control_api.web.schema_example import example_of
from control_api.web.unlimited import UNLIMITED

Schema = dict[str, Any]

_PROBLEM = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_UNCOUNTED = {"413", "414", "431", "500"}  # answered before, or beside, the count of requests
_EVERYWHERE = (
    ProblemKind.BAD_REQUEST,
    ProblemKind.TARGET_TOO_LONG,
    ProblemKind.HEAD_TOO_LARGE,
    ProblemKind.INVALID_PARAMETERS,
    ProblemKind.INTERNAL_ERROR,
    ProblemKind.STORE_UNAVAILABLE,
)
_IDEMPOTENCY = (
    ProblemKind.IDEMPOTENCY_KEY_IN_USE,
    ProblemKind.ANSWER_UNREADABLE,
    ProblemKind.IDEMPOTENCY_KEY_REUSED,
)
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of your own for this request: sent again with the same key within 24 hours, it has its "
    "effect once and is answered as the first time, with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "6f1c2a4e-order-1042",
}
_WORKSPACE_PARAMETER = {
    "name": WORKSPACE_HEADER,
    "in": "header",
    "required": False,
    "description": "The id of the workspace to work in, of who is signed in: else it is their personal one. One that "
    "they are not in does not exist.",
    "schema": {"type": "string"},
    "example": "019ab2c4-5f00-7a3e-9d1c-0f4d2c1b9a77",
}


def _header(description: str, example: str, pattern: str | None = None) -> Schema:
    schema = {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}
    return {"description": description, "schema": schema, "example": example}


_HEADERS = {
    "X-Request-Id": _header("The same id stands in the log", "9d2f6f0c1f6b4a3e8f2b7c5d4e3f2a1b"),
    "RateLimit-Policy": _header(
        "q: requests at once; w: seconds until all of them are given back",
        '"default";q=200;w=2',
        r'^"\w+";q=[0-9]+;w=[0-9]+$',
    ),
    "RateLimit": _header(
        "r: requests left now; t: seconds until none counts any more",
        '"default";r=199;t=1',
        r'^"\w+";r=[0-9]+;t=[0-9]+$',
    ),
    "Retry-After": _header("Seconds to wait", "1", "^[0-9]+$"),
    "Idempotency-Replayed": _header("The answer is the one that was given before", "true", "^true$"),
}


def complete_openapi(app: FastAPI) -> None:
    """Puts what FastAPI generates into the form of what the API answers."""
    generate = app.openapi

    def openapi() -> Schema:
        if app.openapi_schema is None:
            document = generate()
            components = document.setdefault("components", {}).setdefault("schemas", {})
            for path, method, operation in operations_of(document):
                _complete(path, method, operation, components)
            document["components"]["headers"] = _HEADERS
            _write_bounds_whole(document)
            for name in _FASTAPI_ERRORS:
                components.pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _write_bounds_whole(node: Any) -> None:
    """FastAPI writes bounds of integers as 1.0, and code that is generated from that takes fractions."""
    if isinstance(node, list):
        for each in node:
            _write_bounds_whole(each)
    elif isinstance(node, dict):
        if node.get("type") == "integer":
            node.update({name: int(node[name]) for name in _BOUNDS & node.keys()})
        for each in node.values():
            _write_bounds_whole(each)


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    """(path, method in lower case, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: Schema, components: Schema) -> None:
    responses, is_limited = operation["responses"], path not in UNLIMITED
    _add_problems(responses, _EVERYWHERE)
    if is_limited:
        _add_problems(responses, (ProblemKind.RATE_LIMITED,))
    takes_key = method == "post" and "security" in operation
    if takes_key:
        operation.setdefault("parameters", []).append(_KEY_PARAMETER)
        _add_problems(responses, _IDEMPOTENCY)
    if "security" in operation and not path.startswith("/v1/admin/"):
        _add_problems(responses, (ProblemKind.NOT_FOUND,))
        if "{workspace_id}" not in path:
            operation.setdefault("parameters", []).append(_WORKSPACE_PARAMETER)
    if "requestBody" in operation:
        _add_examples(operation["requestBody"].get("content", {}), components)
    for status, response in responses.items():
        is_error = status.startswith(("4", "5"))
        if is_error:
            response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM, "examples": _problem_examples(path, response)}}
        else:
            _add_examples(response.get("content", {}), components)
        names = ["X-Request-Id"]
        names += ["RateLimit-Policy", "RateLimit"] if is_limited and status not in _UNCOUNTED else []
        names += ["Retry-After"] if status in ("429", "503") else []
        names += ["Idempotency-Replayed"] if takes_key and not is_error else []
        references = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = references | response.get("headers", {})


def _add_problems(responses: Schema, kinds: tuple[ProblemKind, ...]) -> None:
    for kind in kinds:
        response = responses.setdefault(str(kind.status), {"description": ""})
        line = f"`{kind.code}`: {kind.title}"
        if line not in response["description"]:
            known = "" if response["description"] == "Validation Error" else response["description"]
            response["description"] = "; ".join(filter(None, (known, line)))


def _problem_examples(path: str, response: Schema) -> Schema:
    """One for each kind that the description names."""
    return {
        kind.code: {"value": _problem_example(kind, path)}
        for kind in ProblemKind
        if f"`{kind.code}`" in response["description"]
    }


def _problem_example(kind: ProblemKind, path: str) -> Schema:
    instance = path.replace("{", "").replace("}", "")
    example: Schema = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": f"{kind.title}."}
    example |= {"instance": instance, "code": kind.code}
    if kind is ProblemKind.INVALID_PARAMETERS:
        reason = "Input should be a valid string"
        example |= {"detail": f"name: {reason}", "invalid_parameters": [{"name": "name", "reason": reason}]}
    return example


def _add_examples(content: Schema, components: Schema) -> None:
    for media_type, described in content.items():
        if media_type == "application/json" and not {"example", "examples"} & described.keys():
            described["example"] = example_of(described.get("schema", {}), components)
