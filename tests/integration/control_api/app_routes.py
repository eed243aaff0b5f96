"""The routes of the application as they are, with what each demands of its caller."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from control_api.web.authentication import Guard
from control_api.web.guarded_route import GuardedRoute

PUBLIC = re.compile(r"/v1/public/|/$|/openapi\.json$|/docs$")
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class AppRoute:
    """`guards`: the scopes it demands, None among them for a platform admin; there should be one."""

    method: str
    path: str
    guards: tuple[str | None, ...]
    is_guarded_class: bool
    body_schema: dict[str, Any] | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        return PUBLIC.match(self.path) is not None

    @property
    def is_admin(self) -> bool:
        return self.guards == (None,)

    @property
    def scope(self) -> str:
        (scope,) = self.guards
        assert scope is not None
        return scope

    @property
    def parameters(self) -> list[str]:
        return PARAMETER.findall(self.path)

    def url(self, **values: str) -> str:
        return PARAMETER.sub(lambda found: values[found[1]], self.path)


def routes_of(app: FastAPI) -> list[AppRoute]:
    """Every route of the API, hidden ones too."""
    operations = app.openapi()["paths"]
    return [
        AppRoute(
            method,
            route.path,
            tuple(each.call.scope for each in route.dependant.dependencies if isinstance(each.call, Guard)),
            isinstance(route, GuardedRoute),
            _body_schema(operations.get(route.path, {}).get(method.lower(), {})),
        )
        for route in _api_routes(app.routes)
        for method in sorted(route.methods or ())
    ]


def _api_routes(routes: Any) -> Iterator[APIRoute]:
    """Routers may be kept as they were included."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from _api_routes(inner.routes)


def _body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return schema
