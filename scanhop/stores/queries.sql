-- name: find_route
-- The edge's look-up of a scanned code.
SELECT * FROM edge_routes_v1 WHERE domain_id = $1 AND short_code = $2;

-- name: find_route_by_id
-- The worker's look-up of a code to publish.
SELECT * FROM edge_routes_v1 WHERE qr_id = $1;

-- name: list_routes_by_id
-- The same of many.
SELECT * FROM edge_routes_v1 WHERE qr_id = ANY ($1);

-- name: list_routes
-- Every code there is, in the order they lie.
SELECT * FROM edge_routes_v1;

-- name: list_salts
-- The salts of yesterday, today and tomorrow that ingest keys visitors with.
SELECT day, salt FROM visitor_salts;

-- name: create_salt
-- The first to make a day's salt wins.
INSERT INTO visitor_salts (day, salt) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING;

-- name: delete_salts_before
-- After this nobody can tell who a visitor of those days was.
DELETE FROM visitor_salts WHERE day < $1;

-- name: list_domains
-- The verified domains, for an edge that cannot ask Redis.
SELECT id, host, code_case, not_found_url FROM edge_domains_v1 ORDER BY host;

-- name: list_domains_with_version
-- The same with the version of the set, from one snapshot; one row of NULLs beside it where there are none.
SELECT s.set_version, d.id, d.host, d.code_case, d.not_found_url
FROM (SELECT sum(version)::bigint AS set_version FROM domains) s
LEFT JOIN edge_domains_v1 d ON true
ORDER BY d.host;

-- name: find_scan_count
-- What a code's counter stood at when it was last persisted.
SELECT scans FROM scan_counts WHERE qr_id = $1;

-- name: persist_scan_counts
-- A count never goes back, and one that did not move writes nothing; codes are locked in one order.
INSERT INTO scan_counts (qr_id, scans)
SELECT moved.qr_id, moved.scans
FROM unnest($1::uuid[], $2::bigint[]) AS moved (qr_id, scans)
JOIN qr_codes q ON q.id = moved.qr_id
ORDER BY moved.qr_id
ON CONFLICT (qr_id) DO UPDATE SET scans = excluded.scans, updated_at = now() WHERE scan_counts.scans < excluded.scans;

-- name: list_limited_codes
-- The codes after $1 whose answer depends on how often they were scanned, with what is persisted of each.
SELECT q.id AS qr_id, q.workspace_id, coalesce(c.scans, 0) AS scans
FROM qr_codes q
LEFT JOIN scan_counts c ON c.qr_id = q.id
WHERE (q.max_scans IS NOT NULL OR q.rules @> '[{"when": [{"field": "scans"}]}]')
  AND q.id > $1
ORDER BY q.id
LIMIT $2;

-- name: find_limited_code
-- The same of one code.
SELECT q.id AS qr_id, q.workspace_id, coalesce(c.scans, 0) AS scans
FROM qr_codes q
LEFT JOIN scan_counts c ON c.qr_id = q.id
WHERE (q.max_scans IS NOT NULL OR q.rules @> '[{"when": [{"field": "scans"}]}]')
  AND q.id = $1;
