-- name: record_audit
-- One change; $1 is the workspace it belongs to, NULL for the platform's own affairs.
INSERT INTO audit_log (workspace_id, id, at, actor, action, object_id, changes, reason, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: list_audit
-- A page of a workspace's changes, newest first, after the cursor ($2, $3).
SELECT id, workspace_id, at, actor, action, object_id, changes, reason, request_id
FROM audit_log
WHERE workspace_id = $1
  AND (at, id) < (coalesce($2::timestamptz, 'infinity'),
                  coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  AND ($5::text IS NULL OR action = $5)
  AND ($6::text IS NULL OR actor = $6)
  AND ($7::text IS NULL OR object_id = $7)
  AND ($8::timestamptz IS NULL OR at >= $8)
  AND ($9::timestamptz IS NULL OR at < $9)
ORDER BY at DESC, id DESC
LIMIT $4;

-- name: list_all_audit
-- The same for the platform admin: of the workspace $1, or of all and the platform's own when it is NULL.
SELECT id, workspace_id, at, actor, action, object_id, changes, reason, request_id
FROM audit_log
WHERE ($1::uuid IS NULL OR workspace_id = $1)
  AND (at, id) < (coalesce($2::timestamptz, 'infinity'),
                  coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
  AND ($5::text IS NULL OR action = $5)
  AND ($6::text IS NULL OR actor = $6)
  AND ($7::text IS NULL OR object_id = $7)
  AND ($8::timestamptz IS NULL OR at >= $8)
  AND ($9::timestamptz IS NULL OR at < $9)
ORDER BY at DESC, id DESC
LIMIT $4;
