-- Signing in ------------------------------------------------------------------------------------------------

-- `email_verified_at`: when somebody we trust said that the address is its user's; provider_id: the `sub` of Google.
ALTER TABLE users ADD COLUMN email_verified_at timestamptz;
CREATE UNIQUE INDEX users_provider_id ON users (provider_id) WHERE provider_id IS NOT NULL;
-- Users there were till now were all made by an admin.
UPDATE users SET email_verified_at = created_at;

-- `personal_of`: whose personal workspace it is. A deleted workspace keeps its row, for what refers to it.
ALTER TABLE workspaces
    ADD COLUMN personal_of uuid REFERENCES users (id),
    ADD COLUMN deleted_at  timestamptz;
UPDATE workspaces w
SET personal_of = m.user_id
FROM memberships m
WHERE w.personal AND m.workspace_id = w.id AND m.role = 'owner';
CREATE UNIQUE INDEX workspaces_personal_of ON workspaces (personal_of);

CREATE INDEX api_keys_of_user ON api_keys (user_id);

-- A session is the family of all refresh tokens that follow from one sign-in.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method       text NOT NULL CHECK (method IN ('password', 'google')),
    created_at   timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    revoked_for  text CHECK (revoked_for IN ('sign_out', 'reuse', 'password', 'deletion')),
    CHECK ((revoked_at IS NULL) = (revoked_for IS NULL))
);
CREATE INDEX sessions_of_user ON sessions (user_id);

-- SHA-256 of 256 random bits, as of every token below. A used one stays, so that its second use is noticed.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

CREATE TABLE password_resets (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX password_resets_of_user ON password_resets (user_id);
CREATE INDEX password_resets_expiry ON password_resets (expires_at);

CREATE TABLE invitations (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    email        text NOT NULL,
    role         text NOT NULL CHECK (role IN ('owner', 'admin', 'editor', 'viewer', 'billing')),
    token_hash   bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    invited_by   text NOT NULL,               -- user:<id> or key:<id>
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    accepted_at  timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX invitations_of_workspace ON invitations (workspace_id, created_at DESC, id DESC);
