"""What URL and headers of a request say."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scanhop.devstack.clickhouse_front.statement import DEFAULT_FORMAT

# Read by the front (or meaningless to it); every other parameter is a setting.
_TRANSPORT = frozenset(
    {
        *("query", "database", "default_format", "query_id", "wait_end_of_query", "buffer_size", "compress"),
        *("decompress", "session_id", "session_timeout", "session_check", "close_session", "client_protocol_version"),
        *("quota_key", "user", "password", "role", "stacktrace", "send_progress_in_http_headers"),
        *("http_headers_progress_interval_ms", "enable_http_compression"),
        "cancel_http_readonly_queries_on_client_close",
    }
)
_COMMA = re.compile(r",(?![^()]*\))")  # not one inside Decimal(9, 2)
_EXTERNAL_TABLE_SUFFIXES = ("_format", "_structure", "_types")


@dataclass(frozen=True)
class Envelope:
    """A request but for its body. `headers` by lower-case name."""

    method: str
    fields: Sequence[tuple[str, str]]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class QueryRequest:
    """`settings` hold for this statement; `parameters` are bound to `{name:Type}` by the engine, without prefix."""

    query: str
    database: str | None
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    query_id: str
    default_format: str = DEFAULT_FORMAT
    wait_end_of_query: bool = False
    cancel_with_client: bool = False
    encodings: Sequence[str] = ()
    content_encoding: str = ""
    content_type: str = ""
    native_compression: bool = False
    in_session: bool = False
    external_tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def parse_request(
    envelope: Envelope, form_fields: Sequence[tuple[str, str]] = (), uploads: Sequence[str] = ()
) -> QueryRequest:
    """`uploads` are the names of files in the form, each an external table.

    A query in URL and form is one statement, the URL's part first.
    """
    fields = (*envelope.fields, *form_fields)
    headers = envelope.headers
    values = dict(fields)
    external = {name: _external_table(name, values) for name in uploads}
    ours = _TRANSPORT | {name + suffix for name in uploads for suffix in _EXTERNAL_TABLE_SUFFIXES}
    settings = {name: value for name, value in fields if name not in ours and not name.startswith("param_")}
    if envelope.method in ("GET", "HEAD"):
        settings |= {"readonly": "2"}  # as on a server, GET changes nothing
    return QueryRequest(
        query="\n".join(value for name, value in fields if name == "query"),
        database=values.get("database") or headers.get("x-clickhouse-database"),
        settings=settings,
        parameters={name.removeprefix("param_"): value for name, value in fields if name.startswith("param_")},
        query_id=values.get("query_id") or str(uuid.uuid4()),
        default_format=values.get("default_format") or headers.get("x-clickhouse-format") or DEFAULT_FORMAT,
        wait_end_of_query=_is_on(values, "wait_end_of_query"),
        cancel_with_client=_is_on(values, "cancel_http_readonly_queries_on_client_close"),
        encodings=_encodings(headers) if _is_on(values, "enable_http_compression") else (),
        content_encoding=headers.get("content-encoding", "").strip().lower(),
        content_type=headers.get("content-type", ""),
        native_compression=_is_on(values, "compress") or _is_on(values, "decompress"),
        in_session="session_id" in values,
        external_tables=external,
    )


def _is_on(values: Mapping[str, str], name: str) -> bool:
    return values.get(name, "0").lower() in ("1", "true")


def _encodings(headers: Mapping[str, str]) -> list[str]:
    accepted = headers.get("accept-encoding", "").split(",")
    return [encoding.partition(";")[0].strip().lower() for encoding in accepted]


def _external_table(name: str, values: Mapping[str, str]) -> dict[str, str]:
    structure = values.get(f"{name}_structure", "")
    types = values.get(f"{name}_types", "")
    if not structure and types:
        structure = ", ".join(f"_{place} {kind}" for place, kind in enumerate(_COMMA.split(types), 1))
    return {"structure": structure, "format": values.get(f"{name}_format") or DEFAULT_FORMAT}
