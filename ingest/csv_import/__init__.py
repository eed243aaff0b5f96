"""`scanhop import scans FILE`: scans that another system counted become rows, each once, whatever ends the program.

    read        scan_file    bytes to lines: gzip, encoding, delimiter, quotes
    normalise   normalise    a line to what it says: columns, times, closed lists; or why it is turned away
    dedupe      identity     which scan it is, always the same; row_store counts the same ones of a file
    plan        plan         all rows to frozen batches on disk, and the manifest that fixes them
    load        load         the batches to ClickHouse, as often as it takes

An import is a directory under `imports/` of the data directory:

    no manifest.json     planning: nothing was sent; the next run deletes it and plans anew
    manifest.json        planned: its batches are sent as they are, under their tokens; the next run goes on with them
    N.batch              not accepted yet; deleted when it is
    N.parked             ClickHouse refused its data for good; kept, the others go on

Invariants:
- A scan's identity is its source, its fields and its number among the equal rows of its file; the `event_id` follows
  from that. What ClickHouse has already is left out of the plan. So a row, a file or a part of it that comes again
  changes nothing; two equal rows in one file are two scans.
- One import at a time on a data directory, and those that were begun are finished first: between a plan and its last
  batch nobody else adds the same scans.
- A batch has at most 50,000 rows of one UTC month. Its token follows from its rows.
- Memory does not grow with the file: rows lie in a SQLite file between reading and freezing.

ClickHouse away: tried again, then the command ends, and the next run goes on. Postgres away while codes are looked
up: the command ends before anything is sent. The disk full: likewise.
"""
