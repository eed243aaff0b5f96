"""Scans become rows: read a sealed segment, enrich once, freeze, insert once, acknowledge, delete.

One segment is one batch is one block is one insert, under one deduplication token. What each step leaves on disk
says where to go on after a crash:

    N.sealed             not frozen yet: enrich and freeze
    N.sealed + N.batch   frozen: send these bytes under their token until ClickHouse accepts them
    N.sealed + N.parked  ClickHouse refused it for good: kept for an operator, the others go on
    N.acked              accepted; kept for a grace period, then deleted (with N.sealed, if that is still there)

A batch is never enriched twice, re-cut, merged or skipped because "its rows are there already": the rollups may lack
what the raw table has, and only the same insert again makes both whole.

When ClickHouse is away the spool waits and the same batch is tried again, with growing pauses. When Postgres is
away, the salts at hand last until tomorrow; a process that has none waits for them. When the disk refuses the frozen
file, the segment waits.
"""
