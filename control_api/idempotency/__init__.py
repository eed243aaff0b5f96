"""`Idempotency-Key`: a POST that is sent again has its effect once, and the same answer each time.

Invariants:
- A request with a key runs inside one Postgres transaction, and its record is inserted in that transaction: a crash
  at any moment leaves both the effect and the record, or neither.
- Only answers of the 200s are kept. Any other answer rolls the transaction back, so the request may be sent again.
- A lock in Postgres, held until the transaction ends, lets one of several equal requests run; the others are told
  that it runs (409). Across all processes, without a record of what is running: a crash leaves no lock behind.
- A record belongs to one principal (key, user or platform admin, in one workspace): nobody meets another's.
- Answers are encrypted, all of them, for some hold secrets that are shown once. Keys are stored as a hash.
- Streamed answers are not kept: such a request runs again when it is sent again.

When Postgres is away nothing runs (503), and the request may be sent again with its key.
"""
