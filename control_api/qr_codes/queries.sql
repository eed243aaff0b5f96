-- name: create_qr_code
-- Nothing is returned when the short code has ever been given out on the domain.
INSERT INTO qr_codes (workspace_id, id, user_id, domain_id, short_code, name, qr_type, target_url, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
ON CONFLICT (domain_id, short_code) DO NOTHING
RETURNING id, workspace_id, project_id, name, qr_type AS type, short_code, target_url, status, redirect_status,
          version, tags, created_at, updated_at;

-- name: list_qr_codes
-- A page of a workspace's codes in the given states, newest first, after the cursor ($3, $4).
SELECT id, workspace_id, project_id, name, qr_type AS type, short_code, target_url, status, redirect_status,
       version, tags, created_at, updated_at
FROM qr_codes
WHERE workspace_id = $1
  AND status = ANY ($2::text[])
  AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'),
                          coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $5;

-- name: find_qr_code
-- One code that is not deleted.
SELECT id, workspace_id, project_id, name, qr_type AS type, short_code, target_url, status, redirect_status,
       version, tags, created_at, updated_at
FROM qr_codes
WHERE workspace_id = $1 AND id = $2 AND status <> 'deleted';

-- name: lock_qr_code
-- The same, held until the end of the transaction: what is decided by it stays true.
SELECT id, workspace_id, project_id, name, qr_type AS type, short_code, target_url, status, redirect_status,
       version, tags, created_at, updated_at
FROM qr_codes
WHERE workspace_id = $1 AND id = $2 AND status <> 'deleted'
FOR UPDATE;

-- name: update_qr_code
-- The next version of a code; a parameter that is NULL leaves its column as it is.
UPDATE qr_codes
SET version = version + 1,
    updated_at = $3,
    name = coalesce($4, name),
    target_url = coalesce($5, target_url),
    status = coalesce($6, status)
WHERE workspace_id = $1 AND id = $2
RETURNING id, workspace_id, project_id, name, qr_type AS type, short_code, target_url, status, redirect_status,
          version, tags, created_at, updated_at;

-- name: delete_qr_code
-- The last version of a code: the row stays, so that its short code is never given out again.
UPDATE qr_codes
SET version = version + 1, updated_at = $3, deleted_at = $3, status = 'deleted'
WHERE workspace_id = $1 AND id = $2;

-- name: record_version
-- What the code says by now, who made it say so ($4) and why ($5).
INSERT INTO qr_code_history (qr_id, version, workspace_id, changed_at, changed_by, reason, snapshot)
SELECT q.id, q.version, q.workspace_id, $3, $4, $5, to_jsonb(q) - 'password_hash'
FROM qr_codes q
WHERE q.workspace_id = $1 AND q.id = $2;
