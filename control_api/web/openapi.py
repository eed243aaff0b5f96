"""The OpenAPI document says what errors are: `application/problem+json`, never FastAPI's own shape."""

from typing import Any

from fastapi import FastAPI

from control_api.web.problem import MEDIA_TYPE, ProblemDocument

_PROBLEM = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")
_EVERYWHERE = {
    "500": "`internal_error`: Something went wrong on our side",
    "503": "`store_unavailable`: A store is unavailable",
}


def describe_problems(app: FastAPI) -> None:
    """Puts what FastAPI generates into the form of what the API answers."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                _describe(operation["responses"])
        for name in _FASTAPI_ERRORS:
            document["components"]["schemas"].pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(responses: dict[str, Any]) -> None:
    for status, description in _EVERYWHERE.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
