-- name: create_user
-- Nothing is returned when somebody has the address.
INSERT INTO users (id, email, name, role, created_at, updated_at, email_verified_at, password_hash, provider,
                   provider_id)
VALUES ($1, $2, $3, $4, $5, $5, $6, $7, CASE WHEN $8::text IS NULL THEN 'local' ELSE 'google' END, $8)
ON CONFLICT (lower(email)) DO NOTHING
RETURNING id, email, name, role, created_at, updated_at, version;

-- name: list_users
-- A page of users, newest first, after the cursor ($1, $2).
SELECT id, email, name, role, created_at, updated_at, version
FROM users
WHERE deleted_at IS NULL
  AND (created_at, id) < (coalesce($1::timestamptz, 'infinity'),
                          coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: find_user
-- One user who is not deleted.
SELECT id, email, name, role, created_at, updated_at, version
FROM users
WHERE id = $1 AND deleted_at IS NULL;

-- name: create_workspace
-- A workspace without members yet.
-- $6: whose personal one it is, if anybody's.
INSERT INTO workspaces (id, name, personal, timezone, created_at, updated_at, personal_of)
VALUES ($1, $2, $3, $4, $5, $5, $6);

-- name: find_workspace
-- One workspace.
SELECT id, name, personal, timezone, created_at, version
FROM workspaces
WHERE id = $1 AND deleted_at IS NULL;

-- name: create_membership
-- Makes a user a member of a workspace.
INSERT INTO memberships (workspace_id, user_id, role, created_at)
VALUES ($1, $2, $3, $4);

-- name: create_api_key
-- A key of a member of the workspace.
INSERT INTO api_keys (workspace_id, id, user_id, name, secret_hash, created_at, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id, user_id, name, scopes, created_at, expires_at, last_used_at, revoked_at;

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

-- name: lock_user
-- The same, until the end of the transaction. New rows may refer to them meanwhile.
SELECT id, email, name, role, created_at, updated_at, version
FROM users
WHERE id = $1 AND deleted_at IS NULL
FOR NO KEY UPDATE;

-- name: find_sign_in
-- Who has that address.
SELECT id, email, name, role, created_at, updated_at, version, password_hash, email_verified_at,
       provider_id AS google_sub
FROM users
WHERE lower(email) = lower($1) AND deleted_at IS NULL;

-- name: find_sign_in_of_user
-- The same by the user's id.
SELECT id, email, name, role, created_at, updated_at, version, password_hash, email_verified_at,
       provider_id AS google_sub
FROM users
WHERE id = $1 AND deleted_at IS NULL;

-- name: lock_sign_in
-- The same, until the end of the transaction.
SELECT id, email, name, role, created_at, updated_at, version, password_hash, email_verified_at,
       provider_id AS google_sub
FROM users
WHERE id = $1 AND deleted_at IS NULL
FOR NO KEY UPDATE;

-- name: find_google_user
-- Whose Google account that is.
SELECT id, email, name, role, created_at, updated_at, version
FROM users
WHERE provider_id = $1 AND deleted_at IS NULL;

-- name: link_google
-- From now on they may sign in by Google.
UPDATE users
SET provider_id = $2, updated_at = $3, version = version + 1
WHERE id = $1;

-- name: update_user
-- Fails on the unique index when somebody else has the address.
UPDATE users
SET email = $2, name = $3, role = $4, updated_at = $5, version = version + 1
WHERE id = $1
RETURNING id, email, name, role, created_at, updated_at, version;

-- name: set_password
-- $4: the address is known to be the user's.
UPDATE users
SET password_hash = $2, updated_at = $3, version = version + 1,
    email_verified_at = CASE WHEN $4 THEN coalesce(email_verified_at, $3) ELSE email_verified_at END
WHERE id = $1;

-- name: anonymise_user
-- Nothing that names a person stays; the address is free again.
UPDATE users
SET email = 'deleted-' || id || '@deleted.invalid', name = NULL, avatar_url = NULL, provider_id = NULL,
    password_hash = NULL, email_verified_at = NULL, role = 'user', updated_at = $2, deleted_at = $2
WHERE id = $1;

-- name: leave_all_workspaces
-- Of a user who is deleted.
DELETE FROM memberships
WHERE user_id = $1
RETURNING workspace_id;

-- name: anonymise_personal_workspace
-- It stays, with its codes; its name was the user's.
UPDATE workspaces
SET name = 'Workspace of a deleted user', personal = false, personal_of = NULL, updated_at = $2
WHERE personal_of = $1;

-- name: revoke_keys_of_user
-- In every workspace.
UPDATE api_keys
SET revoked_at = $2
WHERE user_id = $1 AND revoked_at IS NULL;

-- name: revoke_keys_of_member
-- In one workspace.
UPDATE api_keys
SET revoked_at = $3
WHERE workspace_id = $1 AND user_id = $2 AND revoked_at IS NULL;

-- name: revoke_keys_of_workspace
-- Of everybody in one workspace.
UPDATE api_keys
SET revoked_at = $2
WHERE workspace_id = $1 AND revoked_at IS NULL;

-- name: revoke_named_key
-- A user's key of that name in one workspace.
UPDATE api_keys
SET revoked_at = $4
WHERE workspace_id = $1 AND user_id = $2 AND name = $3 AND revoked_at IS NULL;

-- name: list_api_keys
-- A page of a workspace's keys, newest first, after the cursor ($2, $3); $5: of one member only.
SELECT id, user_id, name, scopes, created_at, expires_at, last_used_at, revoked_at
FROM api_keys
WHERE workspace_id = $1
  AND revoked_at IS NULL
  AND ($5::uuid IS NULL OR user_id = $5)
  AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'), coalesce($3::text, '~'))
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: revoke_api_key
-- $4: only when it is of that member.
UPDATE api_keys
SET revoked_at = $3
WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL AND ($4::uuid IS NULL OR user_id = $4)
RETURNING id, user_id, name, scopes, created_at, expires_at, last_used_at, revoked_at;

-- name: find_key_expiry
-- When a key of the workspace ends.
SELECT expires_at
FROM api_keys
WHERE workspace_id = $1 AND id = $2;

-- name: find_person
-- Who holds the session $1 of the user $2, and what they are in the workspace $3, or in their personal one.
SELECT u.id AS user_id, u.role = 'admin' AS is_platform_admin, m.workspace_id, m.role
FROM sessions s
JOIN users u ON u.id = s.user_id
LEFT JOIN workspaces w ON w.deleted_at IS NULL AND CASE WHEN $3::uuid IS NULL THEN w.personal_of = u.id
                                                        ELSE w.id = $3 END
LEFT JOIN memberships m ON m.workspace_id = w.id AND m.user_id = u.id
WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $4 AND u.deleted_at IS NULL;

-- name: create_session
-- After a sign-in.
INSERT INTO sessions (id, user_id, method, created_at, refreshed_at, expires_at)
VALUES ($1, $2, $3, $4, $4, $5);

-- name: delete_ended_sessions
-- Some of those that ended before $1; nothing of them is of any use.
DELETE FROM sessions
WHERE id IN (SELECT id FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING 1;

-- name: create_refresh_token
-- The next of its session.
INSERT INTO refresh_tokens (token_hash, session_id, created_at)
VALUES ($1, $2, $3);

-- name: lock_user_of_refresh
-- Whose a refresh token is, until the end of the transaction: of two who present it one comes first.
SELECT id, email, name, role, created_at, updated_at, version
FROM users
WHERE deleted_at IS NULL
  AND id = (SELECT s.user_id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token_hash = $1)
FOR NO KEY UPDATE;

-- name: find_refresh
-- A refresh token and its session, once their user is locked.
SELECT s.id, s.user_id, s.method, s.created_at, s.refreshed_at, s.expires_at,
       t.used_at IS NOT NULL AS is_used, s.revoked_at IS NOT NULL AS is_revoked
FROM refresh_tokens t
JOIN sessions s ON s.id = t.session_id
WHERE t.token_hash = $1;

-- name: use_refresh_token
-- It was for one use.
UPDATE refresh_tokens
SET used_at = $2
WHERE token_hash = $1;

-- name: extend_session
-- After a refresh.
UPDATE sessions
SET refreshed_at = $2, expires_at = $3
WHERE id = $1;

-- name: revoke_session
-- All tokens of its family.
UPDATE sessions
SET revoked_at = $2, revoked_for = $3
WHERE id = $1 AND revoked_at IS NULL;

-- name: revoke_sessions_of_user
-- All but $4, if that is one.
UPDATE sessions
SET revoked_at = $2, revoked_for = $3
WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $4::uuid;

-- name: find_personal_workspace
-- Of one user.
SELECT id, name, personal, timezone, created_at, version
FROM workspaces
WHERE personal_of = $1 AND deleted_at IS NULL;

-- name: list_own_workspaces
-- A page of the workspaces that a user is in, newest first, after the cursor ($2, $3); $5: only that one.
SELECT w.id, w.name, w.personal, w.timezone, w.created_at, w.version, m.role
FROM memberships m
JOIN workspaces w ON w.id = m.workspace_id
WHERE m.user_id = $1
  AND w.deleted_at IS NULL
  AND ($5::uuid IS NULL OR w.id = $5)
  AND (w.created_at, w.id) < (coalesce($2::timestamptz, 'infinity'),
                              coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY w.created_at DESC, w.id DESC
LIMIT $4;

-- name: lock_workspace
-- Its members change one after the other, and nothing new refers to it meanwhile.
SELECT id, name, personal, timezone, created_at, version
FROM workspaces
WHERE id = $1 AND deleted_at IS NULL
FOR UPDATE;

-- name: lock_workspaces_of_user
-- The same for all that a user is in.
SELECT w.id
FROM workspaces w
JOIN memberships m ON m.workspace_id = w.id
WHERE m.user_id = $1 AND w.deleted_at IS NULL
ORDER BY w.id
FOR UPDATE OF w;

-- name: list_workspaces_owned_alone
-- Those that would be left without an owner.
SELECT w.id, w.name, w.personal, w.timezone, w.created_at, w.version
FROM workspaces w
JOIN memberships m ON m.workspace_id = w.id
WHERE m.user_id = $1 AND m.role = 'owner' AND w.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM memberships o
                  WHERE o.workspace_id = w.id AND o.role = 'owner' AND o.user_id <> $1)
ORDER BY w.id;

-- name: update_workspace
-- Name and time zone.
UPDATE workspaces
SET name = $2, timezone = $3, updated_at = $4, version = version + 1
WHERE id = $1
RETURNING id, name, personal, timezone, created_at, version;

-- name: is_workspace_in_use
-- Whether codes or domains of it are not deleted.
SELECT EXISTS (SELECT FROM qr_codes WHERE workspace_id = $1 AND status <> 'deleted')
    OR EXISTS (SELECT FROM domains WHERE workspace_id = $1 AND deleted_at IS NULL);

-- name: delete_workspace
-- The row stays, for the deleted codes that keep their places.
UPDATE workspaces
SET deleted_at = $2, updated_at = $2
WHERE id = $1;

-- name: delete_memberships
-- Of everybody in a workspace.
DELETE FROM memberships
WHERE workspace_id = $1;

-- name: list_members
-- A page of a workspace's members, the latest first, after the cursor ($2, $3).
SELECT m.user_id, u.email, u.name, m.role, m.created_at, m.version,
       w.personal_of IS NOT DISTINCT FROM m.user_id AS is_personal
FROM memberships m
JOIN users u ON u.id = m.user_id
JOIN workspaces w ON w.id = m.workspace_id
WHERE m.workspace_id = $1
  AND (m.created_at, m.user_id) < (coalesce($2::timestamptz, 'infinity'),
                                   coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY m.created_at DESC, m.user_id DESC
LIMIT $4;

-- name: find_member
-- One member of a workspace.
SELECT m.user_id, u.email, u.name, m.role, m.created_at, m.version,
       w.personal_of IS NOT DISTINCT FROM m.user_id AS is_personal
FROM memberships m
JOIN users u ON u.id = m.user_id
JOIN workspaces w ON w.id = m.workspace_id
WHERE m.workspace_id = $1 AND m.user_id = $2;

-- name: count_owners
-- Of a workspace.
SELECT count(*) FROM memberships WHERE workspace_id = $1 AND role = 'owner';

-- name: change_member
-- Their role.
UPDATE memberships
SET role = $3, version = version + 1
WHERE workspace_id = $1 AND user_id = $2;

-- name: delete_member
-- Takes somebody out of a workspace.
DELETE FROM memberships
WHERE workspace_id = $1 AND user_id = $2;

-- name: join_workspace
-- Nothing is returned when they are in it already; their role stays.
INSERT INTO memberships (workspace_id, user_id, role, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: set_owner
-- Whatever they were there before.
INSERT INTO memberships (workspace_id, user_id, role, created_at)
VALUES ($1, $2, 'owner', $3)
ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = 'owner', version = memberships.version + 1;

-- name: create_password_reset
-- For whoever has that address or, when $2 is an id, for that user; nothing happens when there is none.
INSERT INTO password_resets (token_hash, user_id, created_at, expires_at)
SELECT $1, id, $4, $5
FROM users
WHERE deleted_at IS NULL AND CASE WHEN $2::uuid IS NULL THEN lower(email) = lower($3) ELSE id = $2 END
RETURNING user_id;

-- name: delete_ended_password_resets
-- Some of those that ended before $1.
DELETE FROM password_resets
WHERE token_hash IN (SELECT token_hash FROM password_resets WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING 1;

-- name: lock_user_of_reset
-- Whose a reset is that can be used, until the end of the transaction.
SELECT id
FROM users
WHERE deleted_at IS NULL
  AND id = (SELECT user_id FROM password_resets WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2)
FOR NO KEY UPDATE;

-- name: end_password_resets
-- All of one user, who is locked.
UPDATE password_resets
SET used_at = $2
WHERE user_id = $1 AND used_at IS NULL
RETURNING token_hash;

-- name: create_invitation
-- To an address; the one before it is revoked first.
INSERT INTO invitations (workspace_id, id, email, role, token_hash, invited_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id, workspace_id, email, role, invited_by, created_at, expires_at;

-- name: revoke_invitations_to
-- An address has one open invitation of a workspace at most.
UPDATE invitations
SET revoked_at = $3
WHERE workspace_id = $1 AND lower(email) = lower($2) AND accepted_at IS NULL AND revoked_at IS NULL;

-- name: delete_invitations_to
-- In whatever state and workspace.
DELETE FROM invitations
WHERE lower(email) = lower($1);

-- name: delete_ended_invitations
-- Some of those that ended before $1.
DELETE FROM invitations
WHERE id IN (SELECT id FROM invitations WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING 1;

-- name: revoke_invitations_of_workspace
-- All that are open.
UPDATE invitations
SET revoked_at = $2
WHERE workspace_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL;

-- name: list_invitations
-- A page of a workspace's open invitations, newest first, after the cursor ($2, $3).
SELECT id, workspace_id, email, role, invited_by, created_at, expires_at
FROM invitations
WHERE workspace_id = $1
  AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $5
  AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'),
                          coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- name: revoke_invitation
-- If it is open.
UPDATE invitations
SET revoked_at = $3
WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL
RETURNING id;

-- name: find_invitation_by_token
-- The open invitation, whatever its workspace: it is what says which is meant.
SELECT id, workspace_id, email, role, invited_by, created_at, expires_at
FROM invitations
WHERE token_hash = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2;

-- name: accept_invitation
-- Once, if it is still open.
UPDATE invitations
SET accepted_at = $3
WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL
RETURNING id;
