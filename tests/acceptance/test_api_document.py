"""docs/api.md, run by a shell against a running product, block by block, and held against the OpenAPI document.

How the document is read: a bold `METHOD /path` says that the next block of commands calls that route; a comment such
as `# 404 not_found` (or `# 403` of the edge) behind a command, that it is answered so; a block of JSON, what the last
answer of the commands before it looks like.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from control_api.web.permissions import PERMISSIONS, Role
from tests.product import Product

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
_BLOCK = re.compile(r"```(sh|json)\n(.*?)```", re.DOTALL)
_ROUTE = re.compile(r"\*\*`(GET|POST|PUT|PATCH|DELETE)\s+(/[^`]*)`\*\*")
_EXPECTED = re.compile(r"# (\d{3})(?: (\w+))?$", re.MULTILINE)

# Every call of curl is told in a file; everything else about it stays as the document has it. Who sleeps waits for a
# scan to be counted.
_PRELUDE = """
curl() { command curl "$@" -w '%{stderr}%{method} %{response_code} %{url}\\n' 2>>"$CALLS"; }
sleep() { until [ "$(analytics | field total_scans)" -gt 0 ]; do command sleep 0.1; done; }
analytics() { command curl -s $API/v1/qr-codes/$ID/analytics -H "X-API-Key: $KEY"; }
between() { printf '\\n%s\\n' "$MARK"; echo "$MARK" >>"$CALLS"; }
"""
_MARK = "--- the next block ---"


@dataclass(frozen=True)
class Block:
    """Commands, with the routes that the text before them announces, and the JSON that follows them, if any."""

    routes: tuple[str, ...]
    commands: str
    answer: str | None

    @property
    def errors(self) -> list[tuple[int, str]]:
        return [(int(status), code) for status, code in _EXPECTED.findall(self.commands)]


@dataclass(frozen=True)
class Call:
    """One call of curl, as it went."""

    method: str
    status: int
    url: str


@dataclass(frozen=True)
class Run:
    """What a block of commands called and wrote."""

    block: Block
    calls: list[Call]
    output: str


@dataclass(frozen=True)
class Told:
    """The whole document, run."""

    runs: list[Run]
    api_url: str
    routes: set[str]

    def route_of(self, call: Call) -> str | None:
        """Of the API's routes, the one with the fewest parameters in its path; None for a call of something else."""
        if not call.url.startswith(self.api_url):
            return None
        path = call.url.removeprefix(self.api_url).partition("?")[0]
        fitting = [route for route in self.routes if _fits(route, call.method, path)]
        return min(fitting, key=lambda route: route.count("{"), default=f"{call.method} {path}")


def blocks() -> Iterator[Block]:
    found = list(_BLOCK.finditer(TEXT))
    end = 0
    for match, following in zip(found, [*found[1:], None], strict=True):
        if match[1] == "sh":
            routes = tuple(f"{method} {path}" for method, path in _ROUTE.findall(TEXT[end : match.start()]))
            is_shown = following is not None and following[1] == "json"
            yield Block(routes, match[2], following[2] if following is not None and is_shown else None)
        end = match.end() if match[1] == "sh" else end


BLOCKS = list(blocks())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("api")
    with Product(folder / ".scanhop", {"SCANHOP_LOG_LEVEL": "warning"}, "--demo") as product:
        script = _PRELUDE + "between\n".join(block.commands for block in BLOCKS)
        script = script.replace("http://127.0.0.1:8000", product.api_url, 1)
        script = script.replace("http://127.0.0.1:8080", product.edge_url, 1)
        environment = os.environ | {"CALLS": str(folder / "calls"), "MARK": _MARK}
        result = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, timeout=120, check=False
        )
        with product.api() as client:
            document = client.get("/openapi.json").json()
    assert result.returncode == 0, result.stderr.decode()
    assert not result.stderr, result.stderr.decode()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    calls = (folder / "calls").read_text().split(f"{_MARK}\n")
    outputs = result.stdout.decode(errors="replace").split(f"\n{_MARK}\n")
    runs = [Run(block, list(_calls(lines)), text) for block, lines, text in zip(BLOCKS, calls, outputs, strict=True)]
    return Told(runs, product.api_url, routes)


