-- name: create_qr_code
-- Nothing is returned when the short code has ever been given out on the domain.
INSERT INTO qr_codes (workspace_id, id, user_id, domain_id, short_code, qr_type, created_at, updated_at, password_hash,
                      name, target_url, fallback_url, redirect_status, forward_query, rules, starts_at, expires_at,
                      max_scans, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (domain_id, short_code) DO NOTHING
RETURNING id, workspace_id, project_id, (SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
          name, qr_type AS type, short_code, target_url, fallback_url, status, redirect_status, forward_query, rules,
          starts_at, expires_at, max_scans, password_hash IS NOT NULL AS has_password, tags, version, created_at,
          updated_at;

-- name: list_qr_codes
-- A page of a workspace's codes in the given states, newest first, after the cursor ($3, $4).
SELECT id, workspace_id, project_id, (SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
       name, qr_type AS type, short_code, target_url, fallback_url, status, redirect_status, forward_query, rules,
       starts_at, expires_at, max_scans, password_hash IS NOT NULL AS has_password, tags, version, created_at,
       updated_at
FROM qr_codes
WHERE workspace_id = $1
  AND status = ANY ($2::text[])
  AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'),
                          coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $5;

-- name: find_qr_code
-- One code that is not deleted.
SELECT id, workspace_id, project_id, (SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
       name, qr_type AS type, short_code, target_url, fallback_url, status, redirect_status, forward_query, rules,
       starts_at, expires_at, max_scans, password_hash IS NOT NULL AS has_password, tags, version, created_at,
       updated_at
FROM qr_codes
WHERE workspace_id = $1 AND id = $2 AND status <> 'deleted';

-- name: lock_qr_code
-- The same, held until the end of the transaction: what is decided by it stays true.
SELECT id, workspace_id, project_id, (SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
       name, qr_type AS type, short_code, target_url, fallback_url, status, redirect_status, forward_query, rules,
       starts_at, expires_at, max_scans, password_hash IS NOT NULL AS has_password, tags, version, created_at,
       updated_at
FROM qr_codes
WHERE workspace_id = $1 AND id = $2 AND status <> 'deleted'
FOR UPDATE;

-- name: update_qr_code
-- The next version of a code, written whole; the password hash only where $5.
UPDATE qr_codes
SET version = version + 1,
    updated_at = $3,
    status = $4,
    password_hash = CASE WHEN $5 THEN $6 ELSE password_hash END,
    name = $7,
    target_url = $8,
    fallback_url = $9,
    redirect_status = $10,
    forward_query = $11,
    rules = $12,
    starts_at = $13,
    expires_at = $14,
    max_scans = $15,
    tags = $16
WHERE workspace_id = $1 AND id = $2
RETURNING id, workspace_id, project_id, (SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
          name, qr_type AS type, short_code, target_url, fallback_url, status, redirect_status, forward_query, rules,
          starts_at, expires_at, max_scans, password_hash IS NOT NULL AS has_password, tags, version, created_at,
          updated_at;

-- name: delete_qr_code
-- The last version of a code: the row stays, so that its short code is never given out again.
UPDATE qr_codes
SET version = version + 1, updated_at = $3, deleted_at = $3, status = 'deleted'
WHERE workspace_id = $1 AND id = $2;

-- name: record_version
-- What the code says by now, who made it say so ($4) and why ($5). Of a password only that there is one.
INSERT INTO qr_code_history (qr_id, version, workspace_id, changed_at, changed_by, reason, snapshot)
SELECT q.id, q.version, q.workspace_id, $3, $4, $5,
       to_jsonb(q) - 'password_hash' || jsonb_build_object('has_password', q.password_hash IS NOT NULL)
FROM qr_codes q
WHERE q.workspace_id = $1 AND q.id = $2;
