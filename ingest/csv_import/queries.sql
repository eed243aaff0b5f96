-- name: find_domain
-- The domain on which the codes of a file are.
SELECT id, code_case FROM domains WHERE host = $1 AND verified_at IS NOT NULL;

-- name: list_codes_by_short_code
-- The codes of some names on one domain, deleted ones too; in one workspace where one is named.
SELECT id, workspace_id, user_id, project_id, domain_id, short_code
FROM qr_codes
WHERE domain_id = $1 AND short_code = ANY ($2::text[]) AND ($3::uuid IS NULL OR workspace_id = $3);

-- name: list_codes_by_id
-- The codes of some ids; in one workspace where one is named.
SELECT id, workspace_id, user_id, project_id, domain_id, short_code
FROM qr_codes
WHERE id = ANY ($1::uuid[]) AND ($2::uuid IS NULL OR workspace_id = $2);

-- name: list_known_events
-- Which of some events of some codes are in ClickHouse already.
SELECT event_id
FROM qr_scan_events
WHERE (workspace_id, qr_id) IN {keys:Array(Tuple(UUID, UUID))}
  AND scanned_at >= fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC')
  AND scanned_at <= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')
  AND event_id IN {event_ids:Array(UUID)};

-- name: count_accounts
-- Whether a batch was accepted once.
SELECT count() FROM scan_batches WHERE batch_id = {batch_id:UUID};
