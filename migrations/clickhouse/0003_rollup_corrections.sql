-- What was added to daily_aggregates to make it say what the raw scans say; see scanhop/rollups. Counts are modulo
-- 2**64: one too many is corrected by 2**64 - 1.
CREATE TABLE IF NOT EXISTS rollup_corrections (
    correction_id UUID,
    workspace_id  UUID,
    qr_id         UUID,
    date          Date,
    events        UInt64,
    scans         UInt64,
    devices       Map(String, UInt64),
    os            Map(String, UInt64),
    browsers      Map(String, UInt64),
    countries     Map(String, UInt64),
    created_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (correction_id, workspace_id, qr_id, date)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- The corrections that are in daily_aggregates, or were given up.
CREATE TABLE IF NOT EXISTS settled_corrections (
    correction_id UUID,
    is_applied    Bool,
    settled_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY correction_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
