-- name: create_domain
-- A domain that was deleted comes back as a new one, in its old row. Nothing is returned when the workspace has it.
INSERT INTO domains (workspace_id, id, host, code_case, not_found_url, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (workspace_id, host) DO UPDATE
SET version = domains.version + 1,
    code_case = excluded.code_case,
    not_found_url = excluded.not_found_url,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    deleted_at = NULL
WHERE domains.deleted_at IS NOT NULL
RETURNING id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at;

-- name: list_domains
-- A page of a workspace's domains, newest first, after the cursor ($2, $3).
SELECT id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at
FROM domains
WHERE workspace_id = $1
  AND deleted_at IS NULL
  AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'),
                          coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: find_domain
-- One domain of a workspace.
SELECT id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at
FROM domains
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL;

-- name: lock_domain
-- The same, held until the end of the transaction: no code gets onto it meanwhile.
SELECT id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at
FROM domains
WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL
FOR UPDATE;

-- name: lock_domain_by_id
-- For the platform admin, who verifies the domains of every workspace; the default domain is nobody's.
SELECT id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at
FROM domains
WHERE id = $1 AND workspace_id IS NOT NULL AND deleted_at IS NULL
FOR UPDATE;

-- name: hold_verified_domain
-- The verified domain with that host; it is not deleted before the end of the transaction.
SELECT id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at
FROM domains
WHERE workspace_id = $1 AND host = $2 AND verified_at IS NOT NULL
FOR SHARE;

-- name: update_domain
-- The next version of a domain.
UPDATE domains
SET version = version + 1, updated_at = $3, not_found_url = $4
WHERE workspace_id = $1 AND id = $2
RETURNING id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at;

-- name: verify_domain
-- From now on its host is this workspace's; fails on the unique index when it is another's.
UPDATE domains
SET version = version + 1, updated_at = $3, verified_at = $3
WHERE workspace_id = $1 AND id = $2
RETURNING id, workspace_id, host, code_case, not_found_url, verified_at, version, created_at, updated_at;

-- name: has_codes
-- Whether codes that are not deleted sit on a domain.
SELECT EXISTS (SELECT FROM qr_codes WHERE workspace_id = $1 AND domain_id = $2 AND status <> 'deleted');

-- name: delete_domain
-- The row stays, for the codes that were on it.
UPDATE domains
SET version = version + 1, updated_at = $3, deleted_at = $3, verified_at = NULL
WHERE workspace_id = $1 AND id = $2;
