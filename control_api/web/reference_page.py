"""`/docs`: the OpenAPI document as one page for people, without a script and without anything from elsewhere."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from control_api.web.openapi import operations_of

_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:6px}
summary{cursor:pointer;padding:.3rem 0}summary code{font-weight:600}details{border-bottom:1px solid #8884}
table{border-collapse:collapse}td{padding:.2rem .8rem .2rem 0;vertical-align:top}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def serve_reference(app: FastAPI) -> None:
    """Built when it is first asked for."""
    build_page = cache(lambda: reference_page(app.openapi()))

    async def get_reference(request: Request) -> Response:
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return Response(build_page(), media_type="text/html", headers=headers)

    app.add_route("/docs", get_reference, include_in_schema=False)


def reference_page(document: Mapping[str, Any]) -> str:
    info = document["info"]
    title, version = escape(info["title"]), escape(info["version"])
    by_tag: defaultdict[str, list[str]] = defaultdict(list)
    for path, method, operation in operations_of(document):
        by_tag[(operation.get("tags") or ["other"])[0]].append(_operation(path, method, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(entries)}" for tag, entries in by_tag.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title} API {version}</h1><p>{_text(info.get('description', ''))}"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a>{sections}'
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<p>{_text(operation.get('description', ''))}"]
    parts += [_table("Parameters", [_parameter(each) for each in operation.get("parameters", ())])]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    parts += [_example("Body", body)]
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            parts += [_example(f"Answer {status}", response.get("content", {}).get("application/json", {}))]
    answers = [(status, _text(response["description"])) for status, response in operation["responses"].items()]
    parts += [_table("Answers", answers)]
    head = f"<code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
    return f'<details id="{escape(operation["operationId"])}"><summary>{head}</summary>{"".join(parts)}</details>'


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str]:
    needed = ", needed" if parameter.get("required") else ""
    described = _text(parameter.get("description", ""))
    return f"<code>{escape(parameter['name'])}</code> ({parameter['in']}{needed})", described


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{left}<td>{right}" for left, right in rows)
    return f"<h4>{title}</h4><table>{cells}</table>" if rows else ""


def _example(title: str, described: Mapping[str, Any]) -> str:
    if described.get("example") is None:
        return ""
    text = orjson.dumps(described["example"], option=orjson.OPT_INDENT_2).decode()
    return f"<h4>{escape(title)}</h4><pre>{escape(text)}</pre>"


def _text(text: str) -> str:
    """Markdown's code marks and paragraphs; the rest as it is."""
    parts = escape(text).replace("\n\n", "<p>").split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
