"""Scans become rows: read a sealed segment, enrich once, freeze, insert once, acknowledge, delete.

One segment is one batch is one block is one insert, under one deduplication token. What each step leaves on disk
says where to go on after a crash:

    N.sealed             not frozen yet: enrich and freeze
    N.sealed + N.batch   frozen: send these bytes under their token until ClickHouse accepts them
    N.parked             ClickHouse refused it for good: kept for an operator, the others go on
    N.acked              accepted; kept for a grace period, then deleted (with N.sealed, if that is still there)

What did not become rows, and how an operator hands it back, is told in `ingest.dead_letters` and `ingest.replay`.

A batch is never enriched twice, re-cut, merged or skipped because "its rows are there already": the rollups may lack
what the raw table has, and only the same insert again makes both whole.

When ClickHouse is away or fails, the spool waits and the same batch is sent again, after pauses that grow up to a
bound; a batch that fails again and again holds up no other. When Postgres is away, the salts at hand last until
tomorrow; segments that need others wait for them, frozen batches go on. When the disk refuses the frozen file, the
segment waits.
"""
