-- The raw scans: one row each, written by ingest in frozen batches under one deduplication token.
CREATE TABLE IF NOT EXISTS qr_scan_events (
    event_id      UUID CODEC(ZSTD(1)),
    batch_id      UUID CODEC(ZSTD(1)),
    workspace_id  UUID CODEC(ZSTD(1)),
    qr_id         UUID CODEC(ZSTD(1)),
    user_id       UUID CODEC(ZSTD(1)),
    project_id    UUID CODEC(ZSTD(1)),
    domain_id     UUID CODEC(ZSTD(1)),
    short_code    String CODEC(ZSTD(1)),
    route_version UInt64 CODEC(ZSTD(1)),
    scanned_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    outcome       LowCardinality(String),
    rule_id       LowCardinality(String),
    variant       LowCardinality(String),
    is_bot        Bool,
    bot_reason    LowCardinality(String),
    visitor       UInt64,
    ip            String CODEC(ZSTD(1)),
    country       LowCardinality(String),
    region        LowCardinality(String),
    city          LowCardinality(String),
    language      LowCardinality(String),
    device_type   LowCardinality(String),
    os            LowCardinality(String),
    browser       LowCardinality(String),
    user_agent    String CODEC(ZSTD(1)),
    referer       String CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(scanned_at)
ORDER BY (workspace_id, qr_id, scanned_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

-- The same rows under the names that the first design of the product gave them.
CREATE VIEW IF NOT EXISTS scan_logs AS
SELECT event_id AS id, qr_id, user_id, scanned_at, ip, country, city, device_type AS device, browser, os,
       referer AS referrer, user_agent
FROM qr_scan_events;

-- Per code and UTC day: `events` counts every row, everything else counted scans only.
CREATE TABLE IF NOT EXISTS daily_aggregates (
    workspace_id UUID,
    qr_id        UUID,
    date         Date,
    events       SimpleAggregateFunction(sum, UInt64),
    scans        SimpleAggregateFunction(sum, UInt64),
    devices      SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    os           SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    browsers     SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    countries    SimpleAggregateFunction(sumMap, Map(String, UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(date)
ORDER BY (workspace_id, qr_id, date)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS daily_aggregates_mv TO daily_aggregates AS
SELECT workspace_id,
       qr_id,
       toDate(scanned_at, 'UTC') AS date,
       count() AS events,
       countIf(outcome = 'redirect' AND NOT is_bot) AS scans,
       sumMapIf(map(toString(device_type), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS devices,
       sumMapIf(map(toString(os), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS os,
       sumMapIf(map(toString(browser), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS browsers,
       sumMapIf(map(toString(country), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS countries
FROM qr_scan_events
GROUP BY workspace_id, qr_id, date;

-- One row per accepted batch: what ingest says it sent, to be held against the tables above.
CREATE TABLE IF NOT EXISTS scan_batches (
    batch_id      UUID,
    spool_id      UUID,
    segment       UInt32,
    rows          UInt64,
    scans         UInt64,
    damaged       UInt64,
    first_scan_at DateTime64(3, 'UTC'),
    last_scan_at  DateTime64(3, 'UTC'),
    frozen_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(first_scan_at)
ORDER BY batch_id
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;
