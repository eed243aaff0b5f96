"""Every answer in every test is one that the OpenAPI document describes: its status, and the code of its problem."""

import re
from typing import Any

import httpx
from fastapi import FastAPI

PROBLEM = "application/problem+json"
# (pattern of `method path`, operation), of the first application: all have the same, and it takes a while to make.
_operations: list[tuple[re.Pattern[str], dict[str, Any]]] = []


def checks_of(app: FastAPI) -> dict[str, list[Any]]:
    """Hooks for a client. A path or a method that the document does not know is not looked at."""

    async def check(answer: httpx.Response) -> None:
        operation = _find_operation(app, answer.request)
        if operation is None:
            return
        name = f"{answer.status_code} of {operation['operationId']}"
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None, f"the document does not know the {name}"
        if answer.headers.get("content-type") == PROBLEM and answer.request.method != "HEAD":
            await answer.aread()
            code = answer.json()["code"]
            assert f"`{code}`" in described["description"], f"the document does not know {code}, a {name}"

    return {"response": [check]}


def _find_operation(app: FastAPI, request: httpx.Request) -> dict[str, Any] | None:
    method = "get" if request.method == "HEAD" else request.method.lower()
    asked = f"{method} {request.url.raw_path.decode().partition('?')[0]}"
    return next((operation for pattern, operation in _known(app) if pattern.fullmatch(asked)), None)


def _known(app: FastAPI) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Paths with fewer parameters first."""
    if not _operations:
        paths = sorted(app.openapi()["paths"].items(), key=lambda each: each[0].count("{"))
        for path, methods in paths:
            for method, operation in methods.items():
                pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(f"{method} {path}"))
                _operations.append((re.compile(pattern), operation))
    return _operations