def test_every_route_is_documented_once(told: Told) -> None:
    documented = [route for block in BLOCKS for route in block.routes]
    assert sorted(documented) == sorted(told.routes)


def test_every_documented_route_is_called_by_the_commands_after_it(told: Told) -> None:
    missing = {route for run in told.runs for route in run.block.routes if route not in map(told.route_of, run.calls)}
    assert missing == set()


def test_no_command_calls_a_route_that_does_not_exist(told: Told) -> None:
    called = {told.route_of(call) for run in told.runs for call in run.calls} - {None}
    assert called <= told.routes


def test_every_command_succeeds_but_those_that_say_otherwise(told: Told) -> None:
    wrong = {}
    for run in told.runs:
        failed = [call for call in run.calls if not 200 <= call.status < 400]
        if [call.status for call in failed] != [status for status, _ in run.block.errors]:
            wrong[run.block.commands] = (failed, run.output)
    assert wrong == {}


def test_every_error_has_the_code_that_the_document_says(told: Told) -> None:
    for run in told.runs:
        codes = [each["code"] for each in _json_in(run.output) if "urn:scanhop:error" in str(each.get("type"))]
        assert codes == [code for _, code in run.block.errors if code], run.block.commands


def test_every_answer_looks_as_it_is_shown(told: Told) -> None:
    shown = [run for run in told.runs if run.block.answer is not None]
    assert shown
    for run in shown:
        answer, wanted = list(_json_in(run.output))[-1], json.loads(run.block.answer or "")
        assert wanted.keys() == answer.keys(), run.block.commands
        assert list(_differences(wanted, answer)) == [], run.block.commands


def test_the_table_of_roles_is_that_of_the_api() -> None:
    rows = dict(re.findall(r"^\| `?(\w+)`? \| (.*) \|$", TEXT.partition("| role |")[2], re.MULTILINE))
    named = {role: set(re.findall(r"`([\w-]+:\w+)`", text)) for role, text in rows.items()}
    everybody = named.pop("everybody")
    told_scopes = {role: scopes | everybody for role, scopes in named.items()}
    told_scopes |= {"owner": set(PERMISSIONS), "admin": set(PERMISSIONS) - named["admin"]}
    assert told_scopes == {str(role): {name for name, roles in PERMISSIONS.items() if role in roles} for role in Role}


def _calls(lines: str) -> Iterator[Call]:
    for line in lines.splitlines():
        method, status, url = line.split(" ", 2)
        yield Call(method, int(status), url)


def _fits(route: str, method: str, path: str) -> bool:
    wanted, _, template = route.partition(" ")
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
    return method == wanted and re.fullmatch(pattern, path) is not None


def _json_in(output: str) -> Iterator[dict[str, Any]]:
    """The objects among what was written, one behind another."""
    decoder, at = json.JSONDecoder(), output.find("{")
    while at >= 0:
        try:
            found, at = decoder.raw_decode(output, at)
            yield found
        except json.JSONDecodeError:
            at += 1
        at = output.find("{", at)


def _differences(shown: object, real: object, place: str = "") -> Iterator[str]:
    """Names that the answer does not have, and values of another kind. Deeper in, a part may be shown alone."""
    match shown, real:
        case dict(), dict():
            for name, value in shown.items():
                if name in real:
                    yield from _differences(value, real[name], f"{place}.{name}")
                else:
                    yield f"{place}.{name} is not there"
        case [first, *_], [real_first, *_]:
            yield from _differences(first, real_first, f"{place}.0")
        case [_, *_], _:
            yield f"{place} is empty"
        case _ if None not in (shown, real) and type(shown) is not type(real):
            yield f"{place} is {real!r}"
