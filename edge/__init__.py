"""A scan comes in, a redirect goes out.

Owns: `GET|HEAD /r/{code}` and its answers, the worker's cache of routes, and the writing of scans into the spool.

Invariants: a scan is in the spool before its answer leaves; a cached route is used for at most its absolute
time-to-live while a store can be asked; nothing here depends on billing, plan or credits.

When Redis is away, routes come from Postgres. When Postgres is away, from Redis. When both are, from what this worker
remembers, however old; a code it does not remember is answered 503. When the disk refuses a scan, the phone is
redirected all the same and the scan is counted as lost, by reason.
"""
