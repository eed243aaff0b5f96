-- name: create_project
-- A project without codes.
INSERT INTO projects (workspace_id, id, user_id, name, color, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
RETURNING id, workspace_id, name, color, 0 AS codes, version, created_at, updated_at;

-- name: list_projects
-- A page of a workspace's projects, newest first, after the cursor ($2, $3).
SELECT id, workspace_id, name, color, version, created_at, updated_at,
       (SELECT count(*) FROM qr_codes q WHERE q.project_id = projects.id AND q.status <> 'deleted') AS codes
FROM projects
WHERE workspace_id = $1
  AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'),
                          coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: find_project
-- One project.
SELECT id, workspace_id, name, color, version, created_at, updated_at,
       (SELECT count(*) FROM qr_codes q WHERE q.project_id = projects.id AND q.status <> 'deleted') AS codes
FROM projects
WHERE workspace_id = $1 AND id = $2;

-- name: lock_projects
-- Those of $2 that there are, held until the end of the transaction, in one order: no code gets into them meanwhile.
SELECT id, workspace_id, name, color, version, created_at, updated_at,
       (SELECT count(*) FROM qr_codes q WHERE q.project_id = projects.id AND q.status <> 'deleted') AS codes
FROM projects
WHERE workspace_id = $1 AND id = ANY ($2)
ORDER BY id
FOR UPDATE;

-- name: update_project
-- The next version of a project.
UPDATE projects
SET version = version + 1, updated_at = $3, name = $4, color = $5
WHERE workspace_id = $1 AND id = $2
RETURNING version, updated_at;

-- name: delete_project
-- Once no code is in it.
DELETE FROM projects WHERE workspace_id = $1 AND id = $2;
