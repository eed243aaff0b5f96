"""`Idempotency-Key`: a POST that is sent again has its effect once, and the same answer each time.

Invariants:
- A request with a key runs inside one Postgres transaction, and its record is inserted in that transaction: a crash
  at any moment leaves both the effect and the record, or neither. The transaction begins with the handler's first
  statement, so that what goes before, such as hashing a password, holds no connection. Of a process's connections
  they have half at most.
- Only answers of the 200s are kept. Any other answer rolls the transaction back, so the request may be sent again.
- A lock in Postgres, held until the transaction ends, lets one of several equal requests run; the others are told
  that it runs (409). Across all processes, without a record of what is running: a crash leaves no lock behind.
- A record belongs to one principal (key, user or platform admin, in one workspace): nobody meets another's.
- Answers are encrypted, all of them, for some hold secrets that are shown once. Keys are stored as a hash.
- Streamed answers are not kept: such a request runs again when it is sent again.
- A POST that only reads (`reads_only`) runs outside of any transaction, and its record is put when it is answered:
  equal ones in one process run once; where two processes get them at the same moment both run, and both are charged.

When Postgres is away nothing runs (503), and the request may be sent again with its key.
"""
