-- name: record_audit
-- One change; $1 is the workspace it belongs to, NULL for the platform's own affairs.
INSERT INTO audit_log (workspace_id, id, at, actor, action, object_id, changes, reason, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);
