"""Whether the rollups say what the raw scans say, and how they are made to: reconciliation and rebuild.

Three tables tell of the same scans: `scan_batches` (what ingest had accepted, a line per batch), `qr_scan_events`
(raw) and `daily_aggregates` (fed by a view on raw). A batch lies in one UTC month; it may lie on several UTC days.

What makes an exact comparison possible while scans flow in, without stopping anybody:
- The line of a batch is written after its insert returned; an insert returns after its view was fed.
- Within an insert the raw part is committed before the rollup's.
- Raw is only appended to (but for its TTL; days that it may have touched are left out).

So a code's day is settled when as many of its rows as there are now, were already of batches with a line before its
rollup was read: all of them are in that reading, and nothing else is. Whatever differs then is wrong for good, not
under way. See `key_check`.
"""
