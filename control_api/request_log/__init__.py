"""Who asked the API for what, and what it answered: a row for each request in ClickHouse, kept for 90 days.

Invariants:
- A row holds the method, the template of the route, status, duration, caller and request id: never a body, a query
  string, a path or an address. Health and metrics are not logged.
- No request waits for its row: rows wait in a bounded buffer and go out in batches. What does not fit is dropped and
  counted (`scanhop_api_request_log_rows_total`). A crash loses the rows of the last second.
- A batch that ClickHouse may or may not have is sent again under its token, and stands there once.

When ClickHouse is away rows wait until the buffer is full; the API answers as ever, but for the log itself (503).
"""
