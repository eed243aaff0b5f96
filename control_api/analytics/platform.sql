-- name: count_platform
-- Users, workspaces, and codes by status, of all tenants: for the platform admin.
SELECT (SELECT count(*) FROM users WHERE deleted_at IS NULL) AS users,
       (SELECT count(*) FROM workspaces) AS workspaces,
       (SELECT coalesce(jsonb_object_agg(status, codes), '{}')
        FROM (SELECT status, count(*) AS codes FROM qr_codes GROUP BY status) AS by_status) AS codes;

-- name: name_workspaces
-- What workspaces are called: for the platform admin.
SELECT id, name FROM workspaces WHERE id = ANY ($1::uuid[]);
