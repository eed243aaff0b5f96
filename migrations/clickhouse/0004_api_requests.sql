-- The requests that the control API answered: never bodies, query strings or addresses. Zero UUIDs and empty texts
-- where nobody or a platform admin asked.
CREATE TABLE IF NOT EXISTS api_requests (
    time         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    id           UUID CODEC(ZSTD(1)),
    request_id   String CODEC(ZSTD(1)),
    workspace_id UUID CODEC(ZSTD(1)),
    user_id      UUID CODEC(ZSTD(1)),
    key_id       LowCardinality(String),
    is_admin     Bool,
    method       LowCardinality(String),
    route        LowCardinality(String),
    status       UInt16,
    duration_ms  Float32,
    sent_bytes   UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (workspace_id, time, id)
TTL toDateTime(time) + INTERVAL 90 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000;
