-- name: columns
-- What every statement below answers of a code; a part of each.
qr_codes.id, qr_codes.workspace_id, qr_codes.project_id,
(SELECT host FROM domains WHERE domains.id = qr_codes.domain_id) AS domain,
qr_codes.name, qr_codes.qr_type AS type, qr_codes.short_code, qr_codes.target_url, qr_codes.fallback_url,
qr_codes.status, qr_codes.redirect_status, qr_codes.forward_query, qr_codes.rules, qr_codes.starts_at,
qr_codes.expires_at, qr_codes.max_scans, qr_codes.password_hash IS NOT NULL AS has_password, qr_codes.tags,
qr_codes.design, qr_codes.type_data, qr_codes.ban_reason, qr_codes.ban_note, qr_codes.version, qr_codes.created_at,
qr_codes.updated_at

-- name: create_qr_codes
-- Those whose short code was never given out on their domain; $4 is a list of them.
INSERT INTO qr_codes (workspace_id, id, user_id, domain_id, project_id, short_code, qr_type, created_at, updated_at,
                      password_hash, name, target_url, fallback_url, redirect_status, forward_query, rules, starts_at,
                      expires_at, max_scans, tags, design, type_data)
SELECT $1, n.id, $2, n.domain_id, n.project_id, n.short_code, n.type, $3, $3,
       n.password_hash, n.name, n.target_url, n.fallback_url, n.redirect_status, n.forward_query, n.rules, n.starts_at,
       n.expires_at, n.max_scans, n.tags, n.design, n.type_data
FROM jsonb_to_recordset($4)
     AS n (id uuid, domain_id uuid, project_id uuid, short_code text, type text, password_hash text, name text,
           target_url text, fallback_url text, redirect_status smallint, forward_query jsonb, rules jsonb,
           starts_at timestamptz, expires_at timestamptz, max_scans bigint, tags text[], design jsonb,
           type_data jsonb)
ON CONFLICT (domain_id, short_code) DO NOTHING
RETURNING {columns};

-- name: update_qr_codes
-- The next version of each code in $3, written whole; the password hash only where it is set. Lock them first.
UPDATE qr_codes
SET version = qr_codes.version + 1,
    updated_at = $2,
    deleted_at = CASE WHEN n.status = 'deleted' THEN coalesce(qr_codes.deleted_at, $2) END,
    status = n.status,
    ban_reason = n.ban_reason,
    ban_note = n.ban_note,
    project_id = n.project_id,
    password_hash = CASE WHEN n.sets_password THEN n.password_hash ELSE qr_codes.password_hash END,
    name = n.name,
    target_url = n.target_url,
    fallback_url = n.fallback_url,
    redirect_status = n.redirect_status,
    forward_query = n.forward_query,
    rules = n.rules,
    starts_at = n.starts_at,
    expires_at = n.expires_at,
    max_scans = n.max_scans,
    tags = n.tags,
    design = n.design,
    type_data = n.type_data
FROM jsonb_to_recordset($3)
     AS n (id uuid, status text, ban_reason text, ban_note text, project_id uuid, sets_password boolean,
           password_hash text, name text, target_url text, fallback_url text, redirect_status smallint,
           forward_query jsonb, rules jsonb, starts_at timestamptz, expires_at timestamptz, max_scans bigint,
           tags text[], design jsonb, type_data jsonb)
WHERE workspace_id = $1 AND qr_codes.id = n.id
RETURNING {columns};

-- name: record_versions
-- What each code says by now, who made it say so ($4) and why. Of a password only that there is one, and a mark that
-- tells it from the next. Answers what the edge is to know of them.
WITH recorded AS (
    INSERT INTO qr_code_history (qr_id, version, workspace_id, changed_at, changed_by, reason, snapshot)
    SELECT q.id, q.version, q.workspace_id, $3, $4, w.reason,
           to_jsonb(q) - 'password_hash'
           || jsonb_build_object('has_password', q.password_hash IS NOT NULL,
                                 'password_mark', left(encode(sha256(convert_to(q.password_hash, 'UTF8')), 'hex'), 16))
    FROM unnest($2::uuid[], $5::text[]) AS w (id, reason)
    JOIN qr_codes q ON q.workspace_id = $1 AND q.id = w.id
)
SELECT * FROM edge_routes_v1 WHERE workspace_id = $1 AND qr_id = ANY ($2);

-- name: find_qr_code
-- One code that is not deleted.
SELECT {columns}
FROM qr_codes
WHERE workspace_id = $1 AND id = $2 AND status <> 'deleted';

-- name: lock_qr_codes
-- Those of $2 that there are, deleted ones too, held until the end of the transaction, in one order.
SELECT {columns}
FROM qr_codes
WHERE workspace_id = $1 AND id = ANY ($2)
ORDER BY id
FOR UPDATE;

-- name: hold_projects
-- Those of $2 that there are; none is deleted before the end of the transaction. Before any code is locked.
SELECT id FROM projects WHERE workspace_id = $1 AND id = ANY ($2) ORDER BY id FOR SHARE;

-- name: lock_of_project
-- Some codes of a project, deleted ones too, held until the end of the transaction.
SELECT id, status FROM qr_codes WHERE workspace_id = $1 AND project_id = $2 ORDER BY id LIMIT $3 FOR UPDATE;

-- name: list_short_hosts
-- Which of the hosts are custom domains, of whatever workspace.
SELECT host FROM edge_domains_v1 WHERE host = ANY ($1);

-- name: find_domain
-- Which of the workspace's domains has the host.
SELECT id FROM domains WHERE workspace_id = $1 AND host = $2;

