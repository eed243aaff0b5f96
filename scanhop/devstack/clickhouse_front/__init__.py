"""An HTTP front over chDB that stands in for a ClickHouse server.

Owns: the part of ClickHouse's HTTP interface that clickhouse-connect's HTTP clients use, over the ClickHouse engine
as a library. Run as `python -m scanhop.devstack.clickhouse_front --data-dir DIR --port N --database NAME`.

The way of a request: `app` (ASGI) -> `request` (URL, headers) -> `body` (decompressed, statement and insert data
apart) -> `engine` (runs it in a thread, on a connection of its own) -> `answer` (chunks out).

Invariants:
- Each request has a fresh connection to the engine, closed at its end. So no setting, parameter or database of one
  request is seen by another, and no connection with an open result stream is asked anything else (chDB would answer
  with an empty result).
- An insert reaches the engine only when its body has arrived whole.
- Memory is bounded: insert data beyond a limit goes to an unnamed file, results flow through chunk by chunk.

What differs from a server: no users (any credentials pass), no sessions (a `session_id` is accepted, but SET, USE and
temporary tables under it are refused), no system log tables, KILL QUERY knows none of the client's query ids; results
in formats with a header or footer (JSON, Arrow, Parquet, ...WithNames) are held in memory whole.

When the engine cannot open its directory, or the port is taken, the process ends with a message in its log. When a
client goes away its read is cancelled; an insert is finished.
"""
