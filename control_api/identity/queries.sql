-- name: create_user
-- Nothing is returned when somebody has the address.
INSERT INTO users (id, email, name, role, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (lower(email)) DO NOTHING
RETURNING id, email, name, role, created_at, updated_at;

-- name: list_users
-- A page of users, newest first, after the cursor ($1, $2).
SELECT id, email, name, role, created_at, updated_at
FROM users
WHERE deleted_at IS NULL
  AND (created_at, id) < (coalesce($1::timestamptz, 'infinity'),
                          coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: find_user
-- One user who is not deleted.
SELECT id, email, name, role, created_at, updated_at
FROM users
WHERE id = $1 AND deleted_at IS NULL;

-- name: create_workspace
-- A workspace without members yet.
INSERT INTO workspaces (id, name, personal, timezone, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5);

-- name: find_workspace
-- One workspace.
SELECT id, name, personal, timezone, created_at
FROM workspaces
WHERE id = $1;

-- name: create_membership
-- Makes a user a member of a workspace.
INSERT INTO memberships (workspace_id, user_id, role, created_at)
VALUES ($1, $2, $3, $4);

-- name: create_api_key
-- A key that may do everything in its workspace.
INSERT INTO api_keys (workspace_id, id, user_id, name, secret_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: find_api_key
-- The key with that id, whatever its workspace: it is what says which workspace is meant.
-- A key whose user is no longer a member opens nothing.
SELECT k.id, k.workspace_id, k.user_id, m.role, k.secret_hash, k.scopes, k.expires_at, k.last_used_at, k.revoked_at
FROM api_keys k
JOIN users u ON u.id = k.user_id
JOIN memberships m ON m.workspace_id = k.workspace_id AND m.user_id = k.user_id
WHERE k.id = $1 AND u.deleted_at IS NULL;

-- name: record_key_use
-- Notes that a key was used, unless that was noted after $4.
UPDATE api_keys
SET last_used_at = $3
WHERE workspace_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $4);