-- name: find_status_before
-- The last status of a code that is none of $3.
SELECT snapshot ->> 'status'
FROM qr_code_history
WHERE workspace_id = $1 AND qr_id = $2 AND NOT snapshot ->> 'status' = ANY ($3::text[])
ORDER BY version DESC
LIMIT 1;

-- name: find_status_before_ban
-- The last status of a code that was not under a ban; a code that is deleted meanwhile stays under it.
SELECT snapshot ->> 'status'
FROM qr_code_history
WHERE workspace_id = $1 AND qr_id = $2 AND snapshot ->> 'ban_reason' IS NULL
ORDER BY version DESC
LIMIT 1;

-- name: list_qr_codes
-- A page of a workspace's codes, by the order that the repository puts in. Of the parameters those that are NULL say
-- nothing, but for the status: without one it is all but the archived and the deleted, said so that without statistics
-- Postgres takes them for most, not for few that it could sort.
SELECT {columns}, {key} AS sort_key
FROM qr_codes
WHERE workspace_id = $1
  AND CASE WHEN $2::text IS NULL THEN status NOT IN ('archived', 'deleted') ELSE status = $2 END
  AND ($3::text IS NULL OR name ILIKE $3 OR short_code ILIKE $3 OR target_url ILIKE $3)
  AND ($4::text[] IS NULL OR tags @> $4)
  AND ($5::uuid IS NULL OR project_id = $5)
  AND (NOT $6::boolean OR project_id IS NULL)
  AND ($7::text IS NULL OR qr_type = $7)
  AND ($8::uuid IS NULL OR domain_id = $8)
  AND ($9::timestamptz IS NULL OR created_at >= $9)
  AND ($10::timestamptz IS NULL OR created_at < $10)
  AND ($11::timestamptz IS NULL OR updated_at >= $11)
  AND ($12::timestamptz IS NULL OR updated_at < $12)
  AND {after}
ORDER BY {key} {direction}, id {direction}
LIMIT $13;

-- name: list_all_qr_codes
-- The same of every workspace, newest first by their ids, for platform admins; of deleted codes too.
SELECT {columns}
FROM qr_codes
WHERE ($1::uuid IS NULL OR qr_codes.workspace_id = $1)
  AND ($2::text IS NULL OR status = $2)
  AND ($3::text IS NULL OR short_code = $3)
  AND ($4::text IS NULL OR target_url ILIKE $4 OR fallback_url ILIKE $4 OR rules::text ILIKE $4)
  AND id < coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY id DESC
LIMIT $6;

-- name: find_workspace_of
-- Where a code is, deleted or not: for platform admins, who do not say.
SELECT workspace_id FROM qr_codes WHERE id = $1;

-- name: list_tags
-- The tags of a workspace after $2, and on how many codes that are not deleted each is.
SELECT tag, count(*) AS codes
FROM qr_codes, unnest(tags) AS tag
WHERE workspace_id = $1 AND status <> 'deleted' AND ($2::text IS NULL OR tag COLLATE "C" > $2)
GROUP BY tag
ORDER BY tag COLLATE "C"
LIMIT $3;

-- name: has_qr_code
-- Whether there is, or once was, such a code.
SELECT EXISTS (SELECT FROM qr_codes WHERE workspace_id = $1 AND id = $2);

-- name: list_versions
-- A page of a code's versions before $3, newest first, each with the one before it.
SELECT h.version, h.changed_at, h.changed_by, h.reason, h.snapshot, b.snapshot AS before
FROM qr_code_history h
LEFT JOIN qr_code_history b ON b.qr_id = h.qr_id AND b.version = h.version - 1
WHERE h.workspace_id = $1 AND h.qr_id = $2 AND ($3::bigint IS NULL OR h.version < $3)
ORDER BY h.version DESC
LIMIT $4;

-- name: find_snapshot
-- What a version of a code said.
SELECT snapshot FROM qr_code_history WHERE workspace_id = $1 AND qr_id = $2 AND version = $3;

-- name: create_scheduled_change
-- Unless as many as $11 of the code's changes are pending; lock the code first.
INSERT INTO qr_code_scheduled_changes (workspace_id, id, qr_id, at, change, password_hash, reason, user_id, created_by,
                                       created_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE (SELECT count(*) FROM qr_code_scheduled_changes
       WHERE workspace_id = $1 AND qr_id = $3 AND status = 'pending') < $11
RETURNING *;

-- name: list_scheduled_changes
-- A page of a code's scheduled changes after the cursor ($3, $4), the one that is to happen last first.
SELECT *
FROM qr_code_scheduled_changes
WHERE workspace_id = $1
  AND qr_id = $2
  AND (at, id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY at DESC, id DESC
LIMIT $5;

-- name: lock_scheduled_change
-- One of them, held until the end of the transaction.
SELECT * FROM qr_code_scheduled_changes WHERE workspace_id = $1 AND qr_id = $2 AND id = $3 FOR UPDATE;

-- name: claim_scheduled_change
-- One that is due, unless another worker has it or one of its code's comes before it; held until the end of the
-- transaction.
SELECT s.*
FROM qr_code_scheduled_changes s
WHERE s.status = 'pending'
  AND s.at <= $1
  AND NOT EXISTS (SELECT FROM qr_code_scheduled_changes e
                  WHERE e.workspace_id = s.workspace_id AND e.qr_id = s.qr_id AND e.status = 'pending'
                    AND (e.at, e.id) < (s.at, s.id))
ORDER BY s.at, s.id
LIMIT 1
FOR UPDATE OF s SKIP LOCKED;

-- name: settle_scheduled_change
-- What became of it; of a password nothing is kept.
UPDATE qr_code_scheduled_changes
SET status = $3, settled_at = $4, failure = $5, version = $6, password_hash = NULL
WHERE workspace_id = $1 AND id = $2
RETURNING *;
