"""chDB, one connection per statement.

Invariants: the anchor connection keeps the engine open; every statement has its own connection, used by one thread at
a time and closed when its answer is read or given up. Opening one costs a fifth of a millisecond.

A directory that another process has open: chDB raises at construction. Every failing statement: `QueryFailed`.
"""

import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import chdb
from chdb.state.sqlitelike import Connection

from scanhop.devstack.clickhouse_front.body import DataFile, StatementBody
from scanhop.devstack.clickhouse_front.failure import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    UNKNOWN_FORMAT,
    UNKNOWN_SETTING,
    QueryFailed,
    failure_from_engine,
    refusal,
)
from scanhop.devstack.clickhouse_front.request import QueryRequest
from scanhop.devstack.clickhouse_front.statement import DEFAULT_FORMAT, InsertWithData, Statement, parse_statement

# chDB starts as clickhouse-local does; a server has these.
SERVER_DEFAULTS = {"implicit_select": "0", "allow_introspection_functions": "0"}
# Output formats that are Python objects in chDB's interface, not formats of ClickHouse.
PYTHON_FORMATS = frozenset({"arrowtable", "dataframe", "datastore"})
HELD_IN_MEMORY = 16 << 20
PIECE = 1 << 20
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Result(Protocol):
    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def elapsed(self) -> float: ...


@dataclass(frozen=True)
class Answer:
    """A statement's result. `format_name` None: no result set. `close` it in the end, read or not."""

    format_name: str | None
    chunks: Iterator[bytes]
    close: Callable[[], None]
    summary: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """`database` is the default database, made if absent; `scratch` takes what is too large for memory."""

    def __init__(self, directory: Path, database: str, scratch: Path) -> None:
        self._path = str(directory)
        self._database = database
        self._scratch = scratch
        self._anchor = chdb.connect(self._path)
        self._anchor.query(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}")
        self.timezone = self._anchor.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()
        self.version = self._anchor.query("SELECT version()", "TabSeparated").bytes().decode().strip()

    def answer(self, request: QueryRequest, body: StatementBody, uploads: Mapping[str, bytes], mark: str) -> Answer:
        """Run a statement. `mark` names it for `cancel`. Raises QueryFailed."""
        settings = request.settings if body.insert is None else _insert_settings(request.settings)
        connection = self._connect(request.database, settings, mark)
        try:
            self._create_external_tables(connection, request, uploads)
            if body.insert is not None and body.data is not None:
                return _insert(connection, request, body.insert, body.data)
            return self._run(connection, request, parse_statement(body.text))
        except QueryFailed:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            raise failure_from_engine(error) from error

    def cancel(self, mark: str) -> None:
        """End the read with this mark, if it still runs; anything that writes goes on, as on a server."""
        self._kill(f"Settings['log_comment'] = {quote_string(mark)} AND query_kind = 'Select'")

    def cancel_all(self) -> None:
        self._kill("1")

    def close(self) -> None:
        self._anchor.close()

    def _connect(self, database: str | None, settings: Mapping[str, str], mark: str) -> Connection:
        # A comment of the client's own is kept; such a statement cannot be cancelled.
        settings = {"log_comment": mark} | SERVER_DEFAULTS | dict(settings)
        connection = chdb.connect(self._path)
        try:
            use = f"USE {quote_identifier(database or self._database)}"
            connection.query(f"{use}; {_set_statement(settings)}")
        except QueryFailed:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            raise failure_from_engine(error) from error
        return connection

    def _kill(self, condition: str) -> None:
        with chdb.connect(self._path) as connection:
            connection.query(f"KILL QUERY WHERE {condition} ASYNC")

    def _run(self, connection: Connection, request: QueryRequest, statement: Statement) -> Answer:
        _refuse_what_is_missing(request, statement)
        format_name = (statement.format_name or request.default_format) if statement.returns_rows else None
        if statement.is_streamable(request.default_format):
            chunks = self._stream(connection, request, statement.text)
            return Answer(format_name, chunks, connection.close)
        result = _query(connection, statement.text, request.default_format, request.parameters)
        data = result.bytes()
        format_name = format_name or (request.default_format if data else None)
        return Answer(format_name, _pieces(data), connection.close, _summary(result))

    def _stream(self, connection: Connection, request: QueryRequest, text: bytes) -> Iterator[bytes]:
        # bytes: see _query
        stream = connection.send_query(text, request.default_format, dict(request.parameters))  # type: ignore[arg-type]
        chunks = _chunks(stream)
        # Errors found at once still get a status of their own; with wait_end_of_query all errors do.
        return self._held(chunks) if request.wait_end_of_query else _started(chunks)

    def _held(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        held = tempfile.SpooledTemporaryFile(HELD_IN_MEMORY, dir=str(self._scratch))  # noqa: SIM115 - _read closes it
        try:
            for chunk in chunks:
                held.write(chunk)  # writelines looks at the limit only at its end
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return _read(held)

    def _create_external_tables(
        self, connection: Connection, request: QueryRequest, uploads: Mapping[str, bytes]
    ) -> None:
        for name, table in request.external_tables.items():
            if not table["structure"]:
                raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", f"No structure or types for external table {name}")
            quoted = quote_identifier(name)
            connection.query(f"CREATE TEMPORARY TABLE {quoted} ({table['structure']})")
            insert = InsertWithData(f"INSERT INTO {quoted}".encode(), b"", table["format"], 0)
            data = DataFile(self._scratch)
            try:
                data.write(uploads[name])
                _query(connection, insert.from_file(data.path))
            finally:
                data.close()


def new_mark() -> str:
    return f"request-{uuid.uuid4()}"


def quote_identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quote_string(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _insert(connection: Connection, request: QueryRequest, insert: InsertWithData, data: DataFile) -> Answer:
    statement = insert.from_file(data.path)
    result = _query(connection, statement, parameters=request.parameters)
    return Answer(None, iter(()), connection.close, _summary(result))


def _query(
    connection: Connection,
    text: bytes,
    output_format: str = DEFAULT_FORMAT,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> _Result:
    """Text is bytes, as binary string literals need not be UTF-8; chDB takes it, though its annotation says str."""
    result: _Result = connection.query(text, output_format, dict(parameters))  # type: ignore[arg-type]
    return result


def _insert_settings(settings: Mapping[str, str]) -> Mapping[str, str]:
    """A server cuts an insert's rows into blocks by max_insert_block_size; reading from a file, by max_block_size."""
    if "max_insert_block_size" not in settings:
        return settings
    return {"max_block_size": settings["max_insert_block_size"], **settings}


def _set_statement(settings: Mapping[str, str]) -> str:
    """`readonly` comes last: after it nothing can be set."""
    for name in settings:
        if _SETTING_NAME.fullmatch(name) is None:
            raise refusal(UNKNOWN_SETTING, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    ordered = sorted(settings.items(), key=lambda item: item[0] == "readonly")
    return "SET " + ", ".join(f"{name} = {quote_string(value)}" for name, value in ordered)


def _summary(result: _Result) -> dict[str, str]:
    return {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "written_rows": str(result.rows_written()),
        "written_bytes": str(result.bytes_written()),
        "elapsed_ns": str(int(result.elapsed() * 1e9)),
    }


def _started(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, None)
    return iter(()) if first is None else chain((first,), chunks)


def _read(held: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    with held:
        while piece := held.read(PIECE):
            yield piece


def _pieces(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    return (bytes(view[start : start + PIECE]) for start in range(0, len(data), PIECE))


def _refuse_what_is_missing(request: QueryRequest, statement: Statement) -> None:
    """Better refused than without effect."""
    if request.default_format.lower() in PYTHON_FORMATS:
        raise refusal(UNKNOWN_FORMAT, "UNKNOWN_FORMAT", f"Unknown format {request.default_format}")
    if request.in_session and statement.changes_session:
        reason = "There are no sessions: give settings and database with each statement, and use no temporary tables"
        raise refusal(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", reason)


def _chunks(stream: Iterable[_Result]) -> Iterator[bytes]:
    """Raises QueryFailed for an error in mid-result."""
    try:
        for chunk in stream:
            yield chunk.bytes()
    except Exception as error:
        raise failure_from_engine(error) from error
